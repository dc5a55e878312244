// All tests: sorted, filtered, each with what is known of it.

const COLUMNS = [
  { key: "outcome", words: "outcome", value: (test) => OUTCOMES.indexOf(test.outcome), up: true },
  { key: "name", words: "test", value: (test) => test.id, up: true },
  { key: "shape", words: "" },
  { key: "total", words: "total", value: total, number: true },
  { key: "call", words: "body", value: (test) => test.call, number: true },
  { key: "restore", words: "restore", value: (test) => test.restore, number: true },
  { key: "statements", words: "SQL", value: (test) => test.statements, number: true },
  { key: "wrote", words: "tables", value: (test) => test.wrote.length, number: true },
];
const OTHERS = [
  ["left", "left something", (test) => test.left.length || test.remade],
  ["repeated", "repeats a statement", (test) => test.repeated.length],
  ["wrote", "wrote something", (test) => test.wrote.length],
];

const chosen = { text: "", which: "", table: -1, column: COLUMNS[3], up: false };
let table = null;

function drawTests() {
  if (!report.tests.length) return place("table", sentence("No test was run."));
  const slowest = Math.max(...report.tests.map(total), 1e-9);
  const filter = make("input", { type: "search", id: "filter", placeholder: "filter: part of a name or message  ( / )", "aria-label": "Filter tests by name or message", autocomplete: "off", spellcheck: "false",
    on: { input: (event) => { chosen.text = event.target.value.trim().toLowerCase(); refresh(); } } });
  const outcomes = OUTCOMES.filter((outcome) => report.tests.some((test) => test.outcome === outcome));
  const which = select("Which tests", [["", "all outcomes"], ...outcomes.map((each) => [each, each]), ...OTHERS.map(([key, words]) => [key, words])],
    (value) => { chosen.which = value; refresh(); });
  which.id = "which";
  const only = make("button", { class: "small", type: "button", id: "only", hidden: true, on: { click: () => { chosen.table = -1; refresh(); filter.focus(); } } });
  const said = make("span", { class: "said", role: "status", id: "found" });
  const rows = make("div", { class: "rows", role: "table", "aria-label": "Tests", id: "rows" });
  const head = make("div", { role: "rowgroup" }, make("div", { class: "head", role: "row", "aria-rowindex": 1 }, ...COLUMNS.map(heading)));
  const viewport = make("div", { class: "viewport", id: "viewport" });
  rows.append(head, viewport);
  place("table", make("div", { class: "bar", role: "search" }, filter, which, only, said), rows, make("div", { class: "printed", id: "printed" }));
  table = virtualRows(viewport, testLine, (line, index) => fillLine(line, report.tests[index], slowest), (index) => testDetail(report.tests[index]));
  refresh();
}

function heading(column) {
  const cell = make("div", { role: "columnheader", class: column.number ? "num" : column.key, "data-key": column.key });
  if (!column.value) return cell.append(make("span", { class: "hidden" }, "time as a bar")), cell;
  cell.append(make("button", { type: "button", on: { click: () => sortBy(column) } }, column.words));
  return cell;
}

function sortBy(column) {
  chosen.up = chosen.column === column ? !chosen.up : Boolean(column.up);
  chosen.column = column;
  refresh();
}

function refresh() {
  const keys = selected();
  const { column, up } = chosen;
  const values = report.tests.map(column.value);
  const compare = column.key === "name" ? (one, other) => (values[one] < values[other] ? -1 : 1) : (one, other) => values[one] - values[other];
  keys.sort((one, other) => (up ? compare(one, other) : compare(other, one)) || one - other);
  for (const cell of document.querySelectorAll("#rows [role=columnheader]")) {
    const is = cell.dataset.key === column.key;
    if (is) cell.setAttribute("aria-sort", up ? "ascending" : "descending");
    else cell.removeAttribute("aria-sort");
    const button = cell.querySelector("button");
    if (button) button.textContent = COLUMNS.find((each) => each.key === cell.dataset.key).words + (is ? (up ? " ↑" : " ↓") : "");
  }
  const only = document.getElementById("only");
  only.hidden = chosen.table < 0;
  only.textContent = chosen.table < 0 ? "" : `wrote ${report.tables[chosen.table]} ✕`;
  only.setAttribute("aria-label", `Show tests that wrote other tables too`);
  document.getElementById("rows").setAttribute("aria-rowcount", keys.length + 1);
  const all = report.tests.length;
  document.getElementById("found").textContent = keys.length === all ? plural(all, "test") : keys.length ? `${count(keys.length)} of ${plural(all, "test")}` : "No test is like that.";
  table.set(keys);
}

function selected() {
  const { text, which } = chosen;
  const other = OTHERS.find(([key]) => key === which);
  return report.tests.map((test, index) => index).filter((index) => {
    const test = report.tests[index];
    if (which && !(other ? other[2](test) : test.outcome === which)) return false;
    if (chosen.table >= 0 && !test.wrote.some(([place]) => place === chosen.table)) return false;
    return !text || searched()[index].includes(text);
  });
}

// What the filter looks at, made once, when somebody filters.
let texts = null;

function searched() {
  texts ??= report.tests.map((test) => `${test.id}\n${test.message}`.toLowerCase());
  return texts;
}

// Forgets what was filtered, unless it is said to stay, and opens a test.
function showTest(index, tablePlace = -1) {
  Object.assign(chosen, { text: "", which: "", table: tablePlace });
  document.getElementById("filter").value = "";
  document.getElementById("which").value = "";
  refresh();
  document.getElementById("tests").scrollIntoView();
  table.show(index);
}

function showWriters(tablePlace) {
  Object.assign(chosen, { text: "", which: "", table: tablePlace });
  document.getElementById("filter").value = "";
  document.getElementById("which").value = "";
  refresh();
  document.getElementById("tests").scrollIntoView();
  document.getElementById("filter").focus({ preventScroll: true });
}

function testLine() {
  const cell = (attributes, ...children) => make("div", { role: "cell", ...attributes }, ...children);
  return make("div", { class: "line", role: "presentation" },
    cell({ class: "out" }, make("span", { "aria-hidden": "true" }), make("span", { class: "says" })),
    cell({}, make("button", { class: "plain name", type: "button" }, make("span", { class: "file" }), make("span"))),
    cell({ class: "spark" }),
    ...COLUMNS.filter((column) => column.number).map(() => cell({ class: "num" })));
}

function fillLine(line, test, slowest) {
  const [outcome, named, bar, ...numbers] = line.children;
  const bad = BAD.has(test.outcome);
  outcome.className = bad ? "out bad" : "out";
  outcome.firstChild.textContent = `${SIGNS[test.outcome] ?? "?"} `;
  outcome.lastChild.textContent = test.outcome;
  const name = named.firstChild;
  name.title = test.id;
  name.firstChild.textContent = nameOf(test) ? `${fileOf(test)}::` : "";
  name.lastChild.textContent = nameOf(test) || test.id;
  bar.style.backgroundImage = spark(test, slowest, bad);
  const words = [seconds(total(test)), seconds(test.call), seconds(test.restore), count(test.statements), count(test.wrote.length)];
  numbers.forEach((number, place) => { number.textContent = words[place]; });
}

// Setup, body and teardown as one bar, as long as the test was slow.
function spark(test, slowest, bad) {
  let end = 0;
  const parts = [[test.setup, "tint2"], [test.call, bad ? "bad" : "tint1"], [test.teardown, "tint0"]].map(([took, colour]) => {
    const from = end;
    end += (100 * took) / slowest;
    return `var(--${colour}) ${from.toFixed(2)}% ${end.toFixed(2)}%`;
  });
  return `linear-gradient(to right, ${parts.join(", ")}, transparent ${end.toFixed(2)}%)`;
}

function testDetail(test) {
  const list = make("dl");
  const add = (term, ...contents) => list.append(make("dt", {}, term), ...contents);
  const said = (words, bad) => make("dd", { class: bad ? "bad" : null }, words);
  add("test", said(test.id));
  if (test.message) add("message", make("dd", { class: BAD.has(test.outcome) ? "bad" : null }, make("pre", {}, test.message)));
  add("wrote", said(test.wrote.length ? test.wrote.map(wroteWords).join(", ") : "no table"));
  if (test.others.length) add("also put back", said(test.others.join(", ")));
  if (test.left.length) add("left behind", ...test.left.map((words) => said(words, true)));
  if (test.remade) add("made anew", said(test.remade));
  add("statements", said(test.statements ? `${count(test.statements)} in ${seconds(test.sql)}` : "none"));
  if (test.repeated.length) add("repeated", ...test.repeated.map((each) => make("dd", {}, `${count(each.count)} times, ${seconds(each.seconds)}`, make("pre", {}, shapeOf(each)))));
  add("time", said(`setup ${seconds(test.setup)}, body ${seconds(test.call)}, teardown ${seconds(test.teardown)}; ${seconds(test.restore)} of it restores`));
  add("ran", said(`on ${test.worker}, from ${seconds(test.began)}`));
  return list;
}

function shapeOf(repeated) {
  return report.shapes[repeated.shape] ? report.shapes[repeated.shape].sql : "a statement that is not in the report";
}
