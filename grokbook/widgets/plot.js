// Draws the figure that the model holds. A page that opens late reads it as it is then, so nothing can be lost.
function render({model, el, read}) {
  const place = el.appendChild(document.createElement("div"));
  const trouble = el.appendChild(document.createElement("p"));
  Object.assign(place.style, {width: "100%", overflow: "hidden"});
  Object.assign(trouble.style, {color: "#B00020", margin: "0"});
  trouble.setAttribute("role", "alert");
  let due = 0;

  const draw = async () => {
    due = 0;
    try {
      const Plotly = await plotly(read), {data, layout} = structuredClone(model.get("figure"));
      const said = [layout.title?.text, layout.meta?.caption?.split(". ")[0]];  // as `picture.sentence` does
      place.setAttribute("aria-label", said.filter(Boolean).join(": "));
      // What the reader zoomed into stays, as long as the figure is of the same thing.
      const config = {responsive: true, displayModeBar: false};
      await Plotly.react(place, data, {...layout, uirevision: model.get("subject")}, config);
      trouble.textContent = "";
    } catch (error) {
      trouble.textContent = `This figure cannot be drawn: ${error.message}`;
    }
  };
  const soon = () => { due ||= requestAnimationFrame(draw); };
  const sized = new ResizeObserver(() => { if (place.layout && place.clientWidth) globalThis.Plotly.Plots.resize(place); });

  place.setAttribute("role", "img");
  model.on("change:figure", soon);
  soon();
  sized.observe(el);
  return () => {
    sized.disconnect();
    model.off("change:figure", soon);
    cancelAnimationFrame(due);
    globalThis.Plotly?.purge(place);
  };
}
