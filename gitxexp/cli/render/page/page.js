"use strict";
(() => {
const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent), charts = JSON.parse($("charts").textContent);

// -- elements: names and values only ever become text ------------------------------------------

function el(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name.startsWith("aria-")) { if (value != null) made.setAttribute(name, value); }
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child != null).map((child) => child instanceof Node ? child : String(child)));
  return made;
}
const head = (...cells) => el("thead", {}, el("tr", {}, cells.map((cell) => {
  const [text, number] = Array.isArray(cell) ? cell : [cell];
  return el("th", {scope: "col", class: number ? "number" : null}, text);
})));
const save = (name, parts, type) => {
  const url = URL.createObjectURL(new Blob(parts, {type}));
  el("a", {href: url, download: name}).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
};

// -- columns -----------------------------------------------------------------------------------

const spread = (packed) => { const out = []; for (let i = 0; i < packed.length; i += 2) for (let n = packed[i + 1]; n--;) out.push(packed[i]); return out; };
const columns = data.columns.map((column) => {
  let values = column.values || spread(column.at).map((place) => column.of[place]);
  if (column.kind === "metric") values = values.map((value) => value === "nan" ? NaN : value); // JSON has none
  const known = values.filter((value) => value !== null);
  return {...column, id: `${column.kind}:${column.name}`, values, label: column.kind === "field" ? column.name : column.name.split(".").pop(),
    numeric: known.length > 0 && known.every((value) => typeof value === "number")};
});
const byId = new Map(columns.map((column) => [column.id, column]));
const short = new Map();
for (const column of columns) short.set(column.label, (short.get(column.label) || 0) + 1);
for (const column of columns) if (short.get(column.label) > 1 && column.kind !== "field") column.label = column.name;
const of = (kind) => columns.filter((column) => column.kind === kind);
const field = (name, row) => { const column = byId.get(`field:${name}`); return column ? column.values[row] : null; };
const metrics = Object.keys(data.maximize).filter((name) => byId.has(`metric:${name}`));
const metricOf = (name) => byId.get(`metric:${name}`);
const isExperiment = (row) => row < data.experiments;
const names = Array.from({length: data.count}, (_, row) => String((isExperiment(row) ? field("version", row) : field("run", row)) ?? `row ${row + 1}`));
const rowOf = new Map();
names.forEach((name, row) => { if (!rowOf.has(name)) rowOf.set(name, row); });
const rowOfRun = new Map();
for (let row = data.count; row--;) { const run = field("run", row); if (run != null) rowOfRun.set(String(run), row); }
const everyRow = names.map((_, row) => row);
const experiments = everyRow.slice(0, data.experiments);

// A value as a number where it is one or spells one, else null, as for NaN; as --filter of explore list has it.
function number(value) {
  if (typeof value === "number") return Number.isNaN(value) ? null : value;
  if (typeof value !== "string" || !/^\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*$/i.test(value)) return /^\s*[-+]?inf(inity)?\s*$/i.test(value) ? (value.includes("-") ? -Infinity : Infinity) : null;
  return Number(value);
}
// Integers that a number cannot hold are texts here, and not equal because it rounds them alike.
const large = (value) => typeof value === "string" && /^[-+]?\d{16,}$/.test(value);
function equal(one, other) {
  const [a, b] = [number(one), number(other)];
  return a !== null && b !== null && !large(one) && !large(other) ? a === b : plain(one) === plain(other);
}
const finite = (value) => { const found = number(value); return found !== null && Number.isFinite(found) ? found : null; };

// Four decimals, or four digits where that would show none; all of them are in the title.
function rounded(value) {
  if (typeof value !== "number" || Number.isInteger(value) || Number.isNaN(value)) return plain(value);
  const size = Math.abs(value);
  if (!(size >= 1e-3 && size < 1e6)) return String(Number(value.toPrecision(4)));
  const exact = plain(value);
  return exact.length <= 6 && (exact.split(".")[1] || "").length <= 4 ? exact : value.toFixed(4);
}
function plain(value) {
  if (value === null || value === undefined) return "";
  if (Array.isArray(value)) return value.join(", ");
  if (typeof value !== "number") return String(value);
  if (Number.isNaN(value)) return "nan";
  const text = String(value);
  if (!text.includes("e-")) return text;
  return Math.abs(value) >= 1e-6 ? value.toFixed(12).replace(/0+$/, "") : text;
}
const two = (part) => String(part).padStart(2, "0");
function date(seconds, time = true) {
  if (seconds === null || seconds === undefined) return "";
  const at = new Date(seconds * 1000);
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return time ? `${day} ${two(at.getHours())}:${two(at.getMinutes())}` : day;
}
function size(count) {
  if (count === null) return "?";
  let unit = "B";
  for (const larger of ["kB", "MB", "GB", "TB"]) { if (count < 999.5) break; count /= 1000; unit = larger; }
  return unit === "B" || count >= 9.95 ? `${Math.round(count)} ${unit}` : `${count.toFixed(1)} ${unit}`;
}
const hash = (text) => text.replace(/^[a-z0-9]+:/, "").slice(0, 8);
const counted = (count, thing) => `${count.toLocaleString("en")} ${thing}${count === 1 ? "" : "s"}`;
function shown(column, value) {
  if (value === null) return "";
  if (column.kind === "field") {
    if (column.name === "date") return date(value);
    if (column.name === "commit" || column.name === "config_hash") return hash(value);
    if (column.name === "took") return `${rounded(value)} s`;
  }
  return rounded(value);
}

// -- state -------------------------------------------------------------------------------------

const params = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
const state = {
  all: params.get("rows") === "all" && data.count > data.experiments,
  filter: params.get("filter") || "",
  sort: byId.has(params.get("sort")) ? params.get("sort") : null, down: params.get("down") === "1",
  chosen: new Set((params.get("select") || "").split("\n").filter((name) => rowOf.has(name)).map((name) => rowOf.get(name))),
  columns: data.shown.filter((id) => byId.has(id)),
  limit: 100, rows: [], passing: new Set(), current: 0,
};
if (!state.columns.includes("field:label") && byId.has("field:label")) state.columns.splice(2, 0, "field:label");
function remember() {
  const kept = new URLSearchParams();
  if (state.all) kept.set("rows", "all");
  if (state.filter) kept.set("filter", state.filter);
  if (state.sort) { kept.set("sort", state.sort); if (state.down) kept.set("down", "1"); }
  if (state.chosen.size && state.chosen.size <= 20) kept.set("select", [...state.chosen].map((row) => names[row]).join("\n"));
  const text = kept.toString();
  try { history.replaceState(null, "", text ? `#${text}` : location.pathname); } catch { /* some viewers have no history */ }
}

// -- filter: the language of explore list --filter, or plain words ---------------------------------

const TOKEN = /\s*(?:(==|!=|<=|>=|!~|=|<|>|~)|([()])|("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|([^\s()"'=<>!~]+)|($))/y;
function tokens(text) {
  const found = [];
  for (let at = 0; ;) {
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    if (!match) throw new SyntaxError(/^\s*["']/.test(text.slice(at)) ? "a quote is not closed" : `what is '${text.slice(at).trim()[0]}'?`);
    const kind = ["op", "paren", "quoted", "word", "end"].find((_, n) => match[n + 1] !== undefined);
    const raw = match[["op", "paren", "quoted", "word", "end"].indexOf(kind) + 1];
    found.push({kind, text: kind === "quoted" ? raw.slice(1, -1).replace(/\\(.)/gs, "$1") : raw});
    if (kind === "end") return found;
    at = TOKEN.lastIndex;
  }
}
function compile(text) {
  const list = tokens(text);
  let at = 0, depth = 0;
  const keyword = (word) => list[at].kind === "word" && list[at].text.toLowerCase() === word && ++at > 0;
  const either = () => { const parts = [both()]; while (keyword("or")) parts.push(both()); return (row) => parts.some((part) => part(row)); };
  const both = () => { const parts = [negated()]; while (keyword("and")) parts.push(negated()); return (row) => parts.every((part) => part(row)); };
  const negated = () => {
    let turned = false;
    while (keyword("not")) turned = !turned;
    const test = list[at].text === "(" && list[at].kind === "paren" ? group() : comparison();
    return turned ? (row) => !test(row) : test;
  };
  const group = () => {
    at++;
    if (++depth > 100) throw new SyntaxError("too many parentheses");
    const inner = either();
    if (list[at].text !== ")") throw new SyntaxError("expected 'and', 'or' or ')'");
    at++; depth--;
    return inner;
  };
  const operand = (wanted) => {
    const token = list[at];
    if (!["word", "quoted"].includes(token.kind) || (token.kind === "word" && /^(and|or|not)$/i.test(token.text))) throw new SyntaxError(`expected ${wanted}`);
    at++;
    return token.text;
  };
  const comparison = () => {
    const name = operand("a name");
    if (list[at].kind !== "op") throw new SyntaxError(`expected a comparison (=, <, ~, ...) after '${name}'`);
    const op = list[at++].text.replace("==", "=");
    const column = find(name), test = tester(column, op, operand(`a value after '${op}'`));
    return (row) => test(column.values[row]);
  };
  const found = either();
  if (list[at].kind !== "end") throw new SyntaxError("expected 'and', 'or' or the end");
  return found;
}
function find(name) {
  const spelled = {labels: "label", experiment: "version", author: "tagger"}[name] || name;
  const inOrder = [of("field"), of("metric"), of("param")];
  for (const [kind, known] of [["field", inOrder[0]], ["metric", inOrder[1]], ["param", inOrder[2]]]) {
    const prefixed = kind !== "field" && name.startsWith(`${kind}s.`);
    const wanted = prefixed ? name.slice(kind.length + 2) : kind === "field" ? spelled : name;
    const exact = known.find((column) => column.name === wanted);
    if (exact) return exact;
    if (kind === "field") continue;
    const tails = known.filter((column) => column.name.endsWith(`.${wanted}`));
    if (tails.length > 1) throw new SyntaxError(`'${name}' is ambiguous: it may be ${tails.slice(0, 5).map((column) => column.name).join(" or ")}`);
    const folded = tails[0] || known.find((column) => column.name.toLowerCase() === wanted.toLowerCase());
    if (folded) return folded;
  }
  throw new SyntaxError(`no parameter, metric or field is named '${name}'`);
}
const ORDER = {"<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b};
function tester(column, op, text) {
  const named = column.kind === "field" ? column.name : "";
  if (named === "label") {
    const no = op === "!=" || op === "!~", inner = compare(no ? op.slice(1) : op, text);
    return (value) => (value || []).some(inner) !== no;
  }
  if (named === "date") return ofDate(op, text);
  if (named === "version" && op in ORDER) {
    const wanted = version(text);
    if (!wanted) throw new SyntaxError(`'${text}' is not a version (like e0.3.0)`);
    return (value) => { const own = version(value || ""); return own !== null && own[0] === wanted[0] && ORDER[op](inOrder(own, wanted), 0); };
  }
  return compare(op, text);
}
function version(text) {
  let match = /^e(\d+)\.(\d+)\.(\d+)$/.exec(text);
  if (match) return ["", ...match.slice(1).map(Number)];
  match = /^exp-(.+)-v(\d+)$/.exec(text);
  return match ? [match[1], Number(match[2])] : null;
}
function inOrder(one, other) {
  for (let n = 0; n < Math.max(one.length, other.length); n++) if (one[n] !== other[n]) return one[n] === undefined || one[n] < other[n] ? -1 : 1;
  return 0;
}
function ofDate(op, text) {
  if (op === "~" || op === "!~") { const inner = compare(op, text); return (value) => value !== null && inner(date(value)); }
  const match = /^(\d{4})(?:-(\d\d?)(?:-(\d\d?)(?:[T ](\d\d?)(?::(\d\d)(?::(\d\d))?)?)?)?)?$/.exec(text.trim());
  if (!match) throw new SyntaxError(`'${text}' is not a date (like 2026-03-01)`);
  const given = match.slice(1).filter((part) => part !== undefined).map(Number);
  const moment = (parts) => { const all = [...parts, ...[0, 1, 1, 0, 0, 0].slice(parts.length)]; return new Date(all[0], all[1] - 1, ...all.slice(2)).getTime() / 1000; };
  const start = moment(given), end = moment([...given.slice(0, -1), given.at(-1) + 1]);
  const tests = {"=": (v) => start <= v && v < end, "!=": (v) => !(start <= v && v < end), "<": (v) => v < start, "<=": (v) => v < end, ">": (v) => v >= end, ">=": (v) => v >= start};
  return (value) => value !== null && tests[op](value);
}
function compare(op, text) {
  if (op === "~" || op === "!~") {
    const pattern = regular(text);
    return (value) => value !== null && pattern.test(plain(value)) === (op === "~");
  }
  const wanted = number(text);
  if (op === "=" || op === "!=") {
    return (value) => {
      if (value === null) return false;
      return (Number.isNaN(value) ? /^nan$/i.test(text) : equal(value, text)) === (op === "=");
    };
  }
  if (wanted !== null) return (value) => { const own = number(value); return own !== null && ORDER[op](own, wanted); };
  return (value) => typeof value === "string" && number(value) === null && ORDER[op](value, text);
}
function regular(text) {
  const flags = /\p{Lu}/u.test(text) ? "su" : "sui", literal = (part) => part.replace(/[\\^$.*+?()[\]{}|\/-]/g, "\\$&");
  try {
    if (/[\^$|({+\\]|\.\*/.test(text)) return new RegExp(text, flags);
    if (/[*?[]/.test(text)) {
      const parts = text.match(/\*|\?|\[!?\]?[^\]]*\]|[^*?[]+|\[/g) || [];
      const set = (part) => `[${part[1] === "!" ? "^" : ""}${part.slice(part[1] === "!" ? 2 : 1, -1).replace(/[\\\]^[]/g, "\\$&")}]`;
      return new RegExp(parts.map((part) => part === "*" ? ".*" : part === "?" ? "." : part.length > 2 && part[0] === "[" ? set(part) : literal(part)).join(""), flags);
    }
    return new RegExp(literal(text), flags);
  } catch { throw new SyntaxError(`not a regular expression: ${text}`); }
}
let haystack = null;
function search(text) {
  const said = columns.filter((column) => column.kind !== "field" || !["commit", "config_hash", "data", "record"].includes(column.name));
  haystack ||= everyRow.map((row) => said.map((column) => plain(column.values[row])).join("\n").toLowerCase());
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return (row) => words.every((word) => haystack[row].includes(word));
}

// -- table ---------------------------------------------------------------------------------------

const goodness = new Map(), ranges = new Map();
function rangeOf(column) {
  if (!ranges.has(column.id)) {
    const known = column.values.map(finite).filter((value) => value !== null);
    let low = Infinity, high = -Infinity;
    for (const value of known) { if (value < low) low = value; if (value > high) high = value; }
    ranges.set(column.id, known.length ? [low, high] : null);
  }
  return ranges.get(column.id);
}
function bestOf(column, rows) {
  const more = data.maximize[column.name];
  let best = null, distinct = false;
  for (const row of rows) {
    const value = finite(column.values[row]);
    if (value === null) continue;
    if (best !== null && value !== best) distinct = true;
    if (best === null || (more ? value > best : value < best)) best = value;
  }
  return distinct ? best : null;
}
function sortKey(column) {
  if (column.id === "field:version") return (row) => { const own = version(column.values[row] || ""); return own && [own[0] ? 0 : 1, ...own]; };
  return (row) => {
    const value = column.values[row];
    if (value === null || Number.isNaN(value) || (Array.isArray(value) && !value.length)) return null;
    const amount = number(value);
    return amount !== null ? [0, amount] : [1, plain(value)];
  };
}
function recompute() {
  const note = $("filter-note");
  let test = null, problem = "";
  if (state.filter.trim()) {
    try { test = /[=<>~]/.test(state.filter) ? compile(state.filter) : search(state.filter); }
    catch (error) { if (!(error instanceof SyntaxError)) throw error; problem = error.message; }
  }
  const base = state.all ? everyRow : experiments;
  let rows = test ? base.filter(test) : base.slice();
  if (state.sort) {
    const column = byId.get(state.sort), key = sortKey(column);
    const keyed = rows.map((row) => [key(row), row]);
    const present = keyed.filter(([own]) => own !== null), absent = keyed.filter(([own]) => own === null);
    present.sort((one, other) => (inOrder(one[0], other[0]) || 0) * (state.down ? -1 : 1) || one[1] - other[1]);
    rows = [...present, ...absent].map(([, row]) => row);
  }
  state.rows = rows;
  state.passing = new Set(rows);
  state.current = Math.min(state.current, Math.max(rows.length - 1, 0));
  const thing = state.all ? "row" : "experiment";
  note.textContent = problem ? `The filter cannot be read: ${problem}.` : test ? `${rows.length.toLocaleString("en")} of ${counted(base.length, thing)}` : counted(base.length, thing);
  note.classList.toggle("wrong", Boolean(problem));
  if (data.leftOut && !problem) note.append(`; ${counted(data.leftOut, "older row")} left out of this page`);
  $("filter").setAttribute("aria-invalid", Boolean(problem));
}
function drawHead() {
  const cells = [el("th", {class: "pick", scope: "col"}, el("span", {class: "hidden"}, "selected"))];
  for (const id of state.columns) {
    const column = byId.get(id), sorted = state.sort === id;
    cells.push(el("th", {scope: "col", class: classOf(column), "aria-sort": sorted ? (state.down ? "descending" : "ascending") : null, title: column.kind === "field" ? column.name : `${column.kind === "metric" ? "metric" : "parameter"} ${column.name}`},
      el("button", {type: "button", onclick: () => sortBy(id)}, column.label)));
  }
  $("table").tHead.replaceChildren(el("tr", {}, cells));
}
const classOf = (column) => column.id === "field:version" || (state.columns[0] === column.id) ? "name" : column.kind !== "field" && column.numeric ? "number" : column.name === "text" && column.kind === "field" ? "prose" : null;
function sortBy(id) {
  const column = byId.get(id);
  const first = column.kind === "metric" ? data.maximize[column.name] : ["field:date", "field:version", "field:rows"].includes(id);
  if (state.sort !== id) { state.sort = id; state.down = first; }
  else if (state.down === first) state.down = !first;
  else { state.sort = null; }
  state.limit = 100;
  refresh();
}
function drawBody() {
  const wanted = state.columns.map((id) => byId.get(id));
  const best = new Map(wanted.filter((column) => column.kind === "metric").map((column) => [column.id, bestOf(column, state.rows)]));
  const rows = state.rows.slice(0, state.limit).map((row, at) => tableRow(row, at, wanted, best));
  $("table").tBodies[0].replaceChildren(...rows);
  const left = state.rows.length - state.limit;
  $("more").hidden = left <= 0;
  $("more").textContent = `Show ${Math.min(left, 200)} more of ${left.toLocaleString("en")}`;
}
function tableRow(row, at, wanted, best) {
  const selected = state.chosen.has(row);
  const box = el("input", {type: "checkbox", tabindex: -1, "aria-label": `Select ${names[row]}`});
  box.checked = selected;
  const made = el("tr", {"data-row": row, tabindex: at === state.current ? 0 : -1, "aria-selected": selected}, el("td", {class: "pick"}, box));
  for (const column of wanted) {
    let value = column.values[row];
    const cell = el("td", {class: classOf(column)});
    if (column.id === "field:version" && value === null) value = isExperiment(row) ? null : "";
    if (column.id === "field:label") {
      for (const label of value || []) cell.append(el("button", {type: "button", class: "tag", title: `Only with the label ${label}`, onclick: () => setFilter(`label = "${label.replace(/["\\]/g, "\\$&")}"`)}, label));
    } else {
      const text = shown(column, value);
      cell.append(column.id === "field:version" && !isExperiment(row) && !text ? "untagged" : text);
      if (text && (column.kind !== "field" || ["text", "run", "commit", "config_hash", "command"].includes(column.name))) cell.title = plain(value);
    }
    if (column.kind === "metric") {
      const range = rangeOf(column), amount = finite(value);
      if (range && amount !== null && range[1] > range[0]) {
        cell.classList.add("meter");
        cell.style.setProperty("--part", (0.04 + 0.96 * (amount - range[0]) / (range[1] - range[0])).toFixed(3));
      }
      if (amount !== null && amount === best.get(column.id)) { cell.classList.add("best"); cell.title = `${plain(value)} (the best)`; }
    }
    made.append(cell);
  }
  return made;
}
function refresh() {
  recompute(); drawHead(); drawBody(); remember();
  redraw("versions"); redraw("parallel");
}
function setFilter(text) { state.filter = $("filter").value = text; state.limit = 100; refresh(); }
function choose(row, on) {
  if (on) state.chosen.add(row); else state.chosen.delete(row);
  for (const made of $("table").tBodies[0].rows) {
    const own = Number(made.dataset.row), selected = state.chosen.has(own);
    made.setAttribute("aria-selected", selected);
    made.querySelector("input").checked = selected;
  }
  selectionChanged();
}
function selectionChanged() {
  $("clear").disabled = !state.chosen.size;
  $("clear").textContent = state.chosen.size ? `Clear selection (${state.chosen.size})` : "Clear selection";
  const two = [...state.chosen];
  if (two.length >= 2) setPair(...two.slice(-2).sort((one, other) => other - one));
  if (two.length) setOwner(two.at(-1));
  remember();
  redraw("versions"); redraw("curves"); redraw("parallel");
}

// -- charts ----------------------------------------------------------------------------------------

const dark = () => document.documentElement.hasAttribute("data-dark");
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
// Okabe and Ito's colours, told apart with any colour vision (jfly.uni-koeln.de/color), black and yellow aside.
const PALETTE = () => dark() ? ["#56b4e9", "#e69f00", "#2fc49b", "#f0845a", "#dd9cc0", "#a9b4c0"] : ["#0072b2", "#d17f00", "#009e73", "#c94a00", "#b0588a", "#5f6b78"];
// Cividis (Nuñez, Anderton and Renslow 2018) without the ends that would vanish in the page.
const RAMP = () => dark() ? ["#3d5f9e", "#6d7ea3", "#95979a", "#c5b56c", "#fde545"] : ["#00306f", "#3b4c6b", "#6c6d72", "#a59c55", "#d6b800"];
function ramp(part) {
  const stops = RAMP(), at = Math.min(Math.max(part, 0), 1) * (stops.length - 1), low = Math.min(Math.floor(at), stops.length - 2);
  const rgb = (text) => [1, 3, 5].map((n) => parseInt(text.slice(n, n + 2), 16));
  const [one, other] = [rgb(stops[low]), rgb(stops[low + 1])];
  return `#${one.map((value, n) => Math.round(value + (other[n] - value) * (at - low)).toString(16).padStart(2, "0")).join("")}`;
}
const views = new Map(), pending = new Map(), visible = new Set(), drawing = new Map();
const config = () => ({
  background: null, font: getComputedStyle(document.body).fontFamily,
  view: {stroke: null}, range: {category: PALETTE()},
  axis: {labelColor: css("--muted"), titleColor: css("--text"), gridColor: css("--line"), domainColor: css("--strong-line"), tickColor: css("--strong-line"), labelFontSize: 11, titleFontSize: 12, titleFontWeight: 400, domain: true},
  legend: {labelColor: css("--muted"), labelFontSize: 12},
});
const box = (name) => document.querySelector(`.chart[data-chart="${name}"]`);
function empty(name, text) { views.get(name)?.finalize(); views.delete(name); box(name).replaceChildren(el("div", {class: "empty"}, text)); }
async function embed(name, spec, onclick) {
  const target = box(name), holder = el("div", {});
  holder.style.width = "100%";
  const width = target.clientWidth;
  const hidden = el("div", {}, holder);
  hidden.style.cssText = `position:absolute;visibility:hidden;width:${width}px`;
  target.append(hidden);
  const result = await vegaEmbed(holder, spec, {ast: true, actions: false, renderer: "svg", defaultStyle: false, config: config(), tooltip: tooltip, hover: false, logLevel: 1});
  views.get(name)?.finalize();
  views.set(name, result);
  target.replaceChildren(holder, ...target.querySelectorAll(".handle"));
  if (onclick) result.view.addEventListener("click", (_, item) => { if (item?.datum?.row !== undefined) onclick(item.datum.row); });
}
const draw = {};
function redraw(name) {
  pending.set(name, true);
  if (visible.has(name)) work(name);
}
function work(name) {
  if (!pending.get(name) || drawing.get(name) || typeof vegaEmbed === "undefined") return drawing.get(name);
  pending.set(name, false);
  const done = Promise.resolve().then(draw[name]).catch((error) => { console.error(error); empty(name, "This chart could not be drawn."); })
    .then(() => { drawing.delete(name); if (pending.get(name)) return work(name); });
  drawing.set(name, done);
  return done;
}

function tooltip(_, event, item, value) {
  const tip = $("tip");
  if (value === null || value === undefined || value === "") { tip.hidden = true; return; }
  const row = Number(value), lines = [];
  if (typeof value === "string" && !rowOf.has(value) && Number.isNaN(row)) {
    const [title, ...rest] = value.split("\n");
    lines.push(el("b", {}, title), ...rest.map((line) => { const [name, text] = line.split("\t"); return el("div", {}, el("span", {}, name), el("span", {}, text)); }));
  } else lines.push(...described(row));
  tip.replaceChildren(...lines);
  tip.hidden = false;
  const wide = tip.offsetWidth, tall = tip.offsetHeight;
  tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - wide - 8))}px`;
  tip.style.top = `${event.clientY + tall + 20 > innerHeight ? event.clientY - tall - 10 : event.clientY + 14}px`;
}
function described(row) {
  const lines = [el("b", {}, names[row])];
  const line = (name, text) => { if (text) lines.push(el("div", {}, el("span", {}, name), el("span", {}, text))); };
  line("tagged", isExperiment(row) ? date(field("date", row)) : "");
  for (const id of state.columns) {
    const column = byId.get(id);
    const interval = column.kind === "metric" && (data.intervals[column.name] || [])[row];
    if (column.kind !== "field") line(column.label, shown(column, column.values[row]) + (interval ? ` (95% ${rounded(interval[1])} to ${rounded(interval[2])})` : ""));
  }
  const text = field("text", row);
  if (text) lines.push(el("div", {}, el("span", {}, text.length > 160 ? `${text.slice(0, 160)}…` : text)));
  return lines;
}

draw.versions = () => {
  const column = metricOf($("metric").value);
  if (!column) return empty("versions", "No experiment has a metric.");
  const across = $("across").value, more = data.maximize[column.name], known = data.intervals[column.name] || [];
  const rows = experiments.slice().reverse().filter((row) => finite(column.values[row]) !== null && (across === "version" || field("date", row) !== null));
  if (!rows.length) return empty("versions", "No experiment has this metric.");
  const filtered = state.filter.trim() !== "", best = bestOf(column, rows), palette = PALETTE(), place = new Map();
  const at = (row) => across === "date" ? field("date", row) * 1000 : names[row];
  const small = rows.length > 400;
  const points = rows.map((row) => {
    const value = finite(column.values[row]), interval = known[row] || null, isBest = value === best;
    place.set(names[row], value);
    return {row, version: at(row), value, low: interval && interval[1], high: interval && interval[2], selected: state.chosen.has(row), ring: css("--text"),
      colour: isBest ? css("--best") : palette[0], shape: isBest ? "diamond" : "circle", size: isBest ? 150 : small ? 22 : 70, opacity: filtered && !state.passing.has(row) ? 0.2 : 1};
  });
  const links = [], link = css("--strong-line");
  for (const row of rows) {
    const parent = data.parents[row];
    if (parent && place.has(parent)) links.push({version: at(rowOf.get(parent)), other: at(row), value: place.get(parent), end: finite(column.values[row]), colour: link});
  }
  let top = null;
  const record = rows.map((row) => {
    const value = finite(column.values[row]);
    top = top === null ? value : more ? Math.max(top, value) : Math.min(top, value);
    return {version: at(row), value: top, colour: css("--good")};
  });
  $("interval-key").hidden = !points.some((point) => point.low !== null);
  const spec = structuredClone(charts.versions), x = spec.encoding.x;
  if (across === "date") { x.type = "temporal"; delete x.sort; x.axis = {labelOverlap: true, grid: false}; }
  else if (rows.length > 40) x.axis.values = rows.filter((_, n) => n % Math.ceil(rows.length / 20) === 0).map((row) => names[row]);
  if (across !== "date") x.scale = {domain: rows.map((row) => names[row])};
  spec.datasets = {points, links, record};
  return embed("versions", spec, (row) => choose(row, !state.chosen.has(row)));
};

const curvesBy = new Map();
for (const curve of data.curves) { if (!curvesBy.has(curve.metric)) curvesBy.set(curve.metric, new Map()); curvesBy.get(curve.metric).set(curve.run, curve); }
draw.curves = () => {
  const known = curvesBy.get($("curve-metric").value), note = $("curve-note");
  note.textContent = "";
  if (!known) return empty("curves", "No run here logged a metric by step.");
  const chosen = [...state.chosen].filter((row) => known.has(String(field("run", row))));
  const lacking = [...state.chosen].filter((row) => !known.has(String(field("run", row)))).map((row) => names[row]);
  const rows = chosen.length ? chosen.slice(-12) : [...known.keys()].map((run) => rowOfRun.get(run)).filter((row) => row !== undefined).sort((one, other) => rank(one) - rank(other)).slice(0, 5);
  const logged = $("curve-log").checked, keep = Number($("smooth").value);
  const points = [];
  let thinned = false;
  for (const row of rows) {
    const curve = known.get(String(field("run", row)));
    thinned ||= curve.total > curve.points.length / 2;
    let mean = null, weight = 0;
    for (let n = 0; n < curve.points.length; n += 2) {
      const raw = curve.points[n + 1];
      mean = mean === null ? raw * (1 - keep) : mean * keep + raw * (1 - keep);
      weight = weight * keep + (1 - keep);
      const value = keep ? mean / weight : raw;
      if (!logged || value > 0) points.push({name: names[row], step: curve.points[n], value, text: `${names[row]}\nstep\t${plain(curve.points[n])}\n${curve.metric}\t${rounded(raw)}`});
    }
  }
  note.textContent = [chosen.length ? "" : "Of the best runs; select rows in the table to choose others.", chosen.length > 12 ? "The last 12 that were selected." : "", lacking.length && chosen.length ? `No curve here of ${lacking.slice(0, 5).join(", ")}${lacking.length > 5 ? "…" : ""}.` : "", thinned ? "Long curves keep the least and greatest value of each stretch." : ""].filter(Boolean).join(" ");
  if (!points.length) return empty("curves", "Nothing to draw.");
  const spec = structuredClone(charts.curves);
  if (logged) spec.encoding.y.scale = {type: "log"};
  spec.datasets = {points};
  return embed("curves", spec);
};
function rank(row) {
  const column = data.metric && metricOf(data.metric), value = column ? finite(column.values[row]) : null;
  return value === null ? Infinity : data.maximize[data.metric] ? -value : value;
}

const MOST_LINES = 2000;
// Round values within a range, not too near its ends.
function between(low, high) {
  const rough = (high - low) / 4, power = 10 ** Math.floor(Math.log10(rough)), step = power * [1, 2, 5, 10].find((part) => part * power >= rough);
  const found = [];
  for (let n = Math.ceil(low / step); n * step < high; n++) if (n * step - low > step * 0.35 && high - n * step > step * 0.35) found.push(n * step);
  return found;
}
function axisOf(column, rows) {
  const values = rows.map((row) => column.values[row]), known = values.filter((value) => value !== null && !Number.isNaN(value) && Math.abs(number(value)) !== Infinity);
  if (new Set(known.map(plain)).size < 2) return null;
  const amounts = known.map(finite);
  if (amounts.every((value) => value !== null) && amounts.some((value) => value !== amounts[0]) && !known.some((value) => typeof value === "boolean")) {
    let low = Infinity, high = -Infinity;
    for (const value of amounts) { if (value < low) low = value; if (value > high) high = value; }
    const log = low > 0 && high / low >= 100;
    const scale = log ? Math.log10 : (value) => value, from = scale(low), to = scale(high);
    const distinct = [...new Set(amounts)].sort((one, other) => one - other);
    const ticks = distinct.length <= 8 ? distinct : log ? [...new Set([low, ...Array.from({length: Math.floor(to) - Math.ceil(from) + 1}, (_, n) => 10 ** (Math.ceil(from) + n)), high])] : [low, ...between(low, high), high];
    return {column, numeric: true, place: (value) => { const own = finite(value); return own === null ? null : (scale(own) - from) / (to - from); },
      value: (part) => { const own = from + part * (to - from); return log ? 10 ** own : own; }, ticks: ticks.map((value) => [value, rounded(Number(value.toPrecision(6)))])};
  }
  const distinct = [...new Set(known.map(plain))].sort(), last = distinct.length - 1;
  const every = Math.ceil(distinct.length / 14), place = new Map(distinct.map((text, n) => [text, n / last]));
  return {column, numeric: false, distinct, place: (value) => value === null ? null : place.get(plain(value)), ticks: distinct.filter((_, n) => n % every === 0).map((text) => [text, text])};
}
function parallelAxes(rows) {
  const wanted = data.shown.map((id) => byId.get(id)).filter((column) => column && column.kind !== "field");
  const params = [...wanted.filter((column) => column.kind === "param"), ...of("param")];
  const colour = metricOf($("colour").value), values = [...wanted.filter((column) => column.kind === "metric" && column !== colour).slice(0, 1), colour];
  const room = Math.max(6, Math.min(9, Math.floor(box("parallel").clientWidth / 92)));
  const axes = [];
  for (const column of new Set(params)) { if (axes.length >= room - values.length) break; const axis = axisOf(column, rows); if (axis) axes.push(axis); }
  return [...axes, ...values.filter(Boolean).map((column) => axisOf(column, rows)).filter(Boolean)];
}
draw.parallel = () => {
  const base = state.all ? everyRow : experiments, colour = metricOf($("colour").value), target = box("parallel");
  const axes = parallelAxes(base);
  if (axes.length < 2) return empty("parallel", "No two parameters or metrics vary.");
  const width = Math.max(target.clientWidth, axes.length * 84), height = 330, top = 32, bottom = height - 26, left = 12, right = Math.min(80, width / axes.length * 0.6);
  const x = axes.map((_, n) => left + n * (width - left - right) / (axes.length - 1));
  const y = (part) => bottom - part * (bottom - top);
  const range = colour && rangeOf(colour), more = colour ? data.maximize[colour.name] : true;
  const level = (row) => { const value = colour && finite(colour.values[row]); return value === null || value === undefined || !range || range[0] === range[1] ? null : (value - range[0]) / (range[1] - range[0]); };
  const faint = Math.min(0.85, Math.max(0.14, 8 / Math.sqrt(state.rows.length || 1)));
  // The best lines last, so that they lie above the others; of too many those that matter less are left out.
  const order = base.slice().sort((one, other) => (state.passing.has(one) - state.passing.has(other)) || (state.chosen.has(one) - state.chosen.has(other)) || (more ? 1 : -1) * ((level(one) ?? (more ? -1 : 2)) - (level(other) ?? (more ? -1 : 2)))).slice(-MOST_LINES);
  const lines = [];
  for (const row of order) {
    const on = state.passing.has(row), chosen = state.chosen.has(row), part = level(row);
    let path = "", broken = true;
    axes.forEach((axis, n) => {
      const at = axis.place(axis.column.values[row]);
      if (at === null || at === undefined) { broken = true; return; }
      path += `${broken ? "M" : "L"}${x[n].toFixed(1)} ${y(at).toFixed(1)}`;
      broken = false;
    });
    if (!path.includes("L")) continue;
    lines.push({row, path, colour: on ? (part === null ? css("--muted") : ramp(more ? part : 1 - part)) : css("--grey"), width: chosen ? 3.5 : on ? 1.5 : 1, opacity: chosen ? 1 : on ? faint : 0.25});
  }
  const each = (width - left - right) / (axes.length - 1);
  const spec = structuredClone(charts.parallel);
  spec.width = width; spec.height = height;
  spec.data[0].values = lines;
  spec.data[1].values = axes.map((axis, n) => ({x: x[n], top, bottom, name: axis.column.label, colour: css("--strong-line"), text: css("--text"), align: n === 0 ? "left" : "center", limit: n === axes.length - 1 ? right * 2 : each - 8}));
  spec.data[2].values = axes.flatMap((axis, n) => axis.ticks.map(([value, text]) => ({x: x[n], y: y(axis.place(value)), dx: 6, text, align: "left", limit: (n === axes.length - 1 ? right : each) - 10, colour: css("--muted"), halo: css("--panel")})));
  $("colour-low").textContent = range ? rounded(more ? range[0] : range[1]) : "";
  $("colour-high").textContent = range ? rounded(more ? range[1] : range[0]) : "";
  document.documentElement.style.setProperty("--ramp", RAMP().join(", "));
  return embed("parallel", spec, (row) => choose(row, !state.chosen.has(row))).then(() => {
    target.querySelectorAll(".handle").forEach((handle) => handle.remove());
    axes.forEach((axis, n) => target.append(handle(axis, x[n], top, bottom)));
  });
};
const brushes = new Map();
const quoted = (text) => /^[^\s()"'=<>!~]+$/.test(text) && !/^(and|or|not)$/i.test(text) ? text : `"${text.replace(/["\\]/g, "\\$&")}"`;
function handle(axis, x, top, bottom) {
  const mark = el("i", {}), made = el("div", {class: "handle", title: `Drag to filter by ${axis.column.name}`}, mark), id = axis.column.id;
  made.style.cssText = `left:${x}px;top:${top}px;height:${bottom - top}px`;
  const paint = (from, to) => { mark.style.top = `${Math.min(from, to)}px`; mark.style.height = `${Math.abs(to - from)}px`; };
  const kept = brushes.get(id);
  if (kept && state.filter.includes(kept.clause)) paint(...kept.span); else brushes.delete(id);
  let start = null;
  made.addEventListener("pointerdown", (event) => { start = event.offsetY + (event.target === mark ? mark.offsetTop : 0); made.setPointerCapture(event.pointerId); paint(start, start); event.preventDefault(); });
  const where = (event) => Math.min(Math.max(event.clientY - made.getBoundingClientRect().top, 0), bottom - top);
  made.addEventListener("pointermove", (event) => { if (start !== null) paint(start, where(event)); });
  made.addEventListener("pointerup", (event) => {
    if (start === null) return;
    const end = where(event), span = [start, end], parts = span.map((at) => 1 - at / (bottom - top)).sort((one, other) => one - other);
    start = null;
    let text = state.filter;
    const old = brushes.get(id);
    if (old) text = text.replace(` and ${old.clause}`, "").replace(`${old.clause} and `, "").replace(old.clause, "");
    brushes.delete(id);
    if (Math.abs(span[0] - span[1]) > 4) {
      const clause = clauseOf(axis, parts);
      if (clause) { brushes.set(id, {clause, span}); text = text.trim() ? (/[=<>~]/.test(text) ? `${text} and ${clause}` : clause) : clause; }
    }
    setFilter(text.trim());
  });
  return made;
}
function clauseOf(axis, [low, high]) {
  const name = quoted(axis.column.kind === "metric" ? axis.column.name : `${axis.column.kind}s.${axis.column.name}`);
  if (axis.numeric) { // an end of the axis is meant where it is all but reached
    const ends = [[">=", low, low > 0.02], ["<=", high, high < 0.98]].filter(([, , given]) => given);
    return ends.length ? `(${ends.map(([op, part]) => `${name} ${op} ${Number(axis.value(part).toPrecision(4))}`).join(" and ")})` : "";
  }
  const inside = axis.distinct.filter((text) => { const at = axis.place(text); return at >= low - 1e-9 && at <= high + 1e-9; });
  return inside.length ? `(${inside.map((text) => `${name} = ${quoted(text)}`).join(" or ")})` : "";
}

// -- importance --------------------------------------------------------------------------------------

function drawImportance() {
  const name = $("importance-metric").value, rows = data.importance[name] || [];
  if (!rows.length) {
    $("importance-table").replaceChildren(el("p", {class: "note"}, "No parameter varies over at least 5 runs."));
    $("importance-note").textContent = "";
    return;
  }
  const meter = (value, middle) => {
    if (value === null) return el("td", {}, "–");
    const fill = el("i", {class: value < 0 ? "minus" : null});
    const wide = Math.abs(value) * (middle ? 50 : 100);
    fill.style.width = `${wide}%`;
    fill.style.left = middle ? `${value < 0 ? 50 - wide : 50}%` : "0";
    return el("td", {}, el("span", {class: middle ? "meter-box middle" : "meter-box", "aria-hidden": "true"}, fill), `${value > 0 && middle ? "+" : ""}${value.toFixed(2).replace("-", "−")}`);
  };
  $("importance-table").replaceChildren(el("table", {}, head("parameter", `rank correlation with ${name}`, "share of variance", ["runs", true]),
    el("tbody", {}, rows.map(([param, correlation, share, runs]) => el("tr", {}, el("th", {scope: "row"}, param), meter(correlation, true), meter(share, false), el("td", {class: "number"}, runs))))));
  $("importance-note").textContent = `Spearman's rank correlation, and the share of the variance between the values of the parameter (eta squared), over the runs that have both. They show correlation, not causation.`;
}

// -- compare -----------------------------------------------------------------------------------------

let pair = [null, null];
function setPair(before, after) {
  pair = [before, after];
  $("before").value = before === null ? "" : names[before];
  $("after").value = after === null ? "" : names[after];
  drawDifference();
}
const show = (value) => value === null || value === undefined ? "–" : rounded(value);
// Newcombe's interval of the difference of two rates from Wilson's of each (method 10), as explore diff has it.
function intervalOf(metric, before, after) {
  const known = data.intervals[metric] || [], one = known[before], other = known[after];
  if (!one || !other) return null;
  const delta = other[0] - one[0];
  return [delta - Math.hypot(other[0] - other[1], one[2] - one[0]), delta + Math.hypot(other[2] - other[0], one[0] - one[1])];
}
function drawDifference() {
  const target = $("difference"), [before, after] = pair;
  if (before === null || after === null) { target.replaceChildren(el("p", {class: "note"}, "Select two rows of the table, or name two versions.")); return; }
  const all = $("same").checked, blocks = [];
  const block = (title, table, none, wide) => blocks.push(el("div", {class: wide ? "wide" : null}, el("h3", {}, title), table || el("p", {class: "note"}, none)));
  const rows = (list) => list.length ? list : null;
  const heads = (first, ...more) => head(first, names[before], names[after], ...more);
  const same = (one, other) => one === null || other === null ? one === other : equal(one, other);
  const changed = of("param").map((column) => [column, column.values[before], column.values[after]]).filter(([, one, other]) => (one !== null || other !== null) && (all || !same(one, other)));
  block("Parameters", rows(changed) && el("table", {}, heads("parameter"), el("tbody", {}, changed.map(([column, one, other]) => el("tr", {class: same(one, other) ? "same" : null}, el("th", {scope: "row"}, column.name), el("td", {title: plain(one)}, show(one)), el("td", {title: plain(other)}, show(other)))))), "The same.");
  const measured = metrics.map((name) => [name, metricOf(name).values[before], metricOf(name).values[after]]).filter(([, one, other]) => one !== null || other !== null);
  block("Metrics", rows(measured) && el("table", {id: "metrics-difference"}, head("metric", [names[before], true], [names[after], true], ["change", true], ["", true], "", "95% interval"), el("tbody", {}, measured.map(([name, one, other]) => metricRow(name, one, other, before, after)))), "Neither has a metric.", true);
  if (isExperiment(before) && isExperiment(after)) {
    const files = codeChanges(before, after);
    const added = files.reduce((sum, file) => sum + (file.added || 0), 0), deleted = files.reduce((sum, file) => sum + (file.deleted || 0), 0);
    block(files.length ? `Code: ${counted(files.length, "file")}, +${added} −${deleted}` : "Code", rows(files) && el("table", {id: "code-difference"}, el("tbody", {}, files.map((file) => el("tr", {}, el("th", {scope: "row"}, el("code", {}, file.path)), file.added === null ? el("td", {colspan: 2}, "differs (binary or large)") : [el("td", {class: "number plus"}, `+${file.added}`), el("td", {class: "number minus"}, `−${file.deleted}`)])))), "The same.");
    const artifacts = Object.entries(data.artifacts).map(([path, packed]) => { const at = spread(packed); return [path, data.places[at[before]], data.places[at[after]]]; }).filter(([, one, other]) => (one || other) && (all || (one && one[2]) !== (other && other[2])));
    const cell = (place) => el("td", {title: place ? place[2] : null}, place ? el("code", {}, hash(place[2])) : "–");
    block("Artifacts", rows(artifacts) && el("table", {}, heads("path"), el("tbody", {}, artifacts.map(([path, one, other]) => el("tr", {class: one && other && one[2] === other[2] ? "same" : null}, el("th", {scope: "row"}, path), cell(one), cell(other))))), "The same.");
  }
  target.replaceChildren(el("div", {class: "blocks"}, blocks));
}
function metricRow(name, one, other, before, after) {
  const cells = [el("th", {scope: "row"}, name), el("td", {class: "number", title: plain(one)}, show(one)), el("td", {class: "number", title: plain(other)}, show(other))];
  const [from, to] = [number(one), number(other)];
  if (from === null || to === null) return el("tr", {}, cells, el("td", {colspan: 4}));
  const delta = to - from, part = from && Number.isFinite(from) ? `${delta >= 0 ? "+" : "−"}${Math.abs(100 * delta / Math.abs(from)).toFixed(1)}%` : "";
  if (!delta) return el("tr", {class: "same"}, cells, el("td", {class: "number"}, "same"), el("td", {}), el("td", {}), el("td", {}));
  const better = delta > 0 === data.maximize[name], interval = intervalOf(name, before, after), noise = isNoise(name, delta, interval);
  return el("tr", {}, cells, el("td", {class: "number"}, `${delta > 0 ? "+" : "−"}${rounded(Math.abs(delta))}`), el("td", {class: "number"}, part),
    el("td", {class: noise ? "noise" : better ? "better" : "worse"}, noise ? "noise" : better ? "▲ better" : "▼ worse"),
    el("td", {}, interval ? `${rounded(interval[0]).replace("-", "−")} to ${rounded(interval[1]).replace("-", "−")}` : noise ? `seeds alone: up to ${rounded(data.spread[1])}` : ""));
}
// Whether chance alone makes such a difference: by the predictions of both, else by runs that differ in their seed.
function isNoise(name, delta, interval) {
  if (interval) return interval[0] <= 0 && interval[1] >= 0;
  return Boolean(data.spread && data.spread[0] === name && Math.abs(delta) < data.spread[1]);
}
function linesOf(file, wanted) {
  let lines = [];
  for (let n = 0; n <= wanted; n++) {
    const stored = file.versions[n];
    if (stored === null) { if (n === wanted) return null; continue; }
    const [first, last] = stored;
    lines = [...lines.slice(0, first), ...stored.slice(2), ...(last ? lines.slice(-last) : [])];
  }
  return lines;
}
function codeChanges(before, after) {
  const found = [];
  for (const file of data.code) {
    file.each ||= spread(file.at);
    const [one, other] = [file.each[before], file.each[after]];
    if (one === other) continue;
    const [old, now] = [one, other].map((n) => n < 0 ? [] : linesOf(file, n));
    found.push({path: file.path, ...(old && now ? stat(old, now) : {added: null, deleted: null})});
  }
  return found;
}
// Lines added and deleted by the shortest edit script (E. Myers, "An O(ND) difference algorithm", 1986).
function stat(old, now) {
  let first = 0, last = 0;
  while (first < old.length && first < now.length && old[first] === now[first]) first++;
  while (last < old.length - first && last < now.length - first && old.at(-1 - last) === now.at(-1 - last)) last++;
  const a = old.slice(first, old.length - last), b = now.slice(first, now.length - last), most = a.length + b.length;
  const reach = new Int32Array(2 * most + 2);
  for (let d = 0; d <= most; d++) {
    for (let k = -d; k <= d; k += 2) {
      let x = k === -d || (k !== d && reach[most + k - 1] < reach[most + k + 1]) ? reach[most + k + 1] : reach[most + k - 1] + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x++;
      reach[most + k] = x;
      if (x >= a.length && x - k >= b.length) return {added: (d + b.length - a.length) / 2, deleted: (d + a.length - b.length) / 2};
    }
    if (d > 4000) return {added: b.length, deleted: a.length}; // all but nothing in common
  }
  return {added: 0, deleted: 0};
}

// -- artifacts and checks ------------------------------------------------------------------------------

function setOwner(row) {
  if (row === null || !isExperiment(row)) return;
  $("owner").value = names[row];
  const words = {yes: "yes", no: "no", partly: "partly", damaged: "damaged", "?": "not known", "-": "not kept there"};
  const mark = (state, proved) => state === "proved" ? el("td", {class: "yes"}, `✓ on ${date(proved, false)}`) : el("td", {class: state === "yes" ? "yes" : ["no", "partly", "damaged"].includes(state) ? "no" : null}, `${{yes: "✓ ", no: "✗ ", damaged: "✗ ", partly: "◐ "}[state] || ""}${words[state] || state}`);
  const own = Object.entries(data.artifacts).map(([path, packed]) => { let at = row; for (let n = 0; n < packed.length; n += 2) { if (at < packed[n + 1]) return data.places[packed[n]]; at -= packed[n + 1]; } return undefined; }).filter(Boolean);
  $("places").replaceChildren(own.length ? el("table", {}, head("path", "role", ["size", true], "hash", "in a cache here", "on the remote"), el("tbody", {}, own.map(([path, role, hashed, bytes, files, cached, remote, proved]) =>
    el("tr", {}, el("th", {scope: "row"}, path), el("td", {}, role), el("td", {class: "number"}, size(bytes) + (files ? ` in ${counted(files, "file")}` : "")), el("td", {title: hashed}, el("code", {}, hash(hashed))), mark(cached), mark(remote, proved))))) : el("p", {class: "note"}, `${names[row]} has no artifacts.`));
  $("places-note").textContent = [own.length ? `As it was when this page was made. To have one here: git xexp get ${names[row]} PATH.` : "", ...data.notes].join(" ").trim();
}
function drawChecks() {
  const target = $("findings");
  if (!data.checks) { target.append(el("p", {class: "note"}, `The checks could not be made: ${data.problem}`)); return; }
  target.append(el("p", {class: "note"}, data.checks.summary));
  const byRule = new Map();
  for (const one of data.checks.findings) { const key = `${one.level} ${one.rule}`; byRule.set(key, [...(byRule.get(key) || []), one]); }
  for (const list of byRule.values()) {
    const [first, ...rest] = list;
    const mark = {error: "✗", warning: "▲", note: "•"}[first.level];
    const made = el("div", {class: `finding ${first.level}`}, el("p", {}, el("span", {class: "level"}, `${mark} ${first.level}`), " ", el("code", {}, first.rule), list.length > 1 ? ` ${list.length} times` : ""), finding(first));
    if (rest.length > 2) made.append(el("details", {}, el("summary", {}, `${rest.length} more`), rest.map(finding)));
    else made.append(...rest.flatMap(finding));
    target.append(made);
  }
  for (const [title, list] of [["ignored", data.checks.ignored.map(([rule, message, reason]) => `${rule}: ${message} (${reason})`)], ["not applied", data.checks.skipped.map(([rule, reason]) => `${rule}: ${reason}`)]]) {
    if (list.length) target.append(el("details", {}, el("summary", {}, `${list.length} ${title}`), el("ul", {}, list.map((text) => el("li", {}, text)))));
  }
}
function finding(one) {
  const lines = [el("p", {}, one.place ? [el("code", {}, one.place), " "] : null, one.message)];
  if (one.hint) lines.push(el("p", {class: "note"}, one.hint));
  if (!one.rows.length) return lines;
  const keys = [...new Set(one.rows.flatMap((row) => row.map(([key]) => key)))];
  const body = el("tbody", {}, one.rows.map((row) => { const cells = new Map(row); return el("tr", {}, keys.map((key) => el("td", {}, shownCell(cells.get(key))))); }));
  const title = `${counted(one.count, "row")}${one.count > one.rows.length ? `, the first ${one.rows.length}` : ""}`;
  return [...lines, el("details", {}, el("summary", {}, title), el("div", {class: "scroll"}, el("table", {}, head(...keys), body)))];
}
const shownCell = (value) => { const text = rounded(value ?? null); return text.length > 80 ? `${text.slice(0, 79)}…` : text; };

// -- summary -------------------------------------------------------------------------------------------

function drawCards() {
  const card = (label, value, note, kind) => $("cards").append(el("div", {class: `card ${kind || ""}`}, el("span", {}, label), el("b", {title: value}, value), el("span", {}, note || "\u00a0")));
  const best = data.best === null ? undefined : rowOf.get(data.best);
  if (best !== undefined && data.metric) {
    const column = metricOf(data.metric), interval = (data.intervals[data.metric] || [])[best];
    card(`Best ${data.metric}`, rounded(column.values[best]), interval ? `${data.best}, 95% ${rounded(interval[1])} to ${rounded(interval[2])}` : data.best);
    const parent = rowOf.get(data.parents[best]);
    if (parent !== undefined) {
      const from = number(column.values[parent]), to = number(column.values[best]);
      if (from !== null && to !== null) {
        const noise = isNoise(data.metric, to - from, intervalOf(data.metric, parent, best));
        card(`Against ${names[parent]}`, to === from ? "the same" : `${to > from ? "+" : "−"}${rounded(Math.abs(to - from))}`, noise ? "within noise" : to === from ? data.metric : to > from === data.maximize[data.metric] ? "better" : "worse", noise || to === from ? "" : to > from === data.maximize[data.metric] ? "good" : "bad");
      }
    }
  }
  const runs = data.count - data.experiments;
  card("Experiments", data.experiments.toLocaleString("en"), runs ? `and ${counted(runs, "untagged run")}` : data.experiments ? `newest ${names[0]}, ${date(field("date", 0), false)}` : "");
  const first = (data.importance[data.metric] || [])[0];
  if (first && !first[4]) card("Most telling parameter", "none", "no more than chance would be");
  else if (first) card("Most telling parameter", first[0], [first[1] === null ? "" : `rank correlation ${first[1].toFixed(2).replace("-", "−")}`, first[2] === null ? "" : `${Math.round(100 * first[2])}% of variance`].filter(Boolean).join(", "));
  if (data.checks) {
    const count = (level) => data.checks.findings.filter((one) => one.level === level).length;
    const [errors, warnings] = [count("error"), count("warning")];
    card("Checks", errors ? counted(errors, "error") : warnings ? counted(warnings, "warning") : "sound", errors && warnings ? counted(warnings, "warning") : errors || warnings ? "" : "nothing found", errors ? "bad" : warnings ? "" : "good");
  }
}

// -- start ---------------------------------------------------------------------------------------------

const THEMES = ["auto", "light", "dark"], system = matchMedia("(prefers-color-scheme: dark)");
let theme = "auto";
try { theme = localStorage.getItem("xexp-theme") || "auto"; } catch { /* a page without storage */ }
function paint() {
  const isDark = theme === "dark" || (theme === "auto" && system.matches);
  document.documentElement.toggleAttribute("data-dark", isDark);
  $("theme").textContent = {auto: "Auto", light: "Light", dark: "Dark"}[theme];
  document.documentElement.style.setProperty("--ramp", RAMP().join(", "));
  for (const name of Object.keys(draw)) redraw(name);
}
function options(select, list, value) {
  $(select).replaceChildren(...list.map((name) => el("option", {value: name}, name)));
  if (list.includes(value)) $(select).value = value;
}
function drawKinds() {
  if (data.count === data.experiments) { $("kinds").hidden = true; return; }
  const button = (label, all) => el("button", {type: "button", "aria-pressed": state.all === all, onclick: () => { state.all = all; state.limit = 100; if (all && !state.columns.includes("field:run") && byId.has("field:run")) state.columns.splice(1, 0, "field:run"); drawKinds(); drawChooser(); refresh(); }}, label);
  $("kinds").replaceChildren(button(`Experiments ${data.experiments.toLocaleString("en")}`, false), button(`With untagged runs ${data.count.toLocaleString("en")}`, true));
}
function drawChooser() {
  const target = $("chooser").querySelector(".choices"), titles = {field: "Fields", metric: "Metrics", param: "Parameters"};
  target.replaceChildren(...Object.entries(titles).flatMap(([kind, title]) => {
    const own = of(kind);
    return own.length ? [el("h3", {}, title), ...own.map((column) => {
      const check = el("input", {type: "checkbox", onchange: () => { state.columns = check.checked ? [...state.columns, column.id] : state.columns.filter((id) => id !== column.id); drawHead(); drawBody(); }});
      check.checked = state.columns.includes(column.id);
      return el("label", {}, check, column.name);
    })] : [];
  }));
}
function csv() {
  const wanted = state.columns.map((id) => byId.get(id)), cell = (text) => /[",\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
  const value = (column, row) => column.id === "field:date" ? (column.values[row] === null ? "" : new Date(column.values[row] * 1000).toISOString()) : plain(column.values[row]);
  const lines = [wanted.map((column) => cell(column.name)), ...state.rows.map((row) => wanted.map((column) => cell(value(column, row))))];
  save("experiments.csv", [lines.map((line) => `${line.join(",")}\n`).join("")], "text/csv");
}
function focusRow(at) {
  if (!state.rows.length) return;
  state.current = Math.min(Math.max(at, 0), state.rows.length - 1);
  if (state.current >= state.limit) { state.limit = state.current + 100; drawBody(); }
  const rows = $("table").tBodies[0].rows;
  for (const made of rows) made.tabIndex = -1;
  rows[state.current].tabIndex = 0;
  rows[state.current].focus({preventScroll: false});
  rows[state.current].scrollIntoView({block: "nearest"});
}
function keys(event) {
  const typing = event.target.closest("input:not([type=checkbox]), select, textarea");
  if (event.key === "Escape" && event.target === $("filter")) { setFilter(""); return; }
  if (event.key === "Escape") { $("chooser").open = false; $("tip").hidden = true; }
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const row = event.target.closest("tr[data-row]");
  const at = row ? row.sectionRowIndex : 0;
  if (event.key === "/") { $("filter").focus(); event.preventDefault(); }
  else if (event.key === "c") { $("compare").scrollIntoView(); $("before").focus({preventScroll: true}); event.preventDefault(); }
  else if (row && (event.key === "ArrowDown" || event.key === "j")) { focusRow(at + 1); event.preventDefault(); }
  else if (row && (event.key === "ArrowUp" || event.key === "k")) { focusRow(at - 1); event.preventDefault(); }
  else if (row && event.key === "Home") { focusRow(0); event.preventDefault(); }
  else if (row && event.key === "End") { focusRow(state.rows.length - 1); event.preventDefault(); }
  else if (row && event.target === row && (event.key === " " || event.key === "Enter")) { const own = Number(row.dataset.row); choose(own, !state.chosen.has(own)); event.preventDefault(); }
}
function listen() {
  let typing = 0;
  $("filter").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(() => { state.filter = $("filter").value; state.limit = 100; refresh(); }, data.count > 3000 ? 150 : 40); });
  const body = $("table").tBodies[0];
  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr[data-row]");
    if (!row || event.target.closest("button")) return;
    state.current = row.sectionRowIndex;
    const own = Number(row.dataset.row);
    if (event.target.matches("input")) choose(own, event.target.checked);
    else if (!getSelection().toString()) choose(own, !state.chosen.has(own));
  });
  $("more").addEventListener("click", () => { state.limit += 200; drawBody(); });
  $("grid").addEventListener("scroll", () => { const grid = $("grid"); if (state.limit < state.rows.length && grid.scrollTop + grid.clientHeight > grid.scrollHeight - 300) { state.limit += 200; drawBody(); } }, {passive: true});
  $("clear").addEventListener("click", () => { state.chosen.clear(); drawBody(); selectionChanged(); });
  $("csv").addEventListener("click", csv);
  $("metric").addEventListener("change", () => redraw("versions"));
  $("across").addEventListener("change", () => redraw("versions"));
  for (const id of ["curve-metric", "smooth", "curve-log"]) $(id).addEventListener("input", () => redraw("curves"));
  $("colour").addEventListener("change", () => redraw("parallel"));
  $("importance-metric").addEventListener("change", drawImportance);
  for (const [n, id] of ["before", "after"].entries()) $(id).addEventListener("change", () => { const row = rowOf.get($(id).value.trim()) ?? rowOfRun.get($(id).value.trim()); pair[n] = row === undefined ? null : row; drawDifference(); });
  $("swap").addEventListener("click", () => setPair(pair[1], pair[0]));
  $("same").addEventListener("change", drawDifference);
  $("owner").addEventListener("change", () => setOwner(rowOf.get($("owner").value.trim()) ?? null));
  $("theme").addEventListener("click", () => { theme = THEMES[(THEMES.indexOf(theme) + 1) % 3]; try { localStorage.setItem("xexp-theme", theme); } catch { /* a page without storage */ } paint(); });
  system.addEventListener("change", paint);
  document.addEventListener("keydown", keys);
  document.addEventListener("click", (event) => { if (!event.target.closest("#chooser")) $("chooser").open = false; });
  document.querySelectorAll(".save").forEach((button) => button.addEventListener("click", async () => { const view = views.get(button.dataset.chart); if (view) save(`${button.dataset.chart}.svg`, [await view.view.toSVG()], "image/svg+xml"); }));
  let resizing = 0, width = innerWidth;
  addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(() => { if (innerWidth !== width) { width = innerWidth; for (const name of Object.keys(draw)) redraw(name); } }, 120); });
  document.addEventListener("scroll", () => { $("tip").hidden = true; }, {passive: true});
}
function watch() {
  const idle = window.requestIdleCallback || ((task) => setTimeout(task, 200));
  const reach = new IntersectionObserver((entries) => {
    for (const entry of entries) { const name = entry.target.dataset.chart; if (entry.isIntersecting) { visible.add(name); work(name); reach.unobserve(entry.target); } }
  }, {rootMargin: "300px"});
  document.querySelectorAll(".chart").forEach((target) => reach.observe(target));
  // What is printed has all of them, so that the others are drawn as soon as there is nothing else to do.
  idle(() => { for (const name of Object.keys(draw)) { visible.add(name); work(name); } Promise.all([...drawing.values()]).then(() => { performance.mark("xexp-charts"); document.documentElement.dataset.drawn = ""; }); });
}

paint();
$("filter").value = state.filter;
options("metric", metrics, data.metric);
options("colour", metrics, data.metric);
options("curve-metric", [...curvesBy.keys()].sort((one, other) => (metrics.indexOf(one) + 1 || 999) - (metrics.indexOf(other) + 1 || 999)), data.metric);
options("importance-metric", Object.keys(data.importance), data.metric);
if (!curvesBy.size) { $("curves").hidden = true; document.querySelector("nav [href='#curves']").hidden = true; }
for (const [id, list] of [["names", names], ["versions-list", names.slice(0, data.experiments)]]) $(id).append(...list.map((name) => el("option", {value: name})));
drawCards(); drawKinds(); drawChooser(); listen(); refresh(); drawImportance(); drawChecks();
const best = data.best === null ? undefined : rowOf.get(data.best), from = best === undefined ? undefined : rowOf.get(data.parents[best]);
if (state.chosen.size) selectionChanged();
else setPair(from ?? (data.count > 1 ? 1 : null), from === undefined ? (data.count > 1 ? 0 : null) : best);
if (!state.chosen.size) setOwner(data.experiments ? best ?? 0 : null);
performance.mark("xexp-table");
document.documentElement.dataset.ready = "";
addEventListener("load", watch);
})();
