// The map in words: each table with the tests that write it.

function drawWriters() {
  const tables = report.tables.map((name, place) => ({ name, place, tests: [], rows: 0, all: false }));
  report.tests.forEach((test, index) => {
    for (const [place, rows] of test.wrote) {
      tables[place].tests.push([index, rows]);
      tables[place].rows += rows ?? 0;
      tables[place].all ||= rows === null;
    }
  });
  const written = tables.filter((table) => table.tests.length).sort(byDescending((table) => table.tests.length));
  if (!written.length) return place("writers", sentence("No test is known to have written to a table."));
  const list = make("ul", { class: "writers" });
  const under = make("div");
  const fill = (text) => {
    const found = written.filter((table) => table.name.toLowerCase().includes(text));
    under.replaceChildren(found.length ? capped(list, found, writersOf, 10) : sentence("No table that was written is called that."));
    if (!found.length) list.replaceChildren();
  };
  const filter = make("input", { type: "search", placeholder: "table", "aria-label": "Filter tables by name", autocomplete: "off", spellcheck: "false",
    on: { input: (event) => fill(event.target.value.trim().toLowerCase()) } });
  place("writers", written.length > 10 && make("div", { class: "bar" }, filter), list, under);
  fill("");
}

function writersOf(table) {
  const inner = make("div");
  const details = make("details", {}, make("summary", {},
    make("span", { class: "what" }, table.name),
    make("span", { class: "num" }, plural(table.tests.length, "test")),
    make("span", { class: "num quiet" }, `${table.all ? "≥ " : ""}${plural(table.rows, "row")}`)), inner);
  details.addEventListener("toggle", () => {
    if (!details.open || inner.firstChild) return;
    const list = make("ul");
    const tests = [...table.tests].sort(byDescending(([, rows]) => rows ?? Infinity));
    const more = capped(list, tests, ([index, rows]) => make("li", {}, testButton(index), ` ${rows === null ? "all rows" : plural(rows, "row")}`), 20);
    inner.append(list, more, make("button", { class: "small", type: "button", on: { click: () => showWriters(table.place) } }, "In the table of tests"));
  });
  return make("li", {}, details);
}
