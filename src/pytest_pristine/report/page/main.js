// Draws it all, and what concerns the page as a whole.

const SECTIONS = [
  ["checklist", "Checklist", () => report.checklist.filter((item) => item.state === "failed").length],
  ["failures", "Failed", () => report.tests.filter((test) => BAD.has(test.outcome)).length],
  ["time", "Time"],
  ["tests", "Tests"],
  ["statements", "Statements"],
  ["tables", "Who writes what"],
  ["schema", "Schema"],
  ["leaks", "Leaks", () => report.leaks.length],
  ["kept", "Kept", () => 0],
];

function drawNav() {
  place("nav", ...SECTIONS.map(([id, words, bad]) => {
    const number = bad ? bad() : 0;
    return make("a", { href: `#${id}`, class: number ? "bad" : null }, number ? `${words} ✗ ${count(number)}` : words);
  }));
}

// For paper: the tests are a table of their own, the failed ones and the slowest.
function drawPrinted() {
  const printed = document.getElementById("printed");
  if (!printed || printed.firstChild) return;
  const rank = (index) => (BAD.has(report.tests[index].outcome) ? 1e9 : 0) + total(report.tests[index]);
  const first = report.tests.map((test, index) => index).sort(byDescending(rank)).slice(0, 60);
  const body = make("tbody", {}, ...first.map((index) => {
    const test = report.tests[index];
    const told = [test.message, test.wrote.length ? `wrote ${test.wrote.map(wroteWords).join(", ")}` : "", ...test.left.map((words) => `left ${words}`)].filter(Boolean);
    return make("tr", {}, make("td", { class: BAD.has(test.outcome) ? "num bad" : "num" }, `${SIGNS[test.outcome]} ${test.outcome}`),
      make("td", { class: "word" }, test.id, ...told.map((words) => make("div", { class: "quiet" }, words))),
      make("td", { class: "num" }, seconds(total(test))));
  }));
  const left = report.tests.length - first.length;
  printed.append(make("table", { class: "data" }, make("thead", {}, make("tr", {}, make("th", {}, "outcome"), make("th", {}, "test"), make("th", { class: "num" }, "total"))), body));
  if (left > 0) printed.append(sentence(`${plural(left, "more test")} that passed sooner are on the screen and in report.json.`));
}

function beforePrint() {
  drawPrinted();
  for (const details of document.querySelectorAll("details[data-print]:not([open])")) {
    details.open = true;
    details.dataset.opened = "";
  }
}

function afterPrint() {
  for (const details of document.querySelectorAll("details[data-opened]")) {
    details.open = false;
    delete details.dataset.opened;
  }
}

addEventListener("beforeprint", beforePrint);
addEventListener("afterprint", afterPrint);
matchMedia("print").addEventListener("change", (event) => (event.matches ? beforePrint() : afterPrint()));

addEventListener("keydown", (event) => {
  const filter = document.getElementById("filter");
  const writing = event.target.matches("input, select, textarea");
  if (event.key !== "/" || writing || event.ctrlKey || event.metaKey || event.altKey || !filter) return;
  event.preventDefault();
  filter.scrollIntoView({ block: "center" });
  filter.focus({ preventScroll: true });
  filter.select();
});

for (const draw of [drawTop, drawNav, drawChecklist, drawFailures, drawTime, drawTimeline, drawTests, drawStatements, drawRepeated, drawMap, drawWriters, drawSchema, drawLeaks, drawKept]) draw();
