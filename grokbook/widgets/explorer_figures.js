// The three figures of the explorer, each of what `state` (explorer.js) says is chosen.

const CRIT = "#000000", HALO = 0.35, FOR_A_BAND = 5;
const SHARES = [0, 0.5, 1];

function map_of(place, {row, sizes, rows, edges, zones, neither, shades, colors, memory, get, at, view, choose, intervals}) {
  const inside = `gb-${Math.random().toString(36).slice(2)}`;  // a page may hold several explorers
  let drawn = "";
  const map = figure(place, "map", (here) => {
    const now = [get("budget"), get("color"), here.width, Boolean(view()), intervals()].join();
    if (now !== drawn) all(here);
    drawn = now;
    frame(here);
  }, (_, px, py) => {
    const [j, i] = cell(px, py);
    return j === null ? "" : view()?.hover[i][j].replaceAll("<br>", "\n");
  });

  function all(here) {
    const shown = view(), box = here.box = {left: 60, right: here.width - 8, top: 6, bottom: HEIGHT.map - 38};
    const x = here.x = scale([-0.5, sizes.length - 0.5], [box.left, box.right]);
    const rank = ranking([edges[0], ...rows, edges.at(-1)]), up = scale([0, rows.length], [box.bottom, box.top]);
    const y = here.y = (pairs) => up(rank(pairs));
    const budget = number(get("budget")), zone = get("color") === "zone";
    here.heading.textContent = shown ? `${colors[get("color")]} after ${budget} steps`
      : `judging all runs after ${budget} steps …`;
    const named = zone ? [...zones.map(({name, color}) => [color, name]), [cross_out(zones[0].color), neither]]
      : [0, 0.25, 0.5, 0.75, 1].map((share) => [shades[Math.round(share * (shades.length - 1))], share]);
    const lines = [["D_crit", CRIT], ["D_mem", memory]].filter(([name]) => shown?.lines[name]);
    const unknown = shown?.shown.zone.flat().includes(null) ? [[FAINT, "not trained"]] : [];
    here.legend.innerHTML = swatches([...named, ...unknown]) + swatches(lines.map(([name, color]) => [color, name, "gb-explorer-line"]));
    const clip = {x: box.left, y: box.top, width: box.right - box.left, height: box.bottom - box.top};
    const parts = shown ? [cells(shown, x, y), ...lines.map(([name, stroke]) => lined(shown.lines[name], x, y, stroke, intervals())),
                           ...shown.star.map(([column, pairs]) => star(x(column), y(pairs)))] : [];
    here.root.innerHTML = axes(box, {x: sizes.map((size, j) => [x(j), size]), across: "d_h", title: `${row}, rows of equal height`,
                                     y: apart(rows, y, 16).map((pairs) => [y(pairs), number(pairs)])})
      + svg("clipPath", {id: inside}, svg("rect", clip)) + svg("g", {"clip-path": `url(#${inside})`}, parts.join(""))
      + svg("g", {class: "gb-explorer-frame"});
  }

  function cells({shown, text, crossed}, x, y) {
    const zone = get("color") === "zone", parts = [];
    shown[get("color")].forEach((row, i) => row.forEach((value, j) => {
      const left = x(j - 0.5), top = y(edges[i + 1]), width = x(j + 0.5) - left, height = y(edges[i]) - top;
      if (value === null) return parts.push(untrained(left + 0.5, top + 0.5, width - 1, height - 1));
      const fill = zone ? zones[value].color : shades[Math.round(value * (shades.length - 1))];
      parts.push(svg("rect", {x: left + 0.5, y: top + 0.5, width: width - 1, height: height - 1, fill}));
      if (zone && crossed[i][j]) parts.push(svg("path", {d: `M${left},${top}l${width},${height}m0,${-height}l${-width},${height}`, stroke: INK, "data-crossed": ""}));
      const looks = {x: left + 4, y: top + height - 5, style: `font-size: 11px; fill: ${on(fill)}`};
      if (zone && text[i][j] && width > 22 && height > 16) parts.push(svg("text", looks, text[i][j]));
    }));
    return parts.join("");
  }

  // The frame alone moves with the sliders; its row is marked too.
  function frame({root, x, y, box: {left, right}}) {
    const i = at(row), j = at("d_h"), top = y(edges[i + 1]), height = y(edges[i]) - top;
    const cell = {x: x(j - 0.5), y: top, width: x(1) - x(0), height, fill: "none"};
    root.querySelector(".gb-explorer-frame").innerHTML =
      svg("path", {d: `M${left},${top}H${right}M${left},${top + height}H${right}`, stroke: "currentColor", "stroke-dasharray": "3 3"})
      + svg("rect", {...cell, stroke: "white", "stroke-width": 6})
      + svg("rect", {...cell, stroke: "black", "stroke-width": 3});
    const words = view()?.hover[i][j].replaceAll("<br>", ", ") ?? "";
    root.setAttribute("aria-label", `Map of d_h and ${row}; arrow keys move. ${words}`);
  }

  function cell(px, py) {
    const {left, right, top, bottom} = map.box;
    if (px < left || px > right || py < top || py > bottom) return [null, null];
    const j = Math.min(sizes.length - 1, Math.floor((px - left) / (right - left) * sizes.length));
    return [j, rows.findLastIndex((_, i) => py <= map.y(edges[i]))];
  }

  function pick(event) {
    const [j, i] = cell(...map.point(event));
    if (j !== null) choose({d_h: sizes[j], [row]: rows[i]});
  }

  function walk(event) {
    const [dx, dy] = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1]}[event.key] ?? [];
    if (dx === undefined) return;
    event.preventDefault();
    choose({d_h: sizes[at("d_h") + dx] ?? get("d_h"), [row]: rows[at(row) + dy] ?? get(row)});
  }

  map.root.setAttribute("tabindex", 0);
  map.root.addEventListener("click", pick);
  map.root.addEventListener("keydown", walk);
  map.root.addEventListener("pointermove", (event) => {
    if (event.buttons === 1 && event.pointerType === "mouse") pick(event);
  });
  return map;
}

const star = (x, y) => svg("text", {x, y: y + 7, "text-anchor": "middle",
                                    style: "font-size: 22px; fill: black; stroke: white; stroke-width: 3px; paint-order: stroke"}, "★");

// The swatch of a cell that is crossed out.
const cross_out = (color) => [45, -45].map((turn) => `linear-gradient(${turn}deg, transparent 45%, ${INK} 45% 55%, transparent 55%)`).join() + `, ${color}`;

// Nothing was trained here: no colour, and a stroke through it.
const untrained = (x, y, width, height) => svg("rect", {x, y, width, height, fill: FAINT, "data-untrained": ""})
  + svg("path", {d: `M${x},${y + height}L${x + width},${y}`, stroke: "#B8B8B8"});

// Values of a map's rows to their rank: halves of rows in their middles, whole numbers between them.
function ranking(knots) {
  const ranks = knots.map((_, i) => i === 0 ? 0 : Math.min(i - 0.5, knots.length - 2));
  return (value) => {
    const i = Math.max(0, Math.min(knots.length - 2, knots.findLastIndex((knot) => knot <= value)));
    return ranks[i] + (value - knots[i]) / (knots[i + 1] - knots[i]) * (ranks[i + 1] - ranks[i]);
  };
}

// A line over a map, cased in white so that it is seen on every colour; its intervals only when asked for.
function lined(points, x, y, stroke, intervals) {
  const known = intervals ? points.filter(([, , low]) => low !== null) : [];
  const places = points.map(([column, value]) => [x(column), y(value)]);
  return known.map(([column, , low, high]) => [["white", 3.5], [stroke, 1.5]].map(([stroke, width]) =>
    svg("path", {d: `M${x(column)},${y(low)}V${y(high)}`, stroke, "stroke-width": width, "data-interval": ""})).join("")).join("")
    + line(places, {stroke: "white", "stroke-width": 5}) + line(places, {stroke, "stroke-width": 2.5})
    + points.map(([column, value]) =>
      svg("circle", {cx: x(column), cy: y(value), r: 3.2, fill: stroke, stroke: "white"})).join("");
}

// The curves of a cell: accuracies above, the norm below; thin all seeds, thick the chosen one, wide what is trained here.
function cell_of(place, {row, values, steps, x: places, metrics, get, key, view, live, runs}) {
  const last = values.budget.at(-1), powers = [10, 100, 1e3, 1e4, 1e5, 1e6].filter((power) => power <= last);

  function draw(here) {
    const lines = runs(), mine = live().d_h === get("d_h") && live()[row] === get(row) ? live() : null;
    const wide = {left: 46, right: here.width - 8};
    const above = {...wide, top: 8, bottom: 196}, below = {...wide, top: 208, bottom: 264};
    const x = scale([places[0] * 0.8, last * 1.2], [wide.left, wide.right], Math.log);
    const norms = [...Object.values(lines).flatMap((curves) => curves[3]), ...(mine?.lines[3] ?? [])];
    const most = norms.reduce((most, norm) => Math.max(most, norm ?? 0), 1);
    const accuracy = scale([-0.04, 1.06], [above.bottom, above.top]);
    const norm = scale([0, most * 1.08], [below.bottom, below.top]);
    const y = [accuracy, accuracy, accuracy, norm];
    here.near = [];
    here.heading.textContent = `d_h ${get("d_h")}, ${row} ${number(get(row))}: seed ${get("seed")} thick`;
    here.legend.innerHTML = swatches(metrics.map(({color, name}) => [color, name, "gb-explorer-line"]))
      + "<span>● memorised</span><span>◆ generalised</span>" + (mine ? swatches([["#0072B259", "trained here"]]) : "");
    const named = [[x(places[0]), 0], ...powers.map((power) => [x(power), power < 1000 ? power : `${power / 1000}k`])];
    here.root.innerHTML = axes(above, {title: "accuracy", y: SHARES.map((share) => [accuracy(share), share])})
      + axes(below, {title: "norm", x: named, across: "step", y: [[norm(0), 0], [norm(most), Math.round(most)]]})
      + [0.25, 0.5, 0.75, 1].map((share) => level(wide, accuracy(share))).join("")
      + curves(here, lines, mine, x, y) + marks(lines, x, y);
    here.root.setAttribute("aria-label", `Curves of d_h ${get("d_h")} and ${row} ${get(row)}, told in the sentence.`);
  }

  function curves({near}, lines, mine, x, y) {
    const until = steps.findLastIndex((step) => step <= get("budget")) + 1, xs = places.map(x), own = mine?.x.map(x);
    const points = (values, xs, k) => values.map((value, i) => [xs[i], value === null ? null : y[k](value)]);
    return metrics.map(({color: stroke, name, key: metric}, k) => {
      const halo = {stroke, "stroke-width": 8, "stroke-opacity": HALO, "stroke-linecap": "round", "data-metric": metric};
      const trained = mine ? line(points(mine.lines[k], own, k), {...halo, class: "gb-explorer-live"}) : "";
      return trained + Object.entries(lines).map(([seed, all]) => {
        const shown = points(all[k].slice(0, until), xs, k), thick = Number(seed) === get("seed");
        near.push([shown, all[k], `${name}, seed ${seed}`]);
        const looks = thick ? {"stroke-width": 2.5} : {"stroke-width": 1, "stroke-opacity": 0.4};
        return line(shown, {stroke, ...looks, "data-metric": metric, "data-seed": seed});
      }).join("");
    }).join("");
  }

  function marks(lines, x, y) {
    const mark = (seed, step, k, shape) => {
      const cx = x(step), cy = y[k](lines[seed][k][steps.indexOf(step)] ?? 1), r = Number(seed) === get("seed") ? 5 : 3.2;
      const looks = {fill: metrics[k].color, stroke: "white", "data-event": shape, "data-seed": seed}, d = r * 1.3;
      return shape === "circle" ? svg("circle", {cx, cy, r, ...looks})
        : svg("path", {d: `M${cx - d},${cy}L${cx},${cy - d}L${cx + d},${cy}L${cx},${cy + d}Z`, ...looks});
    };
    return Object.entries(view()?.runs[key()] ?? {}).map(([seed, [t_mem, t_gen]]) =>
      (t_mem === null ? "" : mark(seed, t_mem, 0, "circle")) + (t_gen === null ? "" : mark(seed, t_gen, 1, "diamond"))).join("");
  }

  return figure(place, "cell", draw, ({near}, px, py) => {
    let least = 18, told = "";
    for (const [points, numbers, name] of near) points.forEach(([x, y], i) => {
      const away = y === null ? Infinity : Math.hypot(x - px, y - py);
      if (away < least) [least, told] = [away, `${name}\nstep ${number(steps[i])}: ${short(numbers[i])}`];
    });
    return told;
  });
}

// The row of the map in which the cell stands: final accuracies against d_h, and in words how deep their valley is.
function row_of(place, {row: across, sizes, metrics, get, at, view}) {
  const accuracies = metrics.slice(0, 3);
  const part = (metric, name) => view().row[metric][name][at(across)];

  function draw(here) {
    const shown = view(), pairs = get(across), box = {left: 46, right: here.width - 8, top: 8, bottom: HEIGHT.row - 38};
    const x = here.x = scale([sizes[0] * 0.9, sizes.at(-1) * 1.1], [box.left, box.right], Math.log);
    const y = scale([-0.04, 1.06], [box.bottom, box.top]);
    here.heading.textContent = `final accuracy, ${across} ${number(pairs)}, after ${number(get("budget"))} steps`;
    here.legend.textContent = `dots: every run; line: their mean; band: its 95 % interval, of ${FOR_A_BAND} runs or more`;
    here.root.innerHTML = axes(box, {x: apart(sizes, x, 22).map((size) => [x(size), size]), across: "d_h",
                                     title: "accuracy", y: SHARES.map((share) => [y(share), share])})
      + level(box, y(0.5)) + level(box, y(1))
      + svg("path", {d: `M${x(get("d_h"))},${box.top}V${box.bottom}`, stroke: "currentColor", "stroke-dasharray": "3 3"})
      + (shown ? accuracies.map((metric, k) => accuracy(metric, k, x, y)).join("") : "");
    valley.textContent = shown?.valleys[at(across)] ?? "";
    here.root.setAttribute("aria-label", `Final accuracy against d_h. ${valley.textContent}`);
  }

  function accuracy({key: metric, color: stroke}, k, x, y) {
    const means = part(metric, "mean").map((mean, j) => [x(sizes[j]), mean === null ? null : y(mean)]);
    const runs = sizes.map((size) => Object.values(view().runs[`${size},${get(across)}`] ?? {}));
    const dots = runs.flatMap((own, j) => own.map((numbers) =>
      svg("circle", {cx: x(sizes[j]) + 5 * (k - 1), cy: y(numbers[2 + k]), r: 3, fill: stroke, "fill-opacity": 0.7})));
    const ends = part(metric, "lo").map((low, j) => runs[j].length < FOR_A_BAND ? null : low);
    return band(sizes.map(x), ends, part(metric, "hi"), y, stroke)
      + line(means, {stroke, "stroke-width": 1.5, "data-metric": metric}) + dots.join("");
  }

  const row = figure(place, "row", draw, ({x}, px) => {
    const far = sizes.map((size) => Math.abs(x(size) - px)), j = far.indexOf(Math.min(...far));
    if (!view() || part("val_acc", "mean")[j] === null) return "";
    return [`d_h ${sizes[j]}`, ...accuracies.map(({key: metric, name}) => {
      const [mean, low, high] = ["mean", "lo", "hi"].map((name) => part(metric, name)[j]);
      return `${name} ${short(mean)}${low === null ? "" : ` (${short(low)} to ${short(high)})`}`;
    })].join("\n");
  });
  const valley = add(row.place, "p", {class: "gb-explorer-caption"});
  return row;
}
