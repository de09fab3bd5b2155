// A guess: handles that the reader drags to what they expect, and a button that shows the runs beside them.
//
// `data` was made in Python (guess.py) of stored runs; `root` is where to draw.

const GUESSED = "#C2571A", {levels, handles, places, runs} = data, rows = levels.length;
HEIGHT.guess = 250;
root.firstElementChild.remove();
add(root, "style", {}, data.style);
const place = add(root, "div", {class: "gb-explorer gb-guess"});
const guess = Array(handles.length).fill(null), low = rows ? -0.5 : 0, high = rows ? rows - 0.5 : data.top;
let shown = false;

const at = (i) => runs.map((run) => run[handles[i]]).filter((value) => value !== null);
const words = (value) => rows ? levels[value] : data.top === 1 ? value.toFixed(2) : short(value);
const middle = rows ? Math.floor(rows / 2) : data.top / 2;

// What most runs came to: the mean of numbers; of zones those that are the most frequent.
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const count = (values, level) => values.filter((value) => value === level).length;
const commonest = (values) => levels.map((_, level) => level).filter((level) =>
  count(values, level) && levels.every((_, other) => count(values, other) <= count(values, level)));
const wrong = (i) => Number(!commonest(at(i)).includes(guess[i]));

const drawn = figure(place, "guess", (here) => {
  const inside = {left: rows ? 108 : 50, right: here.width - 12, top: 8, bottom: HEIGHT.guess - 38};
  const x = scale([-0.5, places.length - 0.5], [inside.left, inside.right]), y = scale([low, high], [inside.bottom, inside.top]);
  Object.assign(here, {x, y});
  const marks = rows ? levels.map((name, level) => [y(level), name]) : [0, data.top / 2, data.top].map((v) => [y(v), short(v)]);
  const named = apart(handles, x, 44).map((j) => [x(j), number(places[j])]);
  here.heading.textContent = `Your guess first. ${data.question}`;
  here.legend.innerHTML = swatches([[GUESSED, "your guess", "gb-explorer-line"], ...(shown ? [[data.color, "runs that were trained"]] : [])]);
  here.root.innerHTML = axes(inside, {x: named, y: marks, across: data.along, title: data.title})
    + line(handles.map((j, i) => [x(j), y(guess[i] ?? middle)]), {stroke: GUESSED, "stroke-width": 2, "stroke-dasharray": guess.includes(null) ? "2 5" : "7 4"})
    + handles.map((j, i) => svg("circle", {
      cx: x(j), cy: y(guess[i] ?? middle), r: 8, fill: guess[i] === null ? FAINT : GUESSED, stroke: GUESSED, "fill-opacity": 0.7, tabindex: 0,
      role: "slider", "aria-label": `your guess at ${data.along} ${number(places[j])}`, "aria-valuenow": guess[i] ?? middle,
      "aria-valuetext": words(guess[i] ?? middle), "data-handle": i})).join("")
    + (shown ? measured(here) : "");
  here.root.setAttribute("aria-label", `${data.question} ${sentence.textContent}`);
}, () => "");

function measured({x, y}) {
  const jitter = (s) => rows ? (s - (runs.length - 1) / 2) * Math.min(7, 40 / runs.length) : 0;
  const dense = places.length > handles.length;
  return runs.map((run, s) => (dense ? line(run.map((value, j) => [x(j), value === null ? null : y(value)]), {stroke: data.color, "stroke-width": 1.5, "stroke-opacity": 0.7})
    : run.map((value, j) => value === null ? "" : svg("circle", {cx: x(j) + jitter(s), cy: y(value), r: 4, fill: data.color, "data-run": s, "pointer-events": "none"})).join(""))).join("");
}

const buttons = add(place, "div", {class: "gb-explorer-training"});
const show = add(buttons, "button", {type: "button"}, "Show what was measured"), anew = add(buttons, "button", {type: "button"}, "Guess again");
const sentence = add(place, "p", {class: "gb-explorer-sentence", "aria-live": "polite"});

function told() {
  if (!shown) return guess.includes(null) ? "Draw across the figure, or drag the handles; arrow keys move them too." : "";
  const known = handles.map((j, i) => i).filter((i) => at(i).length && guess[i] !== null);
  if (!known.length) return "";
  const name = (i) => `${data.along} ${number(places[handles[i]])}`, off = rows ? wrong : (i) => Math.abs(guess[i] - mean(at(i)));
  const worst = known.reduce((a, b) => off(b) > off(a) ? b : a), there = at(worst), [most] = commonest(there);
  const far = rows ? `You named what most runs came to at ${known.filter((i) => !wrong(i)).length} of ${known.length} places.`
    : `Your guess is off by ${words(mean(known.map(off)))} in the mean.`;
  const measured = rows ? `${count(there, most)} of ${there.length} runs say ${words(most)}`
    : `${there.length} ${there.length === 1 ? "run says" : "runs say"} ${words(Math.min(...there))} to ${words(Math.max(...there))}`;
  return off(worst) ? `${far} At ${name(worst)} you said ${words(guess[worst])}, and ${measured}.` : far;
}

function draw(focused) {
  sentence.textContent = told();
  anew.disabled = guess.every((value) => value === null);
  show.disabled = shown;
  drawn.draw();
  if (focused !== undefined) drawn.root.querySelector(`[data-handle="${focused}"]`).focus();
}

function set(i, value) {
  guess[i] = Math.min(Math.max(rows ? Math.round(value) : value, rows ? 0 : low), rows ? rows - 1 : high);
}

let last = null;  // the handle that was drawn over last: a quick hand skips some
function drag(event) {
  const [px, py] = drawn.point(event), {x, y} = drawn;
  const near = handles.reduce((best, j, i) => Math.abs(x(j) - px) < Math.abs(x(handles[best]) - px) ? i : best, 0);
  const value = low + (y(low) - py) / (y(low) - y(high)) * (high - low), from = last ?? near, before = guess[from] ?? value;
  for (let i = from; i !== near; i += Math.sign(near - from)) if (i !== from) set(i, before + (value - before) * (i - from) / (near - from));
  set(last = near, value);
  draw();
}
drawn.root.setAttribute("role", "group");
drawn.root.style.cssText = "cursor: crosshair; touch-action: none";
drawn.root.addEventListener("pointerdown", (event) => {
  event.preventDefault();
  drawn.root.setPointerCapture(event.pointerId);
  last = null;
  drag(event);
});
drawn.root.addEventListener("pointermove", (event) => { if (drawn.root.hasPointerCapture(event.pointerId)) drag(event); });
drawn.root.addEventListener("keydown", (event) => {
  const way = {ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1}[event.key], i = Number(event.target.dataset?.handle);
  if (!way || Number.isNaN(i)) return;
  event.preventDefault();
  event.stopPropagation();
  set(i, (guess[i] ?? middle) + way * (rows ? 1 : data.top / 20));
  draw(i);
});
show.addEventListener("click", () => { shown = true; draw(); });
anew.addEventListener("click", () => { guess.fill(null); shown = false; draw(); });

new ResizeObserver(() => { drawn.measure(); draw(); }).observe(place);
