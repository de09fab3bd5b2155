// The explorer: the measured map, the curves of one of its cells, and the row in which that cell stands.
//
// `model` has what the models of widgets have: get, set, save_changes, send, on, off. A page without a kernel brings one of its own
// (templates/offline/explorer.html.j2). All numbers and sentences were made in Python (explorer_data.py); they are looked
// up here, so that a move needs no kernel.

const READ_ALOUD = {d_h: (v) => `hidden size ${v}`, D_train: (v) => `${v} training pairs`,
                    D_random: (v) => `${v} random pairs`, seed: (v) => `seed ${v}`,
                    budget: (v) => `judged after ${v} steps`};

// A map takes the place of another: in a notebook once the kernel has sent all of it, in a page of the book at once.
function render({model, el}) {
  let close = draw_map({model, el});
  const again = () => {
    const focused = el.contains(document.activeElement);
    close();
    el.replaceChildren();
    close = draw_map({model, el});
    if (focused) el.querySelector(".gb-explorer-row-choice")?.focus();
  };
  model.on("change:fixed", again);
  return () => {
    model.off("change:fixed", again);
    close();
  };
}

function draw_map({model, el}) {
  const root = add(el, "div", {class: "gb-explorer"});
  const state = look_up(model, () => draw());
  const controls = choosing(add(root, "div", {class: "gb-explorer-controls"}), state);
  const sentence = add(root, "p", {class: "gb-explorer-sentence", "aria-live": "polite"});
  const training = trainer(add(root, "div", {class: "gb-explorer-training"}), state, (words) => say(words));
  const note = add(root, "p", {class: "gb-explorer-note", role: "status"});
  const figures = add(root, "div", {class: "gb-explorer-figures"});
  const intervals = check(controls.place, "intervals", () => map.draw());
  const map = map_of(figures, {...state, intervals: () => intervals.checked}), cell = cell_of(figures, state), row = row_of(figures, state);
  const caption = add(add(root, "details", {class: "gb-explorer-caption"}, add(root, "summary", {}, "About these runs")), "p");
  link_button(controls.place, state, (words) => say(words));

  function say(words, wrong = false) {
    note.textContent = words;
    note.classList.toggle("gb-explorer-wrong", wrong);
  }

  function draw() {
    if (state.gone()) return;
    controls.draw();
    const offer = state.trains && !Object.keys(state.runs()).length ? " Press Train this." : "";
    sentence.textContent = (state.view()?.told[state.key()][state.get("seed")] ?? "…") + offer;
    caption.textContent = state.view()?.caption ?? "";
    training.draw();
    for (const shown of [map, cell, row]) shown.draw();
    state.ask();
  }

  function fit() {
    for (const shown of [map, cell, row]) shown.measure();
    draw();
  }

  const tell = () => say(state.get("note") ?? "", state.get("wrong"));
  const events = {...Object.fromEntries(state.choices.map((name) => [`change:${name}`, draw])), "msg:custom": state.take,
                  "change:live": () => { training.draw(); cell.draw(); }, "change:note": tell};
  for (const [event, act] of Object.entries(events)) model.on(event, act);
  const sized = new ResizeObserver(fit);
  sized.observe(root);
  fit();
  tell();
  return () => {
    sized.disconnect();
    for (const [event, act] of Object.entries(events)) model.off(event, act);
  };
}

// What is chosen, and all that is known of it. A notebook sends the view of one budget with the page; the others are
// asked for one by one, that of the chosen budget first.
function look_up(model, draw) {
  const fixed = model.get("fixed"), {row, values} = fixed, views = {...model.get("views")};
  const choices = ["d_h", row, "seed", "budget", "color"];
  let asked = null;
  const state = {
    ...fixed, choices, gone: () => model.get("fixed") !== fixed, metrics: seen(fixed.metrics), sizes: values.d_h, rows: values[row], model, trains: model.get("live") !== undefined,
    get: (name) => model.get(name),
    at: (name) => values[name].indexOf(model.get(name)),
    key: () => `${model.get("d_h")},${model.get(row)}`,
    view: () => views[model.get("budget")],
    runs: () => fixed.cells[state.key()] ?? {},
    live: () => model.get("live") ?? {},
    chosen: () => Object.fromEntries(choices.map((name) => [name, model.get(name)])),
    choose(chosen) {
      for (const [name, value] of Object.entries(chosen)) model.set(name, value);
      model.save_changes();
      draw();
    },
    ask() {
      const missing = [model.get("budget"), ...values.budget].find((budget) => !views[budget]);
      if (missing === undefined || asked !== null || model.get("row") !== row) return;
      asked = missing;
      model.send({act: "view", budget: missing});
    },
    take({budget, view}) {
      if (!view) return;
      views[budget] = view;
      if (asked === budget) asked = null;
      budget === model.get("budget") ? draw() : state.ask();
    },
  };
  return state;
}

// Dark ink becomes light where the page is dark.
const seen = (metrics) => metrics.map((metric, k) => k ? metric : {...metric, color: "var(--gb-train)"});

function choosing(place, {choices, values, colors, maps, row, get, at, choose}) {
  if (Object.keys(maps).length > 1)
    options(place, "row-choice", "Rows of the map", maps, (other) => choose({row: other})).value = row;
  const inputs = choices.slice(0, -1).map((name) => {
    const label = add(place, "label", {}, name), last = values[name].length - 1;
    const input = add(label, "input", {type: "range", min: 0, max: last, class: `gb-explorer-${name}`, "aria-label": name});
    input.disabled = !last;
    input.addEventListener("input", () => choose({[name]: values[name][input.value]}));
    return [name, input, add(label, "output")];
  });
  const color = options(place, "color", "color", colors, (other) => choose({color: other}));

  function draw() {
    for (const [name, input, output] of inputs) {
      input.value = at(name);
      output.value = number(get(name));
      input.setAttribute("aria-valuetext", READ_ALOUD[name](number(get(name))));
    }
    color.value = get("color");
  }
  return {place, draw};
}

function button(place, name, words, act) {
  const made = add(place, "button", {type: "button", class: `gb-explorer-${name}`}, words);
  made.addEventListener("click", act);
  return made;
}

function options(place, name, words, choices, act) {
  const select = add(add(place, "label", {class: "gb-explorer-choice"}, words), "select", {class: `gb-explorer-${name}`});
  for (const [value, shown] of Object.entries(choices)) select.add(new Option(shown, value));
  select.addEventListener("change", () => act(select.value));
  return select;
}

function check(place, words, act) {
  const input = add(add(place, "label", {class: "gb-explorer-choice"}, words), "input", {type: "checkbox"});
  input.addEventListener("change", act);
  return input;
}

function link_button(place, {get, chosen}, say) {
  button(place, "link", "Copy link", async () => {
    const link = `${get("page") ?? "explorer.html"}#${new URLSearchParams(chosen())}`;
    try {
      await navigator.clipboard.writeText(link);
      say(`Copied: ${link}`);
    } catch {
      say(link);  // where a page may not copy, the reader can
    }
  });
}

function trainer(place, {model, trains, live, chosen}, say) {
  if (!trains) return {draw() {}};
  button(place, "train", "Train this", () => {
    say("");
    model.send({act: "train", ...chosen()});
  });
  const [pause, stop, keep] = [["pause", "Pause"], ["stop", "Stop"], ["keep", "Add to my store"]].map(([act, words]) =>
    button(place, act, words, () => model.send({act})));
  const bar = add(place, "progress", {class: "gb-explorer-bar", "aria-label": "training"});
  const status = add(place, "span", {class: "gb-explorer-status"});

  function draw() {
    const {under_way = false, paused, keepable, step = 0, n_steps = 1, words = ""} = live();
    pause.textContent = paused ? "Resume" : "Pause";
    pause.hidden = stop.hidden = !under_way;
    keep.hidden = !keepable;
    bar.hidden = !words;
    [bar.max, bar.value] = [n_steps, step];
    status.textContent = words;
  }
  return {draw};
}
