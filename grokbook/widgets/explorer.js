// The explorer: the measured map, the curves of one of its cells, and the row in which that cell stands.
//
// `model` has what anywidget gives: get, set, save_changes, send, on, off. A page without a kernel brings one of its own
// (templates/offline/explorer.html.j2). All numbers and sentences were made in Python (explorer_data.py); they are looked
// up here, so that a move needs no kernel.

const READ_ALOUD = {d_h: (v) => `hidden size ${v}`, D_train: (v) => `${v} training pairs`, seed: (v) => `seed ${v}`,
                    budget: (v) => `judged after ${v} steps`};
const HEIGHT = {map: 500, cell: 300, row: 190};
const INK = "#262626", FAINT = "#E6E6E6", CRIT = "#000000", MEM = "#7A3E9D", HALO = 0.35;

// Elements

const number = (value) => value.toLocaleString("en");
const short = (value) => Number(value.toPrecision(3)).toString();

function add(parent, tag, attributes = {}, ...content) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...content);
  parent.append(element);
  return element;
}

// A piece of SVG as text: a figure is set as a whole, which is quicker than changing its parts.
function svg(tag, attributes, content = "") {
  return `<${tag} ${Object.entries(attributes).map(([name, value]) => `${name}="${value}"`).join(" ")}>${content}</${tag}>`;
}

// Scales and axes

function scale([low, high], [from, to], transform = (value) => value) {
  const [a, b] = [transform(low), transform(high)];
  return (value) => from + (transform(value) - a) / (b - a) * (to - from);
}

function axes({left, right, top, bottom}, {x = [], y = [], title = "", across = ""}) {
  const parts = [svg("path", {d: `M${left},${top}V${bottom}H${right}`, fill: "none", stroke: "#8C8C8C"})];
  for (const [at, words] of x) parts.push(svg("text", {x: at, y: bottom + 15, "text-anchor": "middle"}, words));
  for (const [at, words] of y) parts.push(svg("text", {x: left - 6, y: at + 4, "text-anchor": "end"}, words));
  parts.push(svg("text", {x: (left + right) / 2, y: bottom + 31, "text-anchor": "middle"}, across),
             svg("text", {transform: `translate(12,${(top + bottom) / 2}) rotate(-90)`, "text-anchor": "middle"}, title));
  return parts.join("");
}

const level = ({left, right}, at) => svg("path", {d: `M${left},${at}H${right}`, stroke: FAINT});

// A line through points, lifted where a value is missing.
function line(points, attributes) {
  let d = "", up = true;
  for (const [x, y] of points) {
    if (y === null || Number.isNaN(y)) { up = true; continue; }
    d += `${up ? "M" : "L"}${x.toFixed(1)},${y.toFixed(1)}`;
    up = false;
  }
  return d && svg("path", {d, fill: "none", "stroke-linejoin": "round", ...attributes});
}

// Of values in order, those whose places lie far enough apart to be written.
function apart(values, place, least) {
  let last = -Infinity;
  return values.filter((value) => Math.abs(place(value) - last) >= least && ((last = place(value)), true));
}

// A figure: a heading, a legend, an SVG as wide as its place, and a hint where the pointer is.
function figure(place, name, draw, hint) {
  const box = add(place, "div", {class: `gb-explorer-${name}`});
  const heading = add(box, "h4"), legend = add(box, "div", {class: "gb-explorer-legend"});
  box.insertAdjacentHTML("beforeend", `<svg height="${HEIGHT[name]}" role="img"></svg>`);
  const root = box.lastElementChild, tip = add(box, "div", {class: "gb-explorer-hint", hidden: ""});
  const here = {box, root, heading, legend, width: 0, point: (event) => {
    const {left, top} = root.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }};
  here.draw = () => {
    here.width = root.clientWidth;
    if (here.width > 100) draw(here);  // as narrow as a page that is being laid out
  };
  const hide = () => { tip.hidden = true; };
  root.addEventListener("pointermove", (event) => {
    const [x, y] = here.point(event), words = hint(here, x, y);
    if (!words) return hide();
    tip.hidden = false;
    tip.textContent = words;
    tip.style.left = `${Math.max(0, Math.min(x + 14, here.width - tip.offsetWidth))}px`;
    tip.style.top = `${root.offsetTop + (y + 16 + tip.offsetHeight > HEIGHT[name] ? y - tip.offsetHeight - 10 : y + 16)}px`;
  });
  root.addEventListener("pointerleave", hide);
  return here;
}

const swatches = (entries) => entries.map(([color, words, kind = ""]) =>
  `<span><i class="${kind}" style="${kind ? "border-color" : "background"}: ${color}"></i>${words}</span>`).join("");

function render({model, el}) {
  const {values, edges, steps, x: places, cells, metrics, zones, shades, colors} = model.get("fixed");
  const views = {...model.get("views")};
  const sizes = values.d_h, rows = values.D_train, accuracies = metrics.slice(0, 3);
  const get = (name) => model.get(name), at = (name) => values[name].indexOf(get(name));
  const key = () => `${get("d_h")},${get("D_train")}`;
  const view = () => views[get("budget")];
  const live = () => get("live") ?? {};

  const root = add(el, "div", {class: "gb-explorer"});
  const controls = add(root, "div", {class: "gb-explorer-controls"});
  const sentence = add(root, "p", {class: "gb-explorer-sentence", "aria-live": "polite"});
  const training = add(root, "div", {class: "gb-explorer-training"});
  const note = add(root, "p", {class: "gb-explorer-note", role: "status"});
  const figures = add(root, "div", {class: "gb-explorer-figures"});

  // Choosing

  function choose(chosen) {
    for (const [name, value] of Object.entries(chosen)) model.set(name, value);
    model.save_changes();
    draw();
  }

  const inputs = Object.fromEntries(Object.keys(values).map((name) => {
    const label = add(controls, "label", {}, name), last = values[name].length - 1;
    const input = add(label, "input", {type: "range", min: 0, max: last, class: `gb-explorer-${name}`, "aria-label": name});
    input.disabled = !last;
    input.addEventListener("input", () => choose({[name]: values[name][input.value]}));
    return [name, [input, add(label, "output")]];
  }));
  const color = add(add(controls, "label", {class: "gb-explorer-choice"}, "color"), "select", {class: "gb-explorer-color"});
  for (const [name, words] of Object.entries(colors)) color.add(new Option(words, name));
  color.addEventListener("change", () => choose({color: color.value}));

  function step(event) {
    const [dx, dy] = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1]}[event.key] ?? [];
    if (dx === undefined) return;
    event.preventDefault();
    choose({d_h: sizes[at("d_h") + dx] ?? get("d_h"), D_train: rows[at("D_train") + dy] ?? get("D_train")});
  }

  // The link to what is shown, and the buttons

  const link = () => `${get("page") ?? "explorer.html"}#${new URLSearchParams(
    ["d_h", "D_train", "seed", "budget", "color"].map((name) => [name, get(name)]))}`;

  function say(words, wrong = false) {
    note.textContent = words;
    note.classList.toggle("gb-explorer-wrong", wrong);
  }

  function button(place, name, words, act) {
    const made = add(place, "button", {type: "button", class: `gb-explorer-${name}`}, words);
    made.addEventListener("click", act);
    return made;
  }

  button(controls, "link", "Copy link", async () => {
    try {
      await navigator.clipboard.writeText(link());
      say(`Copied: ${link()}`);
    } catch {
      say(link());  // where a page may not copy, the reader can
    }
  });

  const trains = get("live") !== undefined, acts = {};
  if (trains) {
    acts.train = button(training, "train", "Train this", () => {
      say("");
      model.send({act: "train", ...Object.fromEntries([...Object.keys(values), "color"].map((name) => [name, get(name)]))});
    });
    for (const [act, words] of [["pause", "Pause"], ["stop", "Stop"], ["keep", "Add to my store"]])
      acts[act] = button(training, act, words, () => model.send({act}));
  }
  const bar = trains && add(training, "progress", {class: "gb-explorer-bar", "aria-label": "training"});
  const words = add(training, "span", {class: "gb-explorer-status"});

  function drawTraining() {
    if (!trains) return;
    const {under_way = false, paused, keepable, step = 0, n_steps = 1, words: told = "", d_h, D_train, seed} = live();
    acts.pause.textContent = paused ? "Resume" : "Pause";
    for (const act of ["pause", "stop"]) acts[act].hidden = !under_way;
    acts.keep.hidden = !keepable;
    bar.hidden = d_h === undefined;
    [bar.max, bar.value] = [n_steps, step];
    words.textContent = told && `d_h ${d_h}, D_train ${number(D_train)}, seed ${seed}: ${told}`;
  }

  // The map

  const inside = `gb-${Math.random().toString(36).slice(2)}`;  // a page may hold several explorers
  const map = figure(figures, "map", (here) => {
    const shown = view(), box = here.inside = {left: 60, right: here.width - 8, top: 6, bottom: HEIGHT.map - 38};
    const x = here.x = scale([-0.5, sizes.length - 0.5], [box.left, box.right]);
    const y = here.y = scale([edges[0], edges.at(-1)], [box.bottom, box.top]);
    const zone = get("color") === "zone", parts = [];
    here.heading.textContent = shown ? `${colors[get("color")]} after ${number(get("budget"))} steps`
      : `judging all runs after ${number(get("budget"))} steps …`;
    here.legend.innerHTML = (zone ? swatches(zones.map(({name, color}) => [color, name]))
      : swatches([0, 16, 32, 48, 63].map((i) => [shades[i], short(i / 63)])))
      + swatches([[CRIT, "D_crit", "gb-explorer-line"], ...(shown?.lines.D_mem ? [[MEM, "D_mem", "gb-explorer-line"]] : [])]);
    if (shown) {
      shown.shown[get("color")].forEach((row, i) => row.forEach((value, j) => {
        if (value === null) return;
        const fill = zone ? zones[value].color : shades[Math.round(value * (shades.length - 1))];
        const top = y(edges[i + 1]), left = x(j - 0.5);
        parts.push(svg("rect", {x: left + 0.5, y: top + 0.5, width: x(j + 0.5) - left - 1, height: y(edges[i]) - top - 1, fill}));
        if (zone && shown.text[i][j] && x(1) - x(0) > 26)
          parts.push(svg("text", {x: left + 4, y: (top + y(edges[i])) / 2 + 4,
                                  style: `font-size: 10px; fill: ${value === 1 || value === 3 ? "white" : INK}`}, shown.text[i][j]));
      }));
      for (const [name, stroke] of [["D_crit", CRIT], ["D_mem", MEM]]) parts.push(bars(shown.lines[name] ?? [], x, y, stroke));
      for (const [column, pairs] of shown.star)
        parts.push(svg("text", {x: x(column), y: y(pairs) + 7, "text-anchor": "middle",
                                style: "font-size: 22px; stroke: white; stroke-width: 3px; paint-order: stroke"}, "★"));
    }
    here.root.innerHTML = axes(box, {x: sizes.map((size, j) => [x(j), size]), across: "d_h", title: "D_train",
                                     y: apart(rows, y, 16).map((pairs) => [y(pairs), number(pairs)])})
      + svg("clipPath", {id: inside}, svg("rect", {x: box.left, y: box.top, width: box.right - box.left, height: box.bottom - box.top}))
      + svg("g", {"clip-path": `url(#${inside})`}, parts.join("")) + svg("g", {class: "gb-explorer-frame"});
    here.drawn = [get("budget"), get("color"), here.width, Boolean(shown)].join();
    frame();
  }, (here, px, py) => {
    const [j, i] = cell(px, py);
    return j === null ? "" : view()?.hover[i][j].replaceAll("<br>", "\n");
  });

  function bars(points, x, y, stroke) {
    return points.map(([column, , low, high]) => low === null ? "" :
      svg("path", {d: `M${x(column)},${y(low)}V${y(high)}`, stroke, "stroke-width": 1.3})).join("")
      + line(points.map(([column, value]) => [x(column), y(value)]), {stroke, "stroke-width": 2.5})
      + points.map(([column, value]) => svg("circle", {cx: x(column), cy: y(value), r: 3.2, fill: stroke, stroke: "white"})).join("");
  }

  // The frame alone moves with the sliders; its row is marked too.
  function frame() {
    const {x, y, inside: {left, right}} = map, i = at("D_train"), j = at("d_h");
    const top = y(edges[i + 1]), height = y(edges[i]) - top, box = {x: x(j - 0.5), y: top, width: x(1) - x(0), height, fill: "none"};
    map.root.querySelector(".gb-explorer-frame").innerHTML =
      svg("path", {d: `M${left},${top}H${right}M${left},${top + height}H${right}`, stroke: INK, "stroke-dasharray": "3 3"})
      + svg("rect", {...box, stroke: "white", "stroke-width": 6}) + svg("rect", {...box, stroke: "black", "stroke-width": 3});
    map.root.setAttribute("aria-label", `Map of d_h and D_train; arrow keys move. ${
      view()?.hover[i][j].replaceAll("<br>", ", ") ?? ""}`);
  }

  function cell(px, py) {
    const {left, right, top, bottom} = map.inside;
    if (px < left || px > right || py < top || py > bottom) return [null, null];
    const j = Math.min(sizes.length - 1, Math.floor((px - left) / (right - left) * sizes.length));
    return [j, rows.findLastIndex((_, i) => py <= map.y(edges[i]))];
  }

  function pick(event) {
    const [j, i] = cell(...map.point(event));
    if (j !== null) choose({d_h: sizes[j], D_train: rows[i]});
  }
  map.root.setAttribute("tabindex", 0);
  map.root.addEventListener("click", pick);
  map.root.addEventListener("pointermove", (event) => { if (event.buttons === 1 && event.pointerType === "mouse") pick(event); });
  map.root.addEventListener("keydown", step);

  // The curves of a cell

  const ticks = [1, 10, 100, 1e3, 1e4, 1e5, 1e6].filter((tick) => tick <= values.budget.at(-1));
  const written = (tick) => tick < 1000 ? String(tick) : `${tick / 1000}k`;

  const curves = figure(figures, "cell", (here) => {
    const runs = cells[key()] ?? {}, seed = get("seed"), last = steps.findLastIndex((step) => step <= get("budget"));
    const wide = {left: 46, right: here.width - 8}, above = {...wide, top: 8, bottom: 196}, below = {...wide, top: 208, bottom: 264};
    const x = here.x = scale([places[0] * 0.8, values.budget.at(-1) * 1.2], [wide.left, wide.right], Math.log);
    const mine = live().d_h === get("d_h") && live().D_train === get("D_train") ? live() : null;
    const norms = [...Object.values(runs).flatMap((lines) => lines[3]), ...(mine?.lines[3] ?? [])];
    const most = norms.reduce((most, value) => Math.max(most, value ?? 0), 1) * 1.08;
    const y = [...Array(3).fill(scale([-0.04, 1.06], [above.bottom, above.top])), scale([0, most], [below.bottom, below.top])];
    const parts = [0.25, 0.5, 0.75, 1].map((share) => level(wide, y[0](share)));
    const curve = (lines, xs, k, until) => lines[k].slice(0, until).map((value, i) => [x(xs[i]), value === null ? null : y[k](value)]);
    here.near = [];
    metrics.forEach(({color: stroke, name, key: metric}, k) => {
      if (mine) parts.push(line(curve(mine.lines, mine.x, k), {stroke, "stroke-width": 8, "stroke-opacity": HALO, "stroke-linecap": "round",
                                                               class: "gb-explorer-live", "data-metric": metric}));
      for (const [other, lines] of Object.entries(runs)) {
        const points = curve(lines, places, k, last + 1), thick = Number(other) === seed;
        parts.push(line(points, {stroke, "data-metric": metric, "data-seed": other,
                                 ...(thick ? {"stroke-width": 2.5} : {"stroke-width": 1, "stroke-opacity": 0.4})}));
        here.near.push([points, lines[k], `${name}, seed ${other}`]);
      }
    });
    for (const [other, [t_mem, t_gen]] of Object.entries(view()?.runs[key()] ?? {})) {
      if (t_mem !== null) parts.push(mark(runs[other], t_mem, 0, "circle", x, y, other));
      if (t_gen !== null) parts.push(mark(runs[other], t_gen, 1, "diamond", x, y, other));
    }
    here.heading.textContent = `d_h ${get("d_h")}, D_train ${number(get("D_train"))}: seed ${seed} thick`;
    here.legend.innerHTML = swatches(metrics.map(({color, name}) => [color, name, "gb-explorer-line"]))
      + "<span>● memorised</span><span>◆ generalised</span>" + (mine ? swatches([["#0072B259", "trained here"]]) : "");
    const named = [[x(places[0]), "0"], ...ticks.slice(1).map((tick) => [x(tick), written(tick)])];
    here.root.innerHTML = axes(above, {title: "accuracy", y: [0, 0.5, 1].map((share) => [y[0](share), share])})
      + axes(below, {title: "norm", x: named, across: "step", y: [[y[3](0), 0], [y[3](most / 1.08), Math.round(most / 1.08)]]})
      + parts.join("");
    here.root.setAttribute("aria-label", `Curves of the cell. ${sentence.textContent}`);
  }, (here, px, py) => {
    let best = 18, told = "";
    for (const [points, numbers, name] of here.near) points.forEach(([x, y], i) => {
      const away = y === null ? Infinity : Math.hypot(x - px, y - py);
      if (away < best) [best, told] = [away, `${name}\nstep ${number(steps[i])}: ${short(numbers[i])}`];
    });
    return told;
  });

  function mark(lines, when, k, shape, x, y, seed) {
    const [cx, cy] = [x(when), y[k](lines[k][steps.indexOf(when)] ?? 1)], thick = Number(seed) === get("seed"), r = thick ? 5 : 3.2;
    const looks = {fill: metrics[k].color, stroke: "white", "data-event": shape, "data-seed": seed};
    return shape === "circle" ? svg("circle", {cx, cy, r, ...looks})
      : svg("path", {d: `M${cx - r * 1.3},${cy}L${cx},${cy - r * 1.3}L${cx + r * 1.3},${cy}L${cx},${cy + r * 1.3}Z`, ...looks});
  }

  // The row of the map in which the cell stands

  const row = figure(figures, "row", (here) => {
    const shown = view(), i = at("D_train"), box = {left: 46, right: here.width - 8, top: 8, bottom: HEIGHT.row - 38};
    const x = here.x = scale([sizes[0] * 0.9, sizes.at(-1) * 1.1], [box.left, box.right], Math.log);
    const y = scale([-0.04, 1.06], [box.bottom, box.top]), parts = [0.5, 1].map((share) => level(box, y(share)));
    parts.push(svg("path", {d: `M${x(get("d_h"))},${box.top}V${box.bottom}`, stroke: INK, "stroke-dasharray": "3 3"}));
    if (shown) accuracies.forEach(({key: metric, color: stroke}, k) => {
      const {mean, lo, hi} = Object.fromEntries(Object.entries(shown.row[metric]).map(([part, table]) => [part, table[i]]));
      parts.push(band(sizes.map(x), lo, hi, y, stroke),
                 line(sizes.map((size, j) => [x(size), mean[j] === null ? null : y(mean[j])]), {stroke, "stroke-width": 2.5, "data-metric": metric}));
      for (const size of sizes) for (const numbers of Object.values(shown.runs[`${size},${rows[i]}`] ?? {}))
        parts.push(svg("circle", {cx: x(size), cy: y(numbers[2 + k]), r: 2, fill: stroke, "fill-opacity": 0.5}));
    });
    here.heading.textContent = `final accuracy, ${number(rows[i])} pairs, after ${number(get("budget"))} steps`;
    here.root.innerHTML = axes(box, {x: apart(sizes, x, 22).map((size) => [x(size), size]), across: "d_h", title: "accuracy",
                                     y: [0, 0.5, 1].map((share) => [y(share), share])}) + parts.join("");
    here.legend.textContent = "line: mean over seeds; band: its 95 % interval; dots: every run";
    valley.textContent = shown?.valleys[i] ?? "";
    here.root.setAttribute("aria-label", `Final accuracy against d_h. ${valley.textContent}`);
  }, (here, px) => {
    const shown = view(), near = sizes.map((size, j) => [Math.abs(here.x(size) - px), j]).sort(([a], [b]) => a - b)[0][1];
    const told = accuracies.map(({key: metric, name}) => [name, ...["mean", "lo", "hi"].map((part) => shown?.row[metric][part][at("D_train")][near])]);
    return !shown || told[0][1] === null ? "" : `d_h ${sizes[near]}\n` + told.map(([name, mean, low, high]) =>
      `${name} ${short(mean)}${low === null ? "" : ` (${short(low)} to ${short(high)})`}`).join("\n");
  });
  const valley = add(row.box, "p", {class: "gb-explorer-caption"});

  // A shaded interval, open where an end is missing.
  function band(xs, lo, hi, y, fill) {
    const runs = [[]];
    xs.forEach((x, j) => lo[j] === null ? runs.push([]) : runs.at(-1).push([x, y(lo[j]), y(hi[j])]));
    return runs.filter((part) => part.length > 1).map((part) => svg("path", {fill, "fill-opacity": 0.2, d:
      `M${part.map(([x, low]) => `${x},${low}`).join("L")}L${part.reverse().map(([x, , high]) => `${x},${high}`).join("L")}Z`})).join("");
  }

  const caption = add(root, "p", {class: "gb-explorer-caption"});

  // All of it

  function draw() {
    for (const [name, [input, output]] of Object.entries(inputs)) {
      input.value = at(name);
      output.value = number(get(name));
      input.setAttribute("aria-valuetext", READ_ALOUD[name](number(get(name))));
    }
    color.value = get("color");
    const offer = trains && !Object.keys(cells[key()] ?? {}).length ? " Press Train this." : "";
    sentence.textContent = (view()?.told[key()][get("seed")] ?? "…") + offer;
    caption.textContent = view()?.caption ?? "";
    drawTraining();
    if (map.drawn === [get("budget"), get("color"), map.root.clientWidth, Boolean(view())].join()) frame();
    else map.draw();
    curves.draw();
    row.draw();
    ask();
  }

  // A notebook sends the view of one budget with the page; the others are asked for one by one, this budget's first.
  let asked = null;
  function ask() {
    const missing = [get("budget"), ...values.budget].find((budget) => !views[budget]);
    if (missing === undefined || asked !== null) return;
    asked = missing;
    model.send({act: "view", budget: missing});
  }
  function take({budget, view: made}) {
    if (!made) return;
    views[budget] = made;
    if (asked === budget) asked = null;
    budget === get("budget") ? draw() : ask();
  }

  const moved = () => draw();
  const follow = () => { drawTraining(); curves.draw(); };
  const tell = () => say(get("note"), get("wrong"));
  const events = {...Object.fromEntries([...Object.keys(values), "color"].map((name) => [`change:${name}`, moved])),
                  "change:live": follow, "change:note": tell, "msg:custom": take};
  for (const [event, act] of Object.entries(events)) model.on(event, act);
  // JupyterLab takes keys for its own from whatever has the focus, unless that says otherwise.
  for (const control of root.querySelectorAll("input, select, button, [tabindex]"))
    control.setAttribute("data-lm-suppress-shortcuts", "true");
  const sized = new ResizeObserver(() => { if (root.clientWidth > 100) draw(); });
  sized.observe(root);
  return () => {
    sized.disconnect();
    for (const [event, act] of Object.entries(events)) model.off(event, act);
  };
}

export default {render};
