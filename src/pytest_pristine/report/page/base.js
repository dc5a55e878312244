"use strict";
// The document, and words for what is in it.

const report = JSON.parse(document.getElementById("document").textContent);
const BAD = new Set(["failed", "error"]);
// Beside each colour stands a sign and a word.
const SIGNS = { passed: "✓", failed: "✗", error: "✗", skipped: "–", xfailed: "✓", xpassed: "!", unknown: "?" };
const OUTCOMES = ["failed", "error", "passed", "skipped", "xfailed", "xpassed"];

function count(number) {
  return number.toLocaleString("en");
}

function plural(number, one, several = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : several}`;
}

// Three figures are as many as anybody compares.
function seconds(value) {
  if (!value) return "0";
  if (value < 0.0000995) return `${Number((value * 1e6).toPrecision(2))} µs`;
  if (value < 0.9995) return `${Number((value * 1000).toPrecision(value < 0.00995 ? 2 : 3))} ms`;
  if (value < 59.95) return `${value.toPrecision(3)} s`;
  const whole = Math.round(value);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
  return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")} min`;
}

function total(test) {
  return test.setup + test.call + test.teardown;
}

function fileOf(test) {
  const end = test.id.indexOf("::");
  return end < 0 ? test.id : test.id.slice(0, end);
}

function nameOf(test) {
  const end = test.id.indexOf("::");
  return end < 0 ? "" : test.id.slice(end + 2);
}

function wroteWords([place, rows]) {
  return `${report.tables[place]} ${rows === null ? "all rows" : plural(rows, "row")}`;
}

function byDescending(value) {
  return (one, other) => value(other) - value(one);
}
