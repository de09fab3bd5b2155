// What the tests ask of a JupyterLab page.
window.book = {
  panel: () => window.jupyterapp.shell.currentWidget,
  kernel: () => book.panel().sessionContext.session.kernel,
  cells: () => book.panel().content.widgets,
  outputs: (i) => book.cells()[i].model.sharedModel.toJSON().outputs ?? [],
  text: (i) => book.outputs(i).map((out) => out.text ?? out.data?.["text/plain"] ?? `${out.ename}: ${out.evalue}`)
    .flat().join(""),
  errors: () => book.cells().flatMap((_, i) => book.outputs(i))
    .filter((out) => out.output_type === "error").map((out) => `${out.ename}: ${out.evalue}`),
  // A promise that never ends would hang the test: page.evaluate has no time limit of its own.
  within: (promise, ms) => Promise.race([promise,
    new Promise((_, no) => setTimeout(() => no(new Error(`not done in ${ms} ms`)), ms))]),
  run: (i) => {
    const notebook = book.panel().content;
    notebook.activeCellIndex = i;
    notebook.deselectAll();
    return window.jupyterapp.commands.execute("notebook:run-cell");
  },
  append: (source) => {
    book.panel().content.model.sharedModel.addCell({cell_type: "code", source});
    return book.cells().length - 1;
  },
  // What a slider reads when a key next goes down on it.
  note_when_pressed: (handle) => {
    book.when_pressed = null;
    handle.addEventListener("keydown", () => {
      book.when_pressed = handle.closest(".widget-slider").querySelector(".widget-readout").innerText;
    }, {capture: true, once: true});
  },
  // Errors of widget callbacks, which no cell shows.
  complaints: [],
  comms: new Set(),
  listen: () => book.kernel().iopubMessage.connect((_, message) => {
    const {msg_type} = message.header, asked = message.parent_header?.msg_type, said = message.content;
    if (msg_type === "comm_open") book.comms.add(said.comm_id);
    if (msg_type === "error" && asked === "comm_msg") book.complaints.push(`${said.ename}: ${said.evalue}`);
    if (msg_type === "stream" && said.name === "stderr")
      book.complaints.push(...said.text.split("\n").filter((line) => line && !book.greeted(line)));
  }),
  // JupyterLab asks every new kernel for its widgets, through a comm that the page opens. A kernel that has not yet
  // imported ipywidgets does not know that comm and says so, now and then only after the test began to listen. The
  // comms of the book's widgets are opened by the kernel: what it says of those counts.
  greeted: (line) => line === "No such comm target registered: jupyter.widget.control" ||
    line.startsWith("No such comm: ") && !book.comms.has(line.split(" ").at(-1)),
  // Lists, typed arrays, or plotly's {bdata, dtype}: plain numbers.
  numbers: (values) => {
    if (values?.bdata === undefined) return values == null ? [] : Array.from(values);
    const kinds = {f8: Float64Array, f4: Float32Array, i8: BigInt64Array, i4: Int32Array, u4: Uint32Array,
                   i2: Int16Array, u2: Uint16Array, i1: Int8Array, u1: Uint8Array};
    return Array.from(new kinds[values.dtype](Uint8Array.from(atob(values.bdata), (c) => c.charCodeAt(0)).buffer), Number);
  },
  plot: (where) => {
    const div = document.querySelector(`${where} .js-plotly-plot`);
    if (!div?.data || !div._fullData) return null;
    return {title: div.layout.title?.text ?? "", traces: div.data.map(({name, meta, x, y}) =>
      ({name, meta, x: book.numbers(x), y: book.numbers(y)}))};
  },
  // Whether the figures in a widget are drawn, each as wide as its place.
  fits: (where) => {
    const widget = document.querySelector(where);
    const drawn = [...widget.querySelectorAll(".main-svg:first-child, .gb-explorer svg")].filter((svg) => svg.clientWidth);
    return drawn.length > 0 && drawn.every((svg) => Math.abs(svg.getBoundingClientRect().width
      - (svg.closest(".js-plotly-plot") ?? svg).parentElement.clientWidth) <= 1);
  },
};
