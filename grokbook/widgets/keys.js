// Keys belong to the widget that has the focus: JupyterLab would take x for "cut this cell" and an arrow for the next
// one. It asks the focused element alone, before that sees the key. What runs cells and saves remains JupyterLab's.
globalThis.grokbookKeys ??= (window.addEventListener("keydown", ({target, key, shiftKey, ctrlKey, metaKey, altKey}) => {
  if (target.closest(".jupyter-widgets, .gb-scripted"))
    target.toggleAttribute("data-lm-suppress-shortcuts", !(ctrlKey || metaKey || altKey || shiftKey && key === "Enter"));
}, {capture: true}), true);

