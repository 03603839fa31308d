// Charts are drawn by Vega; tables sort, are searched, and are copied. Nothing is loaded.
"use strict";

// Data stand in the page by column, each text once.
function rows(columns) {
  const whole = Object.entries(columns).map(([name, column]) => [
    name,
    Array.isArray(column) ? column : column.places.map((place) => column.texts[place]),
  ]);
  const count = whole.length ? whole[0][1].length : 0;
  return Array.from({ length: count }, (_, row) =>
    Object.fromEntries(whole.map(([name, column]) => [name, column[row]])),
  );
}

const data = JSON.parse(document.getElementById("data").textContent);

for (const place of document.querySelectorAll("[data-chart]")) {
  const name = place.dataset.chart;
  const drawn = JSON.parse(document.querySelector(`[data-for="${name}"]`).textContent);
  drawn.datasets = { [name]: rows(data[name]) };
  vegaEmbed(place, drawn, {
    renderer: "svg",
    actions: { export: true, source: false, compiled: false, editor: false },
    downloadFileName: place.dataset.chart,
  });
}

function order(a, b) {
  const [x, y] = [Number(a), Number(b)];
  return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
}

for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement;
    const table = head.closest("table");
    const falling = head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const place = head.cellIndex;
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => order(a.cells[place].dataset.key, b.cells[place].dataset.key));
    if (falling) rows.reverse();
    table.tBodies[0].append(...rows);
  });
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const text = document.getElementById(button.dataset.copy);
    const told = button.parentElement.querySelector("[role=status]");
    try {
      await navigator.clipboard.writeText(text.value);
      told.textContent = "Copied.";
    } catch {
      // A file that is opened from disk may not write to the clipboard: show the text instead.
      text.hidden = false;
      text.select();
      told.textContent = "Press Ctrl+C to copy the text below the table.";
    }
  });
}

for (const field of document.querySelectorAll("[data-find]")) {
  field.addEventListener("input", () => {
    const wanted = field.value.toLowerCase();
    const rows = document.getElementById(`table-${field.dataset.find}`).tBodies[0].rows;
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
}

// The picture that is shown is also the one to keep: its data stand in the page once.
for (const link of document.querySelectorAll("[data-as=shown]")) {
  link.href = link.closest("figure").querySelector("img").src;
}
