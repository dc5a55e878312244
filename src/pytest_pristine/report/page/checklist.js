// What stands on top: the facts, the checklist, what failed.

const STATES = ["failed", "unknown", "passed"];

function drawTop() {
  document.title = `${report.project}: pytest-pristine report`;
  document.getElementById("title").textContent = report.project;
  const outcomes = OUTCOMES.map((outcome) => [outcome, report.tests.filter((test) => test.outcome === outcome).length]);
  const told = outcomes.filter(([, number]) => number).map(([outcome, number]) =>
    make("span", { class: BAD.has(outcome) ? "bad" : null }, `${SIGNS[outcome]} ${count(number)} ${outcome}`));
  const made = report.made.replace("T", " ").replace(/(\.\d+)?(\+00:00|Z)$/, " UTC");
  place("facts", ...(told.length ? told : [make("span", {}, "no tests")]),
    make("span", {}, seconds(report.time.total)),
    make("span", {}, plural(report.workers, "worker")),
    make("span", {}, report.server ? report.server.described : "no server"),
    make("span", {}, make("time", { datetime: report.made }, made)));
}

function drawChecklist() {
  if (!report.checklist.length) return place("checks", sentence("This run has no checklist."));
  const order = (item) => STATES.indexOf(item.state);
  const items = [...report.checklist].sort((one, other) => order(one) - order(other));
  const list = make("ul", { class: "checks" });
  list.append(...items.map(checkItem));
  place("checks", list);
}

function checkItem(item) {
  const line = make("li", { class: item.state },
    make("span", { class: "sign", "aria-hidden": "true" }, SIGNS[item.state] ?? "?"),
    make("span", { class: "state" }, item.state), " ",
    make("b", {}, item.title), " ",
    make("span", { class: "found word" }, item.state === "failed" ? item.found : `– ${item.found}`));
  if (item.remedy.length && item.state !== "passed") {
    line.append(make("ul", { class: "remedy" }, ...item.remedy.map((words) => make("li", { class: "word" }, words))));
  }
  if (item.offenders.length) line.append(offenders(item));
  return line;
}

function offenders(item) {
  const list = make("ul");
  const more = capped(list, item.offenders, (words) => make("li", { class: "word" }, words), 20);
  return make("details", { "data-print": "", open: item.offenders.length <= 3 },
    make("summary", {}, plural(item.offenders.length, "offender")), list, more);
}

function drawFailures() {
  const failed = report.tests.map((test, index) => index).filter((index) => BAD.has(report.tests[index].outcome));
  if (!failed.length) return place("failed", sentence(report.tests.length ? "No test failed." : "No test was run."));
  const list = make("ul", { class: "failures" });
  const more = capped(list, failed, (index) => make("li", {},
    make("span", { class: "sign", "aria-hidden": "true" }, SIGNS[report.tests[index].outcome]), testButton(index),
    make("span", { class: "said mono" }, report.tests[index].message)), 10);
  place("failed", list, more);
}
