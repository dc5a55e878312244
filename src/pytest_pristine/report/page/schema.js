// Schema coverage: how much of each kind, which tables, and what was never touched.

function drawSchema() {
  const schema = report.schema;
  if (!schema) {
    return place("coverage", make("p", { class: "quiet" }, "It was not measured. ", make("code", {}, "pytest --pristine-schema-cov"), " measures which tables, constraints, indexes, functions and enum values the tests touch."));
  }
  const covered = schema.objects.filter((object) => object.covered).length;
  const enough = schema.required === null || schema.percent >= schema.required;
  const asked = schema.required === null ? "" : enough ? `; ${schema.required} % were asked for` : `; ✗ failed: ${schema.required} % were asked for`;
  const big = make("p", { class: enough ? "big" : "big bad" }, `${schema.percent} % `, make("span", {}, `${count(covered)} of ${plural(schema.objects.length, "object")} touched${asked}`));
  const untold = schema.untold.length ? make("p", { class: "quiet" }, `Not looked at: ${schema.untold.join("; ")}.`) : null;
  place("coverage", big, kindBars(schema), untold,
    make("h3", {}, "Objects by table"), make("div", { id: "treemap" }), make("h3", {}, "Never touched"), make("div", { id: "untouched" }));
  drawTreemap(schema);
  drawUntouched(schema);
}

function kindsOf(objects) {
  const kinds = new Map();
  for (const { kind, covered } of objects) {
    const [some, all] = kinds.get(kind) ?? [0, 0];
    kinds.set(kind, [some + covered, all + 1]);
  }
  return kinds;
}

function kindBars(schema) {
  return make("ul", { class: "kinds" }, ...[...kindsOf(schema.objects)].map(([kind, [some, all]]) => make("li", {},
    make("span", {}, kind),
    make("span", { class: "gauge", "aria-hidden": "true" }, paint(make("i"), { width: `${(100 * some) / all}%` })),
    make("span", { class: "num" }, `${count(some)} of ${count(all)}`))));
}

// Set by the list below: narrows it to a table.
let narrowUntouched = null;

function drawUntouched(schema) {
  const missed = schema.objects.filter((object) => !object.covered);
  if (!missed.length) return place("untouched", sentence("Everything was touched."));
  const list = make("ul", { class: "untouched" });
  const under = make("div");
  const said = make("span", { class: "said", role: "status" });
  const wanted = { text: "", kind: "", table: null };
  const is = (object) => (wanted.table === null ? `${object.name} ${object.table}`.toLowerCase().includes(wanted.text) : object.table === wanted.table);
  const fill = () => {
    const found = missed.filter((object) => (!wanted.kind || object.kind === wanted.kind) && is(object));
    said.textContent = found.length === missed.length ? plural(missed.length, "object") : `${count(found.length)} of ${plural(missed.length, "object")}`;
    under.replaceChildren(capped(list, found, missedItem, 15));
  };
  const filter = make("input", { type: "search", placeholder: "name or table", "aria-label": "Filter what was never touched by name or table", autocomplete: "off", spellcheck: "false",
    on: { input: (event) => { Object.assign(wanted, { text: event.target.value.trim().toLowerCase(), table: null }); fill(); } } });
  const kinds = select("Kind of object", [["", "all kinds"], ...[...kindsOf(missed).keys()].map((kind) => [kind, kind])], (value) => { wanted.kind = value; fill(); });
  narrowUntouched = (table) => {
    filter.value = table;
    kinds.value = "";
    Object.assign(wanted, { text: "", kind: "", table });
    fill();
    document.getElementById("untouched").scrollIntoView({ block: "center" });
    filter.focus({ preventScroll: true });
  };
  place("untouched", make("div", { class: "bar" }, filter, kinds, said), list, under);
  fill();
}

function missedItem(object) {
  return make("li", {}, make("span", { class: "kind" }, object.kind), make("span", {}, object.name),
    make("span", { class: "of" }, object.table && object.table !== object.name ? `on ${object.table}` : ""));
}
