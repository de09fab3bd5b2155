// Plotly's own code, read once a page. It comes zipped in a widget that all figures of a kernel share, and is imported
// as a module: nothing is evaluated from a string, and no server is asked.
async function unzip(shared) {
  const unzipped = new Blob([shared.get("zipped")]).stream().pipeThrough(new DecompressionStream("gzip"));
  const address = URL.createObjectURL(new Blob([await new Response(unzipped).arrayBuffer()], {type: "text/javascript"}));
  await import(address);
  URL.revokeObjectURL(address);
  return globalThis.Plotly;
}

const plotly = (read) => globalThis.grokbookPlotly ??= read("library").then(unzip).catch((error) => {
  delete globalThis.grokbookPlotly;  // the next figure tries anew
  throw error;
});
