// Tables sort, are searched, and are copied; pictures are saved. Nothing is loaded.
"use strict";

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
    const left = [...rows].filter((row) => !row.hidden).length;
    const told = field.closest(".bar-of-table").querySelector("[role=status]");
    told.textContent = wanted ? `${left} of ${rows.length} rows` : "";
  });
}

// A picture is kept as it is shown, or as PNG, which is made of it here.
function download(href, name) {
  const link = document.createElement("a");
  link.href = href;
  link.download = name;
  link.click();
}

function raster(image) {
  const canvas = document.createElement("canvas");
  const scale = 3; // of the 72 pixels an inch of an SVG
  canvas.width = image.naturalWidth * scale;
  canvas.height = image.naturalHeight * scale;
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/png");
}

for (const image of document.querySelectorAll("figure img")) {
  const { name, kind } = image.dataset;
  const kinds = kind === "svg" ? ["svg", "png"] : ["png"];
  for (const wanted of kinds) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `Save as ${wanted.toUpperCase()}`;
    button.setAttribute("aria-label", `${button.textContent}: ${name}`);
    button.addEventListener("click", () =>
      download(wanted === kind ? image.src : raster(image), `${name}.${wanted}`),
    );
    image.nextElementSibling.append(" ", button);
  }
}
