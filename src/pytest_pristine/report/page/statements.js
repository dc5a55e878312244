// Statements: which took longest, and which one test ran again and again.

const MEASURES = [
  ["seconds", "total", seconds],
  ["slowest", "slowest", seconds],
  ["count", "runs", count],
  ["tests", "tests", count],
  ["rows", "rows", count],
];

function drawStatements() {
  if (!report.shapes.length) return place("shapes", sentence("No statement was recorded."));
  const body = make("tbody");
  const most = Math.max(...report.shapes.map((shape) => shape.seconds), 1e-9);
  const under = make("div");
  const heads = MEASURES.map(([key, words]) => make("th", { scope: "col", class: "num", "data-key": key },
    make("button", { type: "button", on: { click: () => fill(key) } }, words)));
  function fill(key) {
    const shapes = [...report.shapes].sort(byDescending((shape) => shape[key]));
    under.replaceChildren(capped(body, shapes, (shape) => shapeRow(shape, most), 10));
    for (const head of heads) {
      if (head.dataset.key === key) head.setAttribute("aria-sort", "descending");
      else head.removeAttribute("aria-sort");
      head.firstChild.textContent = MEASURES.find(([each]) => each === head.dataset.key)[1] + (head.dataset.key === key ? " ↓" : "");
    }
  }
  place("shapes", make("table", { class: "data stack" }, make("thead", {}, make("tr", {},
    make("th", { scope: "col" }, "statement"), ...heads, make("th", { scope: "col" }, "slowest in"))), body), under);
  fill("seconds");
}

function shapeRow(shape, most) {
  const numbers = MEASURES.map(([key, words, format]) => make("td", { class: "num", "data-label": words }, format(shape[key])));
  numbers[0].append(paint(make("span", { class: "magnitude", "aria-hidden": "true" }), { width: `${(100 * shape.seconds) / most}%` }));
  const test = report.tests[shape.slowest_test];
  const words = test ? nameOf(test) || test.id : "a test that is not known";
  return make("tr", {}, make("td", { class: "wide-cell" }, statement(shape.sql)), ...numbers,
    make("td", { class: "word", "data-label": "slowest in" }, testButton(shape.slowest_test, words)));
}

function drawRepeated() {
  const found = report.tests.flatMap((test, index) => test.repeated.map((each) => ({ index, each })));
  if (!found.length) return place("repeated", sentence("No test ran one statement suspiciously often."));
  found.sort(byDescending(({ each }) => each.count));
  const body = make("tbody");
  const more = capped(body, found, ({ index, each }) => make("tr", {},
    make("td", { class: "word" }, testButton(index)),
    make("td", { class: "num", "data-label": "times" }, count(each.count)),
    make("td", { class: "num", "data-label": "took" }, seconds(each.seconds)),
    make("td", { class: "wide-cell" }, statement(shapeOf(each)))), 10);
  place("repeated", make("table", { class: "data stack" }, make("thead", {}, make("tr", {},
    make("th", { scope: "col" }, "test"), make("th", { scope: "col", class: "num" }, "times"),
    make("th", { scope: "col", class: "num" }, "took"), make("th", { scope: "col" }, "statement"))), body), more);
}
