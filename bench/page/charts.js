// The charts of the page: SVG drawn from the numbers in it, for the width there is. A rule that is
// picked in one chart stands out in all of them.
"use strict";

const page = JSON.parse(document.getElementById("data").textContent);
const rules = new Map(page.rules.map((rule, place) => [rule.rule, { ...rule, place }]));
const state = { picked: new Set(), axis: "raw", feedback: "held", protocol: null, step: null };
const DASHES = { "null: readout only": "5 4", "null: linear": "", "null: chance": "1.5 3" };
const SOURCES = { colours: ["#0173b2", "#c27c00", "#029e73", ""], outlines: ["o", "s", "D", "^"] };
const OUTLINES = {
  o: "M1,0A1,1,0,1,1,-1,0A1,1,0,1,1,1,0Z",
  s: "M-.85,-.85H.85V.85H-.85Z",
  D: "M0,-1.2L1.05,0L0,1.2L-1.05,0Z",
  "^": "M0,-1.1L1.1,.9L-1.1,.9Z",
};
const PROTOCOLS = { own: "own training", shared: "shared weights" };
const KNEE = -3; // decades of bias below it take a quarter of the room
const FONT = 12.5;

// Data stand in the page by column, each text once.
function unpacked(columns) {
  const whole = Object.entries(columns).map(([name, column]) => [
    name,
    Array.isArray(column) ? column : column.places.map((place) => column.texts[place]),
  ]);
  const count = whole.length ? whole[0][1].length : 0;
  return Array.from({ length: count }, (_, row) =>
    Object.fromEntries(whole.map(([name, column]) => [name, column[row]])),
  );
}

const unique = (values) => [...new Set(values)];
const data = Object.fromEntries(
  Object.entries(page.charts).map(([name, columns]) => [name, unpacked(columns)]),
);
const every = Object.values(data).flat();
const protocols = unique(every.map((row) => row.protocol));
const steps = unique(every.map((row) => row.step)).sort((a, b) => a - b);
const settings = unique(every.map((row) => row.setting));
state.protocol = protocols.includes("own") ? "own" : protocols[0];
state.step = steps.at(-1);

// Elements

function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function html(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const ruler = document.createElement("canvas").getContext("2d");
function width(text, size = FONT) {
  ruler.font = `${size}px ${getComputedStyle(document.body).fontFamily}`;
  return ruler.measureText(text).width;
}

const look = (rule) => rules.get(rule) ?? { label: rule, colour: "", outline: OUTLINES.o };
const coloured = (colour) => colour || "var(--ink)";

function symbol(rule, x, y, size, filled = true) {
  const { colour, outline } = look(rule);
  return svg("path", {
    class: "mark",
    d: outline,
    transform: `translate(${x},${y}) scale(${size})`,
    style: `fill:${filled ? coloured(colour) : "var(--paper)"};stroke:${coloured(colour)}`,
  });
}

// Scales

const LIFTED = [..."⁰¹²³⁴⁵⁶⁷⁸⁹"];
function power(decade) {
  if (decade >= -3 && decade <= 4) return String(Number(`1e${decade}`));
  const digits = [...String(Math.abs(decade))].map((digit) => LIFTED[digit]).join("");
  return `10${decade < 0 ? "⁻" : ""}${digits}`;
}

// Powers of ten from one pixel to another, with a strip for zeros at the lower end where needed.
function wide(values, from, to, { strip = 34, knee = null, apart = 46 } = {}) {
  const positive = values.filter((value) => value > 0);
  const zero = values.some((value) => value === 0);
  let low = Math.floor(Math.log10(Math.min(...positive, 1)));
  let high = Math.log10(Math.max(...positive, 10 ** (low + 1)));
  if (!positive.length) [low, high] = [-2, 0];
  low = Math.max(low, -320);
  high += 0.05 * (high - low) + 0.05;
  const bent = knee !== null && low < knee - 2 && high > knee;
  const along = (u) => (bent && u > knee ? (knee - low) / 4 + u - knee : (u - low) / (bent ? 4 : 1));
  const sign = Math.sign(to - from);
  const start = zero ? from + sign * strip : from;
  const place = (value) => {
    if (!(value > 0)) return zero ? from + (sign * strip) / 2 : from;
    const u = Math.max(Math.log10(value), low);
    return start + ((to - start) * along(u)) / along(high);
  };
  const ticks = zero ? [[place(0), "0"]] : [];
  let last = Infinity;
  for (let decade = Math.floor(high); decade >= low; decade--) {
    const at = place(10 ** decade);
    if (Math.abs(at - last) < apart || (zero && Math.abs(at - place(0)) < apart * 0.7)) continue;
    ticks.push([at, power(decade)]);
    last = at;
  }
  return { place, ticks, zero, edge: start, least: start, strip };
}

function even(values, from, to, { apart = 46, tight = false } = {}) {
  let [low, high] = [Math.min(...values), Math.max(...values)];
  if (!(high > low)) [low, high] = [low - 0.5, high + 0.5];
  const most = Math.max(2, Math.floor(Math.abs(to - from) / apart));
  const rough = (high - low) / most;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const stride = [1, 2, 5, 10].map((n) => n * unit).find((n) => n >= rough);
  const first = Math[tight ? "ceil" : "floor"](low / stride + (tight ? -1e-9 : 1e-9));
  const last = Math[tight ? "floor" : "ceil"](high / stride + (tight ? 1e-9 : -1e-9));
  if (!tight) [low, high] = [first * stride, last * stride];
  const place = (value) => from + ((value - low) / (high - low)) * (to - from);
  const ticks = [];
  for (let n = first; n <= last; n++) {
    const value = n * stride;
    ticks.push([place(value), Number(value.toPrecision(6)).toLocaleString("en")]);
  }
  return { place, ticks, zero: false, least: from };
}

// A panel: axes with titles, and what is drawn in them

function panel(size, margin) {
  const root = svg("svg", {
    viewBox: `0 0 ${size.width} ${size.height}`,
    width: size.width,
    height: size.height,
    role: "group",
  });
  const box = {
    left: margin.left,
    right: size.width - margin.right,
    top: margin.top,
    bottom: size.height - margin.bottom,
  };
  return { root, box };
}

function across(root, box, scale, title) {
  for (const [at, text] of scale.ticks) {
    root.append(
      svg("line", { class: "grid", x1: at, x2: at, y1: box.top, y2: box.bottom }),
      svg("text", { class: "tick", x: at, y: box.bottom + 17, "text-anchor": "middle" }, text),
    );
  }
  if (scale.zero) {
    root.append(
      svg("line", { class: "break", x1: scale.edge, x2: scale.edge, y1: box.top, y2: box.bottom }),
    );
  }
  root.append(
    svg("line", { class: "axis", x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom }),
    svg(
      "text",
      { class: "title", x: (box.left + box.right) / 2, y: box.bottom + 38, "text-anchor": "middle" },
      title,
    ),
  );
}

function upward(root, box, scale, title) {
  for (const [at, text] of scale.ticks) {
    root.append(
      svg("line", { class: "grid", x1: box.left, x2: box.right, y1: at, y2: at }),
      svg("text", { class: "tick", x: box.left - 7, y: at + 4, "text-anchor": "end" }, text),
    );
  }
  if (scale.zero) {
    root.append(
      svg("line", { class: "break", x1: box.left, x2: box.right, y1: scale.edge, y2: scale.edge }),
    );
  }
  root.append(
    svg("line", { class: "axis", x1: box.left, x2: box.left, y1: box.top, y2: box.bottom }),
    // The title of an upward axis lies flat above it: it is read without turning the head.
    svg("text", { class: "title", x: 2, y: 13 }, title),
  );
}

function bar(rule, x1, y1, x2, y2) {
  const style = `stroke:${coloured(look(rule).colour)}`;
  return svg("line", { class: "bar", x1, y1, x2, y2, style });
}

// Lanes for marks at zero that would hide each other: those of one lane lie apart.
function lanes(marks, at, apart) {
  const last = [];
  for (const mark of [...marks].sort((a, b) => at(a) - at(b))) {
    let lane = last.findIndex((end) => at(mark) - end >= apart);
    if (lane < 0) lane = last.length;
    last[lane] = at(mark);
    mark.lane = lane;
  }
  return last.length;
}

// Names at their points: the first free place of several around each; none where all are taken.
function named(box, marks, lines) {
  const taken = marks.map(({ x, y }) => [x - 7, y - 7, x + 7, y + 7]);
  for (const [x1, y1, x2, y2] of lines) {
    const parts = Math.ceil(Math.hypot(x2 - x1, y2 - y1) / 8) || 1;
    for (let n = 0; n <= parts; n++) {
      const [x, y] = [x1 + ((x2 - x1) * n) / parts, y1 + ((y2 - y1) * n) / parts];
      taken.push([x - 2, y - 1, x + 2, y + 1]);
    }
  }
  const free = ([left, top, right, bottom]) =>
    left >= box.left + 2 &&
    right <= box.right + 2 &&
    top >= box.top - 6 &&
    bottom <= box.bottom &&
    !taken.some(([l, t, r, b]) => left < r && right > l && top < b && bottom > t);
  const order = [...marks].sort(
    (a, b) => state.picked.has(b.rule) - state.picked.has(a.rule) || look(a.rule).place - look(b.rule).place,
  );
  const wanted = unique(order.map((mark) => mark.rule)).map((rule) => order.find((m) => m.rule === rule));
  for (const { rule, x, y, group } of wanted) {
    const text = look(rule).label;
    const long = width(text, FONT - 0.5) + 4;
    let placed = null;
    for (const far of [0, 14, 28, 42, 58, 76]) {
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, -1], [0, 1], [1, -1], [-1, -1], [1, 1], [-1, 1], [1, -0.5], [-1, -0.5], [1, 0.5], [-1, 0.5]]) {
        const reach = 11 + far;
        const middle = y + dy * (dx ? far + 6 : 14 + far);
        const left = dx > 0 ? x + reach : dx < 0 ? x - reach - long : x - long / 2;
        const spot = [left, middle - 8, left + long, middle + 8];
        if (free(spot)) {
          placed = { spot, middle, far, end: dx > 0 ? left : dx < 0 ? left + long : x, dy };
          break;
        }
      }
      if (placed) break;
    }
    if (!placed) continue;
    taken.push(placed.spot);
    if (placed.far) {
      const y2 = placed.end === x ? placed.middle - placed.dy * 7 : placed.middle;
      group.prepend(svg("line", { class: "leader", x1: x, y1: y, x2: placed.end, y2 }));
    }
    group.append(svg("text", { class: "name", x: placed.spot[0] + 2, y: placed.middle + 4 }, text));
  }
}

// Cards and picking

const card = html("div", { id: "card", "aria-hidden": "true", hidden: "" });
document.body.append(card);

function show(lines, x, y) {
  const list = html("dl");
  const [head, ...rest] = lines;
  for (const [name, text] of rest) list.append(html("dt", {}, name), html("dd", {}, String(text)));
  card.replaceChildren(html("strong", {}, head), list);
  card.hidden = false;
  const { width: wide, height: high } = card.getBoundingClientRect();
  const left = x + 16 + wide > innerWidth ? x - 16 - wide : x + 16;
  const top = Math.min(y + 16, innerHeight - high - 8);
  card.style.left = `${Math.max(8, Math.min(left, innerWidth - wide - 8))}px`;
  card.style.top = `${Math.max(8, top)}px`;
}

const hide = () => (card.hidden = true);

function pick(rule) {
  if (!rules.has(rule)) return;
  if (!state.picked.delete(rule)) state.picked.add(rule);
  draw();
}

// A group of a rule's marks answers to pointer, focus and keys.
function lively(group, rule, lines) {
  group.classList.add("rule");
  group.dataset.rule = rule;
  if (state.picked.size && !state.picked.has(rule)) group.classList.add("dim");
  if (!lines) return group;
  const [head, ...rest] = lines;
  group.setAttribute("role", "img");
  group.setAttribute("aria-label", [head, ...rest.map((pair) => pair.join(" "))].join("; "));
  group.setAttribute("tabindex", "-1");
  group.addEventListener("pointermove", (event) => show(lines, event.clientX, event.clientY));
  group.addEventListener("pointerleave", hide);
  group.addEventListener("click", () => pick(rule));
  group.addEventListener("focus", () => {
    if (!group.matches(":focus-visible")) return;
    const { right, top } = (group.querySelector(".mark") ?? group).getBoundingClientRect();
    show(lines, right, top);
  });
  group.addEventListener("blur", hide);
  return group;
}

// One stop of the tab key for a panel; arrows lead from mark to mark.
function keys(root) {
  const stops = [...root.querySelectorAll("[tabindex]")];
  if (stops.length) stops[0].setAttribute("tabindex", "0");
  root.addEventListener("keydown", (event) => {
    const at = stops.indexOf(document.activeElement);
    const move = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (at < 0) return;
    if (move) {
      stops[(at + move + stops.length) % stops.length].focus();
      event.preventDefault();
    } else if (event.key === "Enter" || event.key === " ") {
      const { name, place } = { name: root.closest("[data-chart]").dataset.chart, place: at };
      const panels = [...root.closest("[data-chart]").querySelectorAll("svg")];
      const number = panels.indexOf(root);
      pick(stops[at].dataset.rule);
      const again = document.querySelectorAll(`[data-chart="${name}"] svg`)[number];
      again?.querySelectorAll("[tabindex]")[place]?.focus();
      event.preventDefault();
    }
  });
}

// Charts

// Rows at the chosen checkpoint; a chart without any at it shows the nearest that it has.
function chosen(rows, { stepped = true } = {}) {
  const known = unique(rows.map((row) => row.protocol));
  const protocol = known.includes(state.protocol) ? state.protocol : known[0];
  let kept = rows.filter((row) => row.protocol === protocol);
  const reached = unique(kept.map((row) => row.step)).sort((a, b) => a - b);
  const step = reached.filter((each) => each <= state.step).at(-1) ?? reached[0];
  if (stepped) kept = kept.filter((row) => row.step === step);
  const name = PROTOCOLS[protocol] ?? protocol;
  return { kept, protocol, step, where: stepped ? `${name}, after ${step} steps` : name };
}

// Rows of zeros in a strip: one for each name where there is room, else as few as keep marks apart.
const LANE = 18;
function laned(marks, at, most) {
  const longest = Math.max(0, ...marks.map(({ rule }) => width(look(rule).label)));
  const count = lanes(marks, at, longest + 30);
  return count * LANE + 12 <= most ? count : lanes(marks, at, 17);
}

// Marks that would hide each other stand side by side.
function dodged(marks, box) {
  const standing = [];
  for (const mark of marks) {
    const hidden = (x) =>
      x < box.left + 6 || x > box.right || standing.some((o) => Math.abs(o.x - x) < 13 && Math.abs(o.y - mark.y) < 12);
    const shift = [0, 13, -13, 26, -26, 39, -39].find((dx) => !hidden(mark.x + dx)) ?? 0;
    mark.x += shift;
    standing.push(mark);
  }
}

// A scatter of rules with intervals, paths and names.
function scatter(root, box, marks, x, y, { paths = [], line = null }) {
  const flat = marks.filter((mark) => mark.row.y === 0);
  const steep = marks.filter((mark) => mark.row.x === 0 && mark.row.y !== 0);
  if (y.zero) {
    const count = laned(flat, (mark) => mark.x, y.strip);
    const gap = Math.min(LANE, (y.strip - 16) / Math.max(1, count - 1));
    for (const mark of flat) mark.y += (mark.lane - (count - 1) / 2) * gap;
  }
  if (x.zero) {
    const count = lanes(steep, (mark) => mark.y, 14);
    const gap = Math.min(14, (x.strip - 16) / Math.max(1, count - 1));
    for (const mark of steep) mark.x += (mark.lane - (count - 1) / 2) * gap;
  }
  dodged(marks, box);
  if (marks.length > 25) root.classList.add("crowded");
  const drawn = [];
  if (line) root.append(line);
  for (const { rule, points } of paths) {
    const last = marks.find((mark) => mark.rule === rule);
    if (!last || points.length < 2) continue;
    const places = [...points.slice(0, -1), [last.x, last.y]];
    if (last.row.y === 0) for (const place of places) if (place[2] === 0) place[1] = last.y;
    if (last.row.x === 0) for (const place of places) if (place[3] === 0) place[0] = last.x;
    const style = `stroke:${coloured(look(rule).colour)};fill:${coloured(look(rule).colour)}`;
    const group = svg("g", { style });
    group.append(
      svg("polyline", { class: "path", points: places.map((p) => `${p[0]},${p[1]}`).join(" ") }),
      svg("circle", { cx: places[0][0], cy: places[0][1], r: 2.5 }),
    );
    root.append(lively(group, rule));
    places.slice(1).forEach(([px, py], n) => drawn.push([places[n][0], places[n][1], px, py]));
  }
  for (const mark of marks) {
    const { row, rule } = mark;
    const group = svg("g");
    if (row.x_low !== undefined && row.x_low < row.x_high) {
      const from = row.x_low > 0 ? x.place(row.x_low) : x.least;
      group.append(bar(rule, from, mark.y, x.place(row.x_high), mark.y));
      drawn.push([from, mark.y, x.place(row.x_high), mark.y]);
    }
    if (row.y_low < row.y_high) {
      const from = row.y_low > 0 ? y.place(row.y_low) : y.least;
      group.append(bar(rule, mark.x, from, mark.x, y.place(row.y_high)));
      drawn.push([mark.x, from, mark.x, y.place(row.y_high)]);
    }
    const arrow = `stroke:${coloured(look(rule).colour)}`;
    if (row.x_bound) {
      const d = `M${mark.x},${mark.y}h-20m5,-4l-5,4l5,4`;
      group.append(svg("path", { class: "arrow", d, style: arrow }));
    }
    if (row.y_bound) {
      const d = `M${mark.x},${mark.y}v20m-4,-5l4,5l4,-5`;
      group.append(svg("path", { class: "arrow", d, style: arrow }));
    }
    group.append(symbol(rule, mark.x, mark.y, 6, row.feedback !== "redrawn"));
    mark.group = lively(group, rule, mark.lines);
    root.append(group);
  }
  named(box, marks, drawn);
}

function plane(rows, size) {
  const { kept, protocol, step, where } = chosen(rows.all);
  const shown = kept.filter((row) => row.axis === state.axis);
  const fits = (row) =>
    state.feedback === "both" || row.feedback === state.feedback || !shown.some((o) => o.rule === row.rule && o.feedback === state.feedback);
  const own = shown.filter((row) => row.setting === rows.setting && fits(row));
  const domain = rows.all.filter((row) => row.axis === state.axis && row.protocol === protocol);
  const { root, box } = panel(size, { left: 54, right: 14, top: 30, bottom: 48 });
  const ends = (name) =>
    domain.flatMap((row) => {
      const low = row[`${name}_low`];
      return low > row[name] / 30 ? [row[name], low, row[`${name}_high`]] : [row[name], row[`${name}_high`]];
    });
  const x = wide(ends("x"), box.left, box.right, { knee: KNEE, strip: 44 });
  const most = size.height * 0.4;
  const flat = own.filter((row) => row.y === 0).map(({ rule, x: at }) => ({ rule, x: x.place(at) }));
  const strip = Math.min(most, Math.max(34, LANE * laned(flat, (mark) => mark.x, most) + 12));
  const y = wide(ends("y"), box.bottom, box.top, { strip, apart: 30 });
  across(root, box, x, state.axis === "raw" ? "squared bias, in units of |g|²" : "scale-free bias, in units of |g|²");
  upward(root, box, y, "variance, in units of |g|²");
  const marks = own.map((row) => ({
    rule: row.rule,
    row,
    x: x.place(row.x),
    y: y.place(row.y),
    lines: [
      look(row.rule).label,
      ["what it is", look(row.rule).about || "–"],
      [state.axis === "raw" ? "bias²" : "scale-free bias", row.x_said],
      ["variance", row.y_said],
      ["progress ρ²", row.progress],
      ["realised progress", row.realised],
      ["feedback", row.feedback],
      ["redrawn", row.redrawn],
      ["draws", row.samples],
      ["reference", row.reference],
      ["network", `${row.architecture}, ${row.objective}`],
      ["weights", where],
    ],
  }));
  const course = domain.filter(
    (row) => row.setting === rows.setting && row.feedback === "held" && row.step <= step,
  );
  const paths = unique(own.map((row) => row.rule)).map((rule) => ({
    rule,
    points: course
      .filter((row) => row.rule === rule)
      .sort((a, b) => a.step - b.step)
      .map((row) => [x.place(row.x), y.place(row.y), row.y, row.x]),
  }));
  scatter(root, box, marks, x, y, { paths: state.feedback === "redrawn" ? [] : paths });
  return { root, where };
}

function frontier(rows, size) {
  const { kept, where } = chosen(rows.all);
  const own = kept.filter((row) => row.setting === rows.setting);
  const { root, box } = panel(size, { left: 54, right: 14, top: 30, bottom: 48 });
  const x = wide(kept.map((row) => row.x), box.left + size.width * 0.1, box.right - 12, {});
  const values = kept.flatMap((row) => [row.y, row.y_high, row.y_low || row.y]);
  const y = wide(values, box.bottom, box.top, { apart: 30 });
  across(root, box, x, "cost of an estimate, in forward passes");
  upward(root, box, y, "progress ρ², share of the exact gradient's");
  const marks = own.map((row) => ({
    rule: row.rule,
    row,
    x: x.place(row.x),
    y: y.place(row.y),
    lines: [
      look(row.rule).label,
      ["progress ρ²", row.y_said],
      ["forward passes", row.x.toLocaleString("en")],
      ["weights", where],
    ],
  }));
  const best = own.filter((row) => row.best).sort((a, b) => a.x - b.x || a.y - b.y);
  const points = best.flatMap((row, n) => [
    ...(n ? [`${x.place(row.x)},${y.place(best[n - 1].y)}`] : []),
    `${x.place(row.x)},${y.place(row.y)}`,
  ]);
  const line = svg("polyline", { class: "best", points: points.join(" ") });
  scatter(root, box, marks, x, y, { line });
  return { root, where };
}

function training(rows, size) {
  const { kept, where } = chosen(rows.all, { stepped: false });
  const quantity = kept.filter((row) => row.shown === state.quantity);
  const own = quantity.filter((row) => row.setting === rows.setting);
  const series = new Map();
  for (const row of own) {
    const key = JSON.stringify([row.rule, row.null && row.architecture, row.null && row.objective]);
    if (!series.has(key)) series.set(key, []);
    series.get(key).push(row);
  }
  const lines = [...series.values()].map((part) => part.sort((a, b) => a.step - b.step));
  const label = (row) => look(row.rule).label;
  const roomy = size.width > 560;
  const longest = Math.max(0, ...own.map((row) => width(label(row), FONT - 0.5)));
  const right = roomy ? Math.min(longest + 36, size.width * 0.42) : 14;
  const { root, box } = panel(size, { left: 54, right, top: 30, bottom: 48 });
  const x = even(quantity.map((row) => row.step), box.left, box.right, { apart: 64, tight: true });
  const ends = own.flatMap((row) => [row.y, row.y_high ?? row.y, row.y_low ?? row.y]);
  const isWide = quantity.some((row) => row.wide);
  const places = isWide ? own.flatMap((row) => [row.y, row.y_high]) : ends;
  const y = isWide
    ? wide(places, box.bottom, box.top, { apart: 30, knee: state.quantity === "variance" ? null : KNEE })
    : even(places, box.bottom, box.top, { apart: 36 });
  const units = /accuracy|above/.test(state.quantity)
    ? ", share of test examples"
    : /loss/.test(state.quantity)
      ? ", per example"
      : /progress/.test(state.quantity)
        ? ", share of the exact gradient's"
        : /alignment/.test(state.quantity)
          ? ", cosine with the gradient"
          : ", in units of |g|²";
  across(root, box, x, "training steps");
  upward(root, box, y, state.quantity + units);
  const tags = [];
  const named = new Set();
  for (const part of lines.sort((a, b) => b[0].null - a[0].null)) {
    const [first, last] = [part[0], part.at(-1)];
    const group = svg("g");
    const colour = first.null ? "var(--quiet)" : coloured(look(first.rule).colour);
    const points = part.map((row) => `${x.place(row.step)},${y.place(row.y)}`).join(" ");
    const dashes = first.null ? DASHES[first.rule] : "";
    group.append(
      svg("polyline", {
        class: first.null ? "course null" : "course",
        points,
        style: `stroke:${colour}`,
        "stroke-dasharray": dashes,
      }),
    );
    for (const row of part) {
      const at = x.place(row.step);
      if (row.y_low < row.y_high && !first.null) {
        const low = isWide && !(row.y_low > 0) ? y.least : y.place(row.y_low);
        group.append(bar(first.rule, at, low, at, y.place(row.y_high)));
      }
      if (first.null) continue;
      const point = svg("g");
      point.append(symbol(first.rule, at, y.place(row.y), part.length > 20 ? 2.5 : 5));
      group.append(
        lively(point, first.rule, [
          label(row),
          [row.shown, row.said],
          ["step", row.step],
          ["seeds", row.seeds],
          ["weights", where],
        ]),
      );
    }
    root.append(lively(group, first.rule));
    if (named.has(first.rule)) continue;
    named.add(first.rule);
    tags.push({ rule: first.rule, text: label(first), x: x.place(last.step), y: y.place(last.y), group });
  }
  if (roomy) ends_named(tags, box);
  return { root, where };
}

// Names at the ends of lines, one below the other; of too many those that are picked come first.
function ends_named(tags, box) {
  const room = Math.floor((box.bottom - box.top) / 16) + 1;
  const kept = [...tags]
    .sort((a, b) => state.picked.has(b.rule) - state.picked.has(a.rule))
    .slice(0, room)
    .sort((a, b) => a.y - b.y);
  let last = box.top - 16;
  for (const tag of kept) last = tag.at = Math.max(tag.y, last + 16);
  let next = box.bottom + 16;
  for (const tag of kept.reverse()) next = tag.at = Math.min(tag.at, next - 16);
  for (const { text, x, y, at, group } of kept) {
    group.append(
      svg("line", { class: "leader", x1: x + 7, y1: y, x2: box.right + 22, y2: at }),
      svg("text", { class: "name", x: box.right + 25, y: at + 4 }, text),
    );
  }
}

function budget(rows, size) {
  const { kept, where } = chosen(rows.all);
  const own = kept.filter((row) => row.setting === rows.setting);
  const sources = unique(rows.all.map((row) => row.source));
  const here = [...rules.keys()].filter((rule) => own.some((row) => row.rule === rule));
  const longest = Math.max(0, ...here.map((rule) => width(look(rule).label, FONT - 0.5)));
  const beside = longest + 20 < size.width * 0.4;
  const high = 9 * sources.length + (beside ? 14 : 28);
  const height = here.length * high + 78;
  const { root, box } = panel(
    { ...size, height },
    { left: beside ? longest + 20 : 14, right: 18, top: 26, bottom: 50 },
  );
  const x = wide(kept.flatMap((row) => [row.x, row.x_high]), box.left, box.right, {});
  across(root, box, x, "variance, in units of |g|²");
  here.forEach((rule, place) => {
    const top = box.top + place * high;
    const group = svg("g");
    root.append(svg("line", { class: "grid", x1: box.left, x2: box.right, y1: top, y2: top }));
    const at = beside
      ? { x: box.left - 10, y: top + high / 2 + 4, "text-anchor": "end" }
      : { x: box.left + 4, y: top + 16 };
    group.append(svg("text", { class: "name", ...at }, look(rule).label));
    const lines = [look(rule).label];
    for (const row of own.filter((each) => each.rule === rule)) {
      const number = sources.indexOf(row.source);
      const y = top + high - 9 * (sources.length - number) - 1;
      const colour = coloured(SOURCES.colours[number]);
      const style = `stroke:${colour};fill:${colour}`;
      const from = row.x_low > 0 ? x.place(row.x_low) : x.least;
      if (row.x_low < row.x_high) {
        group.append(svg("line", { class: "bar", x1: from, x2: x.place(row.x_high), y1: y, y2: y, style }));
      }
      const transform = `translate(${x.place(row.x)},${y}) scale(3.8)`;
      const d = OUTLINES[SOURCES.outlines[number]];
      group.append(svg("path", { class: "mark", d, transform, style }));
      lines.push([row.source, row.x_said]);
    }
    root.append(lively(group, rule, [...lines, ["weights", where]]));
  });
  root.append(svg("line", { class: "axis", x1: box.left, x2: box.left, y1: box.top, y2: box.bottom }));
  return { root, where, legend: sources };
}

const DRAWN = { plane, training, budget, frontier };
const LEAST = { plane: 480, training: 560, budget: 420, frontier: 560 };

function draw() {
  hide();
  for (const place of document.querySelectorAll("[data-chart]")) {
    const name = place.dataset.chart;
    const rows = data[name];
    const shown = unique(rows.map((row) => row.setting)).filter(
      (setting) => !state.setting || setting === state.setting,
    );
    const whole = place.clientWidth;
    const columns = Math.max(1, Math.min(shown.length, Math.floor((whole + 24) / (LEAST[name] + 24))));
    const wideness = Math.floor((whole - 24 * (columns - 1)) / columns);
    const ratio = name === "plane" ? 0.62 : 0.55;
    const size = {
      width: wideness,
      height: Math.round(Math.min(name === "plane" ? 640 : 440, Math.max(360, wideness * ratio))),
    };
    place.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
    place.replaceChildren(
      ...shown.map((setting) => {
        const { root, where, legend } = DRAWN[name]({ all: rows, setting }, size);
        root.setAttribute("aria-label", `${setting}: ${where}`);
        const head = html("p", { class: "setting" }, html("strong", {}, setting), ` ${where}`);
        const made = html("div", { class: "panel" }, head, root);
        if (legend) {
          const keysOf = html("p", { class: "key" });
          legend.forEach((source, number) => {
            const style = `fill:${coloured(SOURCES.colours[number])}`;
            const d = OUTLINES[SOURCES.outlines[number]];
            const mark = svg("svg", { viewBox: "-1.5 -1.5 3 3", "aria-hidden": "true" }, svg("path", { d, style }));
            keysOf.append(html("span", {}, mark, source));
          });
          head.after(keysOf);
        }
        keys(root);
        return made;
      }),
    );
  }
  for (const chip of document.querySelectorAll("#chips button")) {
    chip.setAttribute("aria-pressed", state.picked.has(chip.dataset.rule));
  }
  for (const row of document.querySelectorAll("tr[data-rule]")) {
    row.classList.toggle("picked", state.picked.has(row.dataset.rule));
  }
  const clear = document.getElementById("clear");
  if (clear) clear.disabled = state.picked.size === 0;
  document.documentElement.dataset.drawn = "yes";
}

// What can be chosen

function choice(name, title, options, first) {
  const known = options.filter(([value]) => value !== undefined);
  if (known.length < 2) return [];
  const list = html("select", { id: `choose-${name}` });
  for (const [value, text] of known) list.append(html("option", { value }, text));
  list.value = first;
  list.addEventListener("change", () => {
    const value = list.value;
    state[name] = name === "step" ? Number(value) : value;
    draw();
  });
  return [html("label", {}, title, list)];
}

const controls = document.getElementById("controls");
if (controls) {
  const has = (name) => (value) => every.some((row) => row[name] === value);
  const options = (values, names = {}) => values.map((value) => [String(value), names[value] ?? String(value)]);
  const clear = html("button", { type: "button", id: "clear" }, "Clear selection");
  clear.addEventListener("click", () => {
    state.picked.clear();
    draw();
  });
  controls.prepend(
    ...choice("setting", "setting", [["", "all"], ...options(settings)].slice(settings.length < 2 ? 1 : 0), ""),
    ...choice("protocol", "weights", options(protocols, PROTOCOLS), state.protocol),
    ...choice("step", "after steps", options(steps), String(state.step)),
    ...choice("axis", "bias", options(["raw", "scale-free"].filter(has("axis"))), "raw"),
    ...choice("feedback", "feedback", [
      ...options(["held", "redrawn"].filter(has("feedback"))),
      ...(has("feedback")("redrawn") ? [["both", "both"]] : []),
    ], "held"),
    clear,
  );
  const chips = document.getElementById("chips");
  for (const rule of page.rules) {
    const mark = svg("svg", { viewBox: "-1.5 -1.5 3 3", "aria-hidden": "true" });
    mark.append(svg("path", { d: rule.outline, style: `fill:${coloured(rule.colour)}` }));
    const chip = html("button", { type: "button", "data-rule": rule.rule, title: rule.about }, mark, rule.label);
    chip.addEventListener("click", () => pick(rule.rule));
    chips.append(chip);
  }
  if (data.training) {
    const quantities = unique(data.training.map((row) => row.shown));
    state.quantity = quantities[0];
    document.getElementById("training-choices").append(
      ...choice("quantity", "quantity", options(quantities), state.quantity),
    );
  }
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    if (card.hidden) state.picked.clear();
    draw();
  });
}

let drawnWidth = 0;
new ResizeObserver(() => {
  const now = document.getElementById("main").clientWidth;
  if (now === drawnWidth) return;
  drawnWidth = now;
  draw();
}).observe(document.getElementById("main"));

// A picture of a chart: its panels one below the other, with the colours of the page written out.
function saved(place) {
  const panels = [...place.querySelectorAll(".panel")];
  const whole = svg("svg", { xmlns: "http://www.w3.org/2000/svg" });
  let [wideness, top] = [0, 0];
  for (const each of panels) {
    const from = each.querySelector(":scope > svg");
    const copy = from.cloneNode(true);
    const originals = [from, ...from.querySelectorAll("*")];
    [copy, ...copy.querySelectorAll("*")].forEach((element, place) => {
      const style = getComputedStyle(originals[place]);
      const kept = ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font-size", "font-family", "vector-effect"];
      element.setAttribute("style", kept.map((name) => `${name}:${style.getPropertyValue(name)}`).join(";"));
    });
    copy.setAttribute("y", top + 24);
    const title = svg("text", { x: 2, y: top + 16, style: `font:600 13px sans-serif;fill:${getComputedStyle(document.body).color}` });
    title.textContent = each.querySelector(".setting").textContent;
    whole.append(title, copy);
    wideness = Math.max(wideness, Number(from.getAttribute("width")));
    top += Number(from.getAttribute("height")) + 36;
  }
  whole.setAttribute("viewBox", `0 0 ${wideness} ${top}`);
  whole.setAttribute("width", wideness);
  whole.setAttribute("height", top);
  whole.prepend(svg("rect", { width: "100%", height: "100%", fill: getComputedStyle(document.body).backgroundColor }));
  return new XMLSerializer().serializeToString(whole);
}

function keep(blob, name) {
  const link = html("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

for (const button of document.querySelectorAll("[data-save]")) {
  button.addEventListener("click", () => {
    const text = saved(document.querySelector(`[data-chart="${button.dataset.save}"]`));
    keep(new Blob([text], { type: "image/svg+xml" }), `${button.dataset.save}.svg`);
  });
}
