// Figures of the explorer: elements, scales, axes, lines. Each is set as a whole, as text, at every move: a figure has a
// few thousand points, and so it answers within a frame.

const HEIGHT = {map: 500, cell: 300, row: 190};
const INK = "#262626", FAINT = "var(--gb-faint)";

const number = (value) => value.toLocaleString("en");
const short = (value) => Number(value.toPrecision(3)).toString();

function add(parent, tag, attributes = {}, ...content) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...content);
  parent.append(element);
  return element;
}

// A piece of SVG as text.
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
    d += `${up ? "M" : "L"}${Math.round(10 * x) / 10},${Math.round(10 * y) / 10}`;
    up = false;
  }
  return d && svg("path", {d, fill: "none", "stroke-linejoin": "round", ...attributes});
}

// A shaded interval, open where an end is missing.
function band(xs, lo, hi, y, fill) {
  const runs = [[]];
  xs.forEach((x, j) => lo[j] === null ? runs.push([]) : runs.at(-1).push([x, y(lo[j]), y(hi[j])]));
  return runs.filter((part) => part.length > 1).map((part) => {
    const low = part.map(([x, y]) => `${x},${y}`), high = part.map(([x, , y]) => `${x},${y}`).reverse();
    return svg("path", {d: `M${[...low, ...high].join("L")}Z`, fill, "fill-opacity": 0.2});
  }).join("");
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
  const here = {place: box, root, heading, legend, width: 0, point: (event) => {
    const {left, top} = root.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }};
  here.measure = () => { here.width = root.clientWidth; };  // not at each move: the browser would lay out the page first
  here.draw = () => { if (here.width > 100) draw(here); };  // narrower is a page that is being laid out
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

// Ink that can be read on a colour.
function on(color) {
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(color.slice(i, i + 2), 16));
  return 0.3 * r + 0.59 * g + 0.11 * b < 110 ? "white" : INK;
}

const swatches = (entries) => entries.map(([color, words, kind = ""]) =>
  `<span><i class="${kind}" style="${kind ? "border-color" : "background"}: ${color}"></i>${words}</span>`).join("");
