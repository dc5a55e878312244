// Where the time went: one bar.

// Greys: getting a database. Blues: keeping it clean, then the tests themselves.
const PARTS = [
  ["start", "start", "until there was a server", "grey1"],
  ["migrations", "migrations", "making the template", "grey2"],
  ["clone", "clone", "making databases from it", "grey3"],
  ["restore", "restore", "undoing tests", "tint4"],
  ["proof", "proof", "that they were undone", "tint3"],
  ["setup", "setup", "fixtures before tests", "tint2"],
  ["call", "test bodies", "", "tint1"],
  ["teardown", "teardown", "fixtures after tests", "tint0"],
];

function drawTime() {
  const sum = PARTS.reduce((all, [key]) => all + report.time[key], 0);
  if (!sum) return place("split", sentence("No time was recorded."));
  const share = (key) => (100 * report.time[key]) / sum;
  const told = PARTS.map(([key]) => `${key} ${seconds(report.time[key])}`).join(", ");
  const bar = make("div", { class: "split", role: "img", "aria-label": told });
  const labels = make("div", { class: "labels", "aria-hidden": "true" });
  for (const [key, words, , colour] of PARTS) {
    if (!report.time[key]) continue;
    bar.append(paint(make("div", { title: words }), { flex: `${share(key)} 0 0`, background: `var(--${colour})` }));
    labels.append(paint(make("span", {}, share(key) > 6 ? words : ""), { flex: `${share(key)} 0 0` }));
  }
  const legend = make("ul", { class: "legend" }, ...PARTS.map(([key, words, more, colour]) => make("li", {},
    paint(make("i"), { background: `var(--${colour})` }),
    make("span", { class: "what" }, words, more && make("span", {}, ` ${more}`)),
    make("span", { class: "num" }, make("b", {}, seconds(report.time[key])), " ",
      make("span", { class: "share" }, report.time[key] ? `${share(key).toFixed(1)} %` : "–")))));
  const summed = report.workers > 1 ? `${seconds(sum)}, summed over all processes; ` : `${seconds(sum)} accounted for; `;
  place("split", sentence(`${summed}${seconds(report.time.total)} by the clock.`), bar, labels, legend);
}
