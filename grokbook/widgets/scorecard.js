// The table of claims: a click on the head of a column sorts it, and choices above keep one source or one verdict.

const table = root.querySelector("table"), body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
const rows = [...body.rows];

const key = (row, j) => row.cells[j].dataset.sort;

heads.forEach((head, j) => {
  const button = document.createElement("button");
  button.textContent = head.textContent;
  button.style.cssText = "font: inherit; font-weight: 600; color: inherit; background: none; border: 0; padding: 0; cursor: pointer";
  head.replaceChildren(button);
  button.addEventListener("click", () => {
    const turned = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", turned === 1 ? "ascending" : "descending");
    body.append(...rows.sort((a, b) => turned * key(a, j).localeCompare(key(b, j), "en", {numeric: true})));
  });
});

const place = document.createElement("p"), count = document.createElement("output"), choices = {};
root.prepend(place);

function show() {
  for (const row of rows) row.hidden = !Object.entries(choices).every(([name, {value}]) => !value || row.dataset[name] === value);
  count.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} claims`;
}

for (const name of ["source", "verdict"]) {
  const label = document.createElement("label"), choice = choices[name] = document.createElement("select");
  choice.add(new Option("all", ""));
  for (const value of new Set(rows.map((row) => row.dataset[name]))) choice.add(new Option(value, value));
  choice.addEventListener("change", show);
  choice.style.maxWidth = "16em";
  label.append(`${name} `, choice);
  label.style.cssText = "display: inline-block; margin-right: 1.5em";
  place.append(label);
}
place.append(count);
show();
