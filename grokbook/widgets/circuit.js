// The circuit explorer: spectrum, neurons, clock and accuracies of one network, at the step that a slider chooses.
//
// `data` was made in Python (circuit.py) from stored weights, so a move needs no kernel; `root` is where to draw.

Object.assign(HEIGHT, {spectrum: 210, neurons: 210, clock: 300, growth: 300});
const KEY_COLOR = "#C2571A", OTHER = "#8C8C8C", HANDS = {a: "#1B8A9B", b: "#B8860B", "a + b": "currentColor"};
const {p, keys, steps, networks} = data, half = Math.floor(p / 2);
const state = {...data.start}, now = () => networks[state.step], turn = (k, n) => 2 * Math.PI * k * n / p;

root.firstElementChild.remove();
add(root, "style", {}, data.style);
const place = add(root, "div", {class: "gb-explorer"}), controls = add(place, "div", {class: "gb-explorer-controls"});
const inputs = [["step", steps.length - 1, (at) => number(steps[at])], ["a", p - 1, String], ["b", p - 1, String],
                ["k", Math.max(keys.length - 1, 0), (at) => keys[at] ?? "none"]].map(([name, max, words]) => {
  const label = add(controls, "label", {}, name === "k" ? "clock of k" : name);
  const input = add(label, "input", {type: "range", min: 0, max, "aria-label": name, class: `gb-circuit-${name}`});
  input.disabled = !max;
  input.addEventListener("input", () => { state[name] = Number(input.value); draw(); });
  return [name, input, add(label, "output"), words];
});
const sentence = add(place, "p", {class: "gb-explorer-sentence", "aria-live": "polite"});
const places = add(place, "div", {class: "gb-explorer-figures"});

const color = (k) => keys.includes(k) ? KEY_COLOR : OTHER;
const frequencies = (x) => [1, 10, 20, 30, 40, 50].filter((k) => k <= half).map((k) => [x(k), k]);
const box = (here, name) => ({left: 50, right: here.width - 8, top: 8, bottom: HEIGHT[name] - 38});
const along = (here, {left, right}) => { here.x = scale([0, half + 1], [left, right]); return here.x; };
const nearest = (here, px) => Math.min(half, Math.max(1, Math.round((px - here.x(0)) / (here.x(1) - here.x(0)))));
const tall = (tops) => Math.max(...tops);

const spectrum = figure(places, "spectrum", (here) => {
  const inside = box(here, "spectrum"), x = along(here, inside), {spectrum: shares} = now();
  const most = tall(networks.flatMap((network) => network.spectrum)), y = scale([0, most * 1.05], [inside.bottom, inside.top]);
  const width = Math.max(1, x(1) - x(0) - 1);
  here.heading.textContent = "embedding: share of its power";
  here.legend.innerHTML = swatches([[KEY_COLOR, "key frequencies at the end"], [OTHER, "others"]]);
  here.root.innerHTML = axes(inside, {x: frequencies(x), across: "frequency k", title: "share",
                                      y: [0, most].map((share) => [y(share), short(share)])})
    + shares.map((share, i) => svg("rect", {x: x(i + 1) - width / 2, y: y(share), width, fill: color(i + 1),
                                            height: inside.bottom - y(share), "data-k": i + 1})).join("");
  here.root.setAttribute("aria-label", `Power of the embedding by frequency at step ${steps[state.step]}.`);
}, (here, px) => { const k = nearest(here, px); return `k = ${k}: ${short(now().spectrum[k - 1])}`; });

const neurons = figure(places, "neurons", (here) => {
  const inside = box(here, "neurons"), x = along(here, inside), y = scale([0, 1.04], [inside.bottom, inside.top]);
  here.heading.textContent = "neurons: share that one frequency explains";
  here.legend.textContent = `a dot is a neuron; above ${data.tiled} it is of that frequency`;
  here.root.innerHTML = axes(inside, {x: frequencies(x), across: "frequency k", title: "explained",
                                      y: [0, 0.5, 1].map((share) => [y(share), share])}) + level(inside, y(data.tiled))
    + now().neurons.map(([k, share]) => svg("circle", {cx: x(k), cy: y(share), r: 2.6, fill: color(k),
                                                       "fill-opacity": 0.5, "data-k": k})).join("");
  here.root.setAttribute("aria-label", `Frequencies of the neurons at step ${steps[state.step]}.`);
}, (here, px) => {
  const k = nearest(here, px), of = now().neurons.filter(([frequency, share]) => frequency === k && share >= data.tiled);
  return `k = ${k}: ${of.length} neurons`;
});

const total = (c) => keys.reduce((sum, k, i) => sum + now().votes[i] * Math.cos(turn(k, state.a + state.b - c)), 0);
const answers = Array.from({length: p}, (_, c) => c);

const clock = figure(places, "clock", (here) => {
  const middle = here.width * 0.24, r = Math.min(middle - 30, 100), cy = 150, right = (state.a + state.b) % p;
  const inside = {left: here.width * 0.55, right: here.width - 8, top: 8, bottom: HEIGHT.clock - 38}, k = keys[state.k];
  here.heading.textContent = k ? `the clock of k = ${k}, and what all ${keys.length} vote` : "no key frequency, no clock";
  here.legend.innerHTML = swatches(Object.entries(HANDS).map(([name, stroke]) => [stroke, name, "gb-explorer-line"]))
    + "<span>bars: nats for each answer</span>";
  if (!k) { here.root.innerHTML = ""; return; }
  const at = (n, radius) => [middle + radius * Math.sin(turn(k, n)), cy - radius * Math.cos(turn(k, n))];
  const hand = (n, name) => {
    const [x, y] = at(n, r), [tx, ty] = at(n, r + 12), side = Math.sin(turn(k, n));
    return svg("path", {d: `M${middle},${cy}L${x},${y}`, stroke: HANDS[name], "stroke-width": 3, "data-hand": name})
      + svg("text", {x: tx, y: ty + 4, "text-anchor": side > 0.3 ? "start" : side < -0.3 ? "end" : "middle"}, n);
  };
  const least = -tall(networks.flatMap(({votes}) => [votes.reduce((sum, size) => sum + Math.abs(size), 0), 1]));
  const x = scale([0, p - 1], [inside.left, inside.right]), y = scale([least * 1.05, -least * 1.05], [inside.bottom, inside.top]);
  here.root.innerHTML = svg("circle", {cx: middle, cy, r, fill: "none", stroke: OTHER})
    + answers.map((n) => { const [cx, y] = at(n, r); return svg("circle", {cx, cy: y, r: 1.4, fill: OTHER}); }).join("")
    + hand(state.a, "a") + hand(state.b, "b") + hand(right, "a + b")
    + axes(inside, {x: [0, Math.floor(p / 2), p - 1].map((c) => [x(c), c]), across: "answer c", title: "",
                    y: [least, 0, -least].map((size) => [y(size), short(size)])}) + level(inside, y(0))
    + svg("path", {d: `M${x(right)},${inside.top}V${inside.bottom}`, stroke: "currentColor", "stroke-dasharray": "3 3"})
    + answers.map((c) => svg("path", {d: `M${x(c)},${y(0)}V${y(total(c))}`, stroke: c === right ? "currentColor" : OTHER,
                                      "stroke-width": c === right ? 3 : 1.4, "data-answer": c})).join("");
  here.root.setAttribute("aria-label", `Clock of frequency ${k}: ${state.a} plus ${state.b} is ${right}.`);
}, () => "");

const growth = figure(places, "growth", (here) => {
  const inside = box(here, "growth"), shown = steps.map((step) => step || 40);  // a logarithmic axis has no zero
  const x = scale([shown[0] * 0.8, shown.at(-1) * 1.2], [inside.left, inside.right], Math.log);
  const y = scale([-0.02, 1.04], [inside.bottom, inside.top]);
  here.heading.textContent = "the whole network";
  here.legend.innerHTML = swatches(data.curves.map(({name, color}) => [color, name, "gb-explorer-line"]));
  here.root.innerHTML = axes(inside, {x: apart(shown, x, 42).map((step) => [x(step), step === 40 ? 0 : number(step)]), title: "share",
                                      across: "step", y: [0, 0.5, 1].map((share) => [y(share), share])})
    + svg("path", {d: `M${x(shown[state.step])},${inside.top}V${inside.bottom}`, stroke: "currentColor", "stroke-dasharray": "3 3"})
    + data.curves.map(({key, color: stroke}) => line(networks.map((network, i) => [x(shown[i]), y(network[key])]),
                                                     {stroke, "stroke-width": 2.5, "data-metric": key})
      + networks.map((network, i) => svg("circle", {cx: x(shown[i]), cy: y(network[key]), fill: stroke,
                                                    r: i === state.step ? 5 : 2})).join("")).join("");
  here.root.setAttribute("aria-label", "Accuracies and the share of the key frequencies along the steps.");
}, () => "");

function draw() {
  for (const [name, input, output, words] of inputs) {
    input.value = state[name];
    output.value = words(state[name]);
    input.setAttribute("aria-valuetext", `${name} ${words(state[name])}`);
  }
  const best = answers.reduce((best, c) => total(c) > total(best) ? c : best, 0), percent = (share) => `${(100 * share).toFixed(1)} %`;
  const told = keys.length ? ` For ${state.a} + ${state.b} its key frequencies alone vote for ${best}; right is ${(state.a + state.b) % p}.` : "";
  sentence.textContent = `Step ${number(steps[state.step])}: right on ${percent(now().train_acc)} of the training pairs, on `
    + `${percent(now().val_acc)} of the others.${told}`;
  for (const shown of [spectrum, neurons, clock, growth]) shown.draw();
}

new ResizeObserver(() => {
  for (const shown of [spectrum, neurons, clock, growth]) shown.measure();
  draw();
}).observe(place);
