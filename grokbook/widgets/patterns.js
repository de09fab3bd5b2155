// The pattern model in a page without a kernel: Eq 1 and 2 of Davies et al. 2022 (analysis/patterns.py), computed anew
// while a slider moves. `told` has the patterns, the sliders' ranges, colours, and the levels of analysis/kinds.py.

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

function render_patterns(el, told) {
  const root = add(el, "div", {class: "gb-explorer"}), patterns = structuredClone(told.patterns);
  const inputs = [], morph = slider(root, told.morph.label, [0, 1, 0.01], 0, (share) => {
    for (const [i, from, to] of told.morph.gammas) patterns[i].gamma = from + share * (to - from);
  });
  const sentence = add(root, "p", {class: "gb-explorer-sentence", "aria-live": "polite"});
  const shown = figure(root, "cell", draw_curves, () => "");
  for (const [i, pattern] of patterns.entries()) {
    const group = add(root, "fieldset", {class: "gb-explorer-controls"}, add(root, "legend", {}, told.names[i]));
    for (const [name, {label, range}] of Object.entries(told.sliders))
      inputs.push([slider(group, label, range, pattern[name], (value) => { pattern[name] = value; }), () => pattern[name]]);
  }

  function slider(place, words, [min, max, step], value, change) {
    const label = add(place, "label", {}, words), input = add(label, "input", {type: "range", min, max, step, "aria-label": words});
    const output = add(label, "output");
    input.show = (value) => {
      [input.value, output.value] = [value, short(value)];
      input.setAttribute("aria-valuetext", short(value));
    };
    input.show(value);
    input.addEventListener("input", () => { change(Number(input.value)); input.show(Number(input.value)); draw(); });
    return input;
  }

  function draw_curves(here) {
    const curves = model(patterns), wide = {left: 46, right: here.width - 8};
    const above = {...wide, top: 8, bottom: 128}, below = {...wide, top: 144, bottom: 264};
    const x = scale([0, 300], [wide.left, wide.right]);
    const lines = [...curves.p.map((p, i) => [p, above, told.colors[i], told.names[i], patterns[i].preferred]),
                   [curves.train, below, "var(--gb-train)", "train"], [curves.test, below, told.test, "test"]];
    here.heading.textContent = "The patterns, and the accuracy they add up to";
    here.legend.innerHTML = swatches(lines.map(([, , color, name]) => [color, name, "gb-explorer-line"]));
    const marks = (box) => SHARES_OF_ONE.map((share) => [scale([-0.04, 1.06], [box.bottom, box.top])(share), share]);
    here.root.innerHTML = axes(above, {title: "covers", y: marks(above)})
      + axes(below, {title: "accuracy", y: marks(below), across: "time t", x: [0, 100, 200, 300].map((t) => [x(t), t])})
      + lines.map(([values, box, stroke, name, dashed]) => {
        const y = scale([-0.04, 1.06], [box.bottom, box.top]);
        return line(values.map((value, t) => [x(t), y(value)]), {stroke, "stroke-width": 2.5, "data-curve": name,
                                                                  ...(dashed ? {"stroke-dasharray": "7 4"} : {})});
      }).join("");
    sentence.textContent = sentence_of(curves, told.levels);
    here.root.setAttribute("aria-label", `Curves of the pattern model. ${sentence.textContent}`);
  }

  function draw() {
    for (const [input, value] of inputs) input.show(value());
    shown.draw();
  }

  const sized = new ResizeObserver(() => { shown.measure(); draw(); });
  sized.observe(root);
  return morph;
}
