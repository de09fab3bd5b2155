// Plotly's own code, read once a page. It comes zipped in a widget that all figures of a kernel share, and is imported
// as a module: nothing is evaluated from a string, and no server is asked.
async function read(model) {
  const shared = await model.widget_manager.get_model(model.get("_library").replace("IPY_MODEL_", ""));
  const unzipped = new Blob([shared.get("zipped")]).stream().pipeThrough(new DecompressionStream("gzip"));
  const address = URL.createObjectURL(new Blob([await new Response(unzipped).arrayBuffer()], {type: "text/javascript"}));
  await import(address);
  URL.revokeObjectURL(address);
  return globalThis.Plotly;
}

const library = (model) => globalThis.grokbookPlotly ??= read(model);
