// The pattern explorer: Eq 1 and 2 of Davies et al. 2022 (analysis/patterns.py), computed anew
// while a slider moves, without a kernel. `told` has presets, the sliders' ranges, colours, and the levels of
// analysis/kinds.py.

const SHARES_OF_ONE = [0, 0.5, 1];
const TIMES = [...Array(301).keys()];

function model(patterns) {
  const p = patterns.map(({gamma, alpha, b}) => TIMES.map((t) => gamma / (1 + Math.exp(-alpha * (t - b)))));
  const subsets = [...Array(2 ** patterns.length).keys()].slice(1).map((bits) => patterns.map((_, i) => bits >> i & 1));
  const worths = subsets.map((inside) => {
    const own = patterns.filter((_, i) => inside[i]), preferred = own.find((pattern) => pattern.preferred);
    return preferred ? preferred.g : own.reduce((sum, {g}) => sum + g, 0) / own.length;
  });
  const chance = (inside, t) => p.reduce((product, own, i) => product * (inside[i] ? own[t] : 1 - own[t]), 1);
  return {p, train: TIMES.map((t) => 1 - p.reduce((product, own) => product * (1 - own[t]), 1)),
          test: TIMES.map((t) => subsets.reduce((sum, inside, k) => sum + worths[k] * chance(inside, t), 0))};
}

// The deepest dip of a curve: the least of the rise before it, the fall and the rise after it; where its peak and valley are.
function deepest(curve) {
  const before = [], after = [];
  for (const [i, value] of curve.entries()) before.push(Math.max(value, before[i - 1] ?? value));
  for (let i = curve.length - 1; i >= 0; i--) after[i] = Math.max(curve[i], after[i + 1] ?? curve[i]);
  const depths = curve.map((value, i) => Math.min(before[i] - curve[0], Math.min(before[i], after[i]) - value));
  const valley = depths.indexOf(Math.max(...depths));
  return {dip: depths[valley], valley, peak: curve.lastIndexOf(before[valley], valley)};
}

function kind_of({train, test}, {dip, low, high, memorised, long_before}) {
  const first = (curve, level) => curve.findIndex((value) => value >= level), shape = deepest(test);
  const t_mem = first(train, memorised), t_gen = first(test, high);
  const groks = t_mem >= 0 && t_gen >= long_before * t_mem && test[t_mem] <= low;
  return {...shape, t_mem, t_gen, kind: [["neither", "grokking"], ["double descent", "both"]][+(shape.dip >= dip)][+groks]};
}

function sentence_of(curves, levels) {
  const {kind, peak, valley, t_mem, t_gen} = kind_of(curves, levels), {test} = curves, at = (t) => test[t].toFixed(2);
  const descends = `Test accuracy rises to ${at(peak)} at t = ${peak}, falls to ${at(valley)} at t = ${valley} and ends at `
    + `${at(300)}: double descent.`;
  const groks = `Train accuracy reaches ${levels.memorised} at t = ${t_mem}, when test accuracy is ${at(Math.max(t_mem, 0))}; that `
    + `reaches ${levels.high} only at t = ${t_gen}: grokking.`;
  return {"double descent": descends, grokking: groks, both: `${descends} ${groks}`,
          neither: `Neither double descent nor grokking. Test accuracy ends at ${at(300)}.`}[kind];
}

// The kind of curves over γ of the first pattern (along a row) and of the last. Every accuracy is linear in each of them,
// so the four corners of the map tell all of it.
function kind_map(patterns, size, levels) {
  const last = patterns.length - 1, all = (a, b) => model(patterns.map((pattern, i) => ({...pattern, gamma: i === 0 ? a : i === last ? b : pattern.gamma})));
  const corners = [all(0, 0), all(1, 0), all(0, 1), all(1, 1)];
  const mixed = (name, a, b) => TIMES.map((t) => (1 - b) * ((1 - a) * corners[0][name][t] + a * corners[1][name][t])
    + b * ((1 - a) * corners[2][name][t] + a * corners[3][name][t]));
  const shares = [...Array(size).keys()].map((i) => i / (size - 1));
  return shares.map((b) => shares.map((a) => kind_of({train: mixed("train", a, b), test: mixed("test", a, b)}, levels).kind));
}

function render_patterns(el, told) {
  Object.assign(HEIGHT, {kinds: 300});
  add(el, "style", {}, told.style);
  const root = add(el, "div", {class: "gb-explorer gb-patterns"});
  const above = add(root, "div", {class: "gb-explorer-controls"}), sentence = add(root, "p", {class: "gb-explorer-sentence", "aria-live": "polite"});
  const places = add(root, "div", {class: "gb-explorer-figures"}), rows = add(root, "div");
  let patterns, name = told.start, share = 0, inputs = [], mapped = {};

  const preset = add(add(above, "label", {class: "gb-explorer-choice"}, "preset"), "select", {"aria-label": "preset"});
  for (const words of [...Object.keys(told.presets), told.own]) preset.add(new Option(words, words));
  preset.addEventListener("change", () => {
    if (told.presets[preset.value]) [name, share] = [preset.value, Number(preset.value === "grokking")];
    set(structuredClone(told.presets[name] ?? patterns));
  });
  const more = add(above, "button", {type: "button"}, "Add a pattern");
  more.addEventListener("click", () => { own(); set([...patterns, {...told.new}]); });
  const morph = slider(above, told.morph.label, [0, 1, 0.01], () => share, (value) => {
    [share, name] = [value, [...Object.keys(told.presets), told.own][value === 0 ? 0 : value === 1 ? 1 : Object.keys(told.presets).length]];
    const morphed = structuredClone(told.presets["double descent"]);
    for (const [i, from, to] of told.morph.gammas) morphed[i].gamma = from + share * (to - from);
    set(morphed);
  });

  function own() { [name, share] = [told.own, 0]; }

  function slider(place, words, [min, max, step], value, change) {
    const label = add(place, "label", {}, words), input = add(label, "input", {type: "range", min, max, step, "aria-label": words});
    const output = add(label, "output");
    input.show = () => {
      [input.value, output.value] = [value(), short(value())];
      input.setAttribute("aria-valuetext", short(value()));
    };
    input.addEventListener("input", () => { change(Number(input.value)); draw(); });
    return input;
  }

  const named = (i) => patterns[i].name ?? `pattern ${i + 1}`;
  const color = (i) => `color-mix(in srgb, ${told.colors[i % told.colors.length]}, currentColor 20%)`;  // dark pages too

  // Rows stay while they are of the same patterns, so that a hand on a slider keeps it.
  function set(wanted) {
    const before = patterns?.map((_, i) => named(i)).join();
    patterns = wanted;
    if (before !== patterns.map((_, i) => named(i)).join()) { rows.replaceChildren(); inputs = wanted.map(row).flat(); }
    draw();
  }

  function row(_, i) {
    const group = add(rows, "fieldset", {class: "gb-explorer-controls"}), legend = add(group, "legend", {style: "font-weight: 600"}, named(i));
    add(legend, "i", {style: `display: inline-block; width: 16px; margin-left: 6px; vertical-align: 3px; border-top: 3px solid ${color(i)}`});
    const made = Object.entries(told.sliders).map(([key, {label, range}]) =>
      slider(group, label, range, () => patterns[i][key], (value) => { own(); patterns[i][key] = value; }));
    const label = add(group, "label", {class: "gb-explorer-choice"}), box = add(label, "input", {type: "checkbox"});
    label.append("preferred");
    box.show = () => { box.checked = patterns[i].preferred; };
    box.addEventListener("change", () => { own(); patterns.forEach((pattern, k) => { pattern.preferred = k === i && box.checked; }); draw(); });
    const gone = add(group, "button", {type: "button", "aria-label": `remove ${legend.textContent}`}, "Remove");
    gone.disabled = patterns.length === 1;
    gone.addEventListener("click", () => { own(); set(patterns.filter((_, k) => k !== i)); });
    return [...made, box];
  }

  const curved = figure(places, "cell", (here) => {
    const curves = model(patterns), wide = {left: 46, right: here.width - 8};
    const above = {...wide, top: 8, bottom: 128}, below = {...wide, top: 144, bottom: 264};
    const x = scale([0, 300], [wide.left, wide.right]);
    const lines = [...curves.p.map((p, i) => [p, above, color(i), named(i), patterns[i].preferred]),
                   [curves.train, below, "var(--gb-train)", "train"], [curves.test, below, told.test, "test"]];
    here.heading.textContent = "The patterns (dashed: preferred), and what they add up to";
    here.legend.innerHTML = swatches(lines.map(([, , stroke, words]) => [stroke, words, "gb-explorer-line"]));
    const marks = (box) => SHARES_OF_ONE.map((share) => [scale([-0.04, 1.06], [box.bottom, box.top])(share), share]);
    here.root.innerHTML = axes(above, {title: "covers", y: marks(above)})
      + axes(below, {title: "accuracy", y: marks(below), across: "time t", x: [0, 100, 200, 300].map((t) => [x(t), t])})
      + lines.map(([values, box, stroke, words, dashed]) => {
        const y = scale([-0.04, 1.06], [box.bottom, box.top]);
        return line(values.map((value, t) => [x(t), y(value)]), {stroke, "stroke-width": 2.5, "data-curve": words,
                                                                  ...(dashed ? {"stroke-dasharray": "7 4"} : {})});
      }).join("");
    sentence.textContent = sentence_of(curves, told.levels);
    here.root.setAttribute("aria-label", `Curves of the pattern model. ${sentence.textContent}`);
  }, () => "");

  const SIZE = 31, inside = (here) => ({left: 46, right: here.width - 8, top: 8, bottom: 264});
  const chart = figure(places, "kinds", (here) => {
    const key = JSON.stringify(patterns.map((pattern, i) => ({...pattern, name: i, gamma: i % (patterns.length - 1) ? pattern.gamma : 0})));
    if (mapped.key !== key) mapped = {key, kinds: patterns.length > 1 ? kind_map(patterns, SIZE, told.levels) : []};
    const box = inside(here), x = scale([0, 1], [box.left, box.right]), y = scale([0, 1], [box.bottom, box.top]), half = 0.5 / (SIZE - 1);
    const at = (i) => Math.min(1, Math.max(0, i / (SIZE - 1) - half));
    const marks = (place) => SHARES_OF_ONE.map((share) => [place(share), share]);
    here.place.hidden = !mapped.kinds.length;
    here.heading.textContent = "What it shows, by two of its γ: drag the ring";
    here.legend.innerHTML = swatches(Object.entries(told.kinds).map(([kind, fill]) => [fill, kind]));
    here.root.innerHTML = mapped.kinds.map((kinds, j) => {
      let parts = "";
      for (let from = 0, to; from < SIZE; from = to) {
        for (to = from + 1; to < SIZE && kinds[to] === kinds[from];) to++;
        parts += svg("rect", {x: x(at(from)), width: x(at(to)) - x(at(from)), y: y(at(j + 1)), height: y(at(j)) - y(at(j + 1)),
                              fill: told.kinds[kinds[from]], "shape-rendering": "crispEdges", "data-kind": kinds[from]});
      }
      return parts;
    }).join("") + axes(box, {x: marks(x), y: marks(y), across: `γ of ${named(0)}`, title: `γ of ${named(patterns.length - 1)}`})
      + svg("circle", {cx: x(patterns[0].gamma), cy: y(patterns.at(-1).gamma), r: 8, fill: "white", stroke: "#262626", "stroke-width": 3, "data-ring": ""});
    here.root.setAttribute("aria-label", `Map of the kinds; the ring is at ${short(patterns[0].gamma)} and ${short(patterns.at(-1).gamma)}.`);
  }, () => "");

  function drag(event) {
    const box = inside(chart), [px, py] = chart.point(event), bounded = (value) => Math.min(1, Math.max(0, Math.round(100 * value) / 100));
    own();
    patterns[0].gamma = bounded((px - box.left) / (box.right - box.left));
    patterns.at(-1).gamma = bounded((box.bottom - py) / (box.bottom - box.top));
    draw();
  }
  chart.root.style.cssText = "cursor: grab; touch-action: none";
  chart.root.addEventListener("pointerdown", (event) => { chart.root.setPointerCapture(event.pointerId); drag(event); });
  chart.root.addEventListener("pointermove", (event) => { if (chart.root.hasPointerCapture(event.pointerId)) drag(event); });

  function draw() {
    preset.value = name;
    for (const input of [morph, ...inputs]) input.show();
    curved.draw();
    chart.draw();
  }

  const sized = new ResizeObserver(() => { curved.measure(); chart.measure(); draw(); });
  set(structuredClone(told.presets[name]));
  share = Number(name === "grokking");
  sized.observe(root);
}
