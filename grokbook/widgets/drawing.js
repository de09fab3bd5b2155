// What is drawn is held by another widget; see front_end.py. `render` stands in the script before this.
export default {async render({model: drawing, el}) {
  const read = (name) => drawing.widget_manager.get_model(drawing.get(name).replace("IPY_MODEL_", ""));
  return render({model: await read("of"), el, read});
}};
