// A figure that is ready before plotly is; see Figure in front_end.py.
const sent = ["addTraces", "deleteTraces", "moveTraces", "restyle", "relayout", "update", "animate",
              "removeLayoutProps", "removeTraceProps"].map((name) => `_py2js_${name}`);

async function read(model) {
  const script = await model.widget_manager.get_model(model.get("_script").replace("IPY_MODEL_", ""));
  const code = new Blob([script.get("source")], {type: "text/javascript"});
  return import(URL.createObjectURL(code));
}

export default () => {
  let open;
  return {
    initialize({model, ...others}) {
      const early = [], acts = {};
      let late = false, now = null;
      for (const name of sent)
        model.on(`change:${name}`, () => { if (!late) early.push([name, model.get(name)]); });
      const seen = new Proxy(model, {get(real, key) {
        if (key === "on") return (event, act) => { (acts[event] ??= []).push(act); real.on(event, act); };
        if (key === "get") return (name) => now?.[0] === name ? now[1] : real.get(name);
        return typeof real[key] === "function" ? real[key].bind(real) : real[key];
      }});
      open = async () => {
        const widget = (await (globalThis.grokbookPlotly ??= read(model))).default();
        late = true;
        widget.initialize({model: seen, ...others});
        for (now of early) (acts[`change:${now[0]}`] ?? []).forEach((act) => act());
        now = null;
        return widget;
      };
    },
    // Not before: reading holds up the page, and with it the other figures that are just being made.
    async render(place) { return (await (open.once ??= open())).render(place); },
  };
};
