// When each worker ran which test.

const LANE = 26;
const AXIS = 20;

function drawTimeline() {
  if (!report.tests.length) return place("timeline", sentence("No test was run."));
  const lanes = laneOrder();
  const end = Math.max(report.time.total, ...lanes.flatMap(({ tests }) => tests.slice(-1).map((index) => report.tests[index].began + total(report.tests[index]))), 0.001);
  const { canvas, readout } = workable("Timeline of the tests by worker",
    "Point at it, or move with the arrow keys; Enter shows the test in the table.");
  paint(canvas, { height: `${lanes.length * LANE + AXIS}px` });
  const at = { lane: 0, place: -1 };
  const gutter = 44;
  const x = (moment, width) => gutter + (moment / end) * (width - gutter - 1);

  const shown = picture(canvas, (context, width, height) => {
    drawAxis(context, width, height, end, x);
    lanes.forEach((lane, number) => drawLane(context, width, lane, number, x));
  }, (context, width) => {
    const index = current();
    if (index === undefined) return;
    const test = report.tests[index];
    const [from, until] = [x(test.began, width), x(test.began + total(test), width)];
    context.strokeStyle = ink("ink");
    context.lineWidth = 2;
    context.strokeRect(from - 2, at.lane * LANE + 3, Math.max(until - from, 1) + 4, LANE - 6);
  });

  const current = () => lanes[at.lane].tests[at.place];
  const say = () => {
    const test = report.tests[current()];
    if (test) readout.textContent = `${SIGNS[test.outcome]} ${test.outcome}, ${seconds(total(test))}, from ${seconds(test.began)} on ${test.worker}: ${test.id}`;
    shown.move();
  };
  const moment = (event) => {
    const box = canvas.getBoundingClientRect();
    at.lane = Math.min(lanes.length - 1, Math.max(0, Math.floor((event.clientY - box.top) / LANE)));
    at.place = nearest(lanes[at.lane].tests, ((event.clientX - box.left - gutter) / (box.width - gutter)) * end);
    say();
  };
  canvas.addEventListener("pointermove", moment);
  canvas.addEventListener("pointerdown", moment);
  canvas.addEventListener("click", () => current() !== undefined && showTest(current()));
  canvas.addEventListener("focus", () => { if (at.place < 0) { at.place = 0; say(); } });
  canvas.addEventListener("keydown", (event) => {
    const last = lanes[at.lane].tests.length - 1;
    const began = current() === undefined ? 0 : report.tests[current()].began;
    if (event.key === "ArrowRight") at.place = Math.min(last, at.place + 1);
    else if (event.key === "ArrowLeft") at.place = Math.max(0, at.place - 1);
    else if (event.key === "Home") at.place = 0;
    else if (event.key === "End") at.place = last;
    else if (event.key === "ArrowUp" || event.key === "ArrowDown") {
      at.lane = Math.min(lanes.length - 1, Math.max(0, at.lane + (event.key === "ArrowUp" ? -1 : 1)));
      at.place = nearest(lanes[at.lane].tests, began);
    } else if (event.key === "Enter" && current() !== undefined) showTest(current());
    else return;
    event.preventDefault();
    if (event.key !== "Enter") say();
  });
  const key = make("p", { class: "key" },
    make("span", {}, paint(make("i"), { background: "var(--tint3)" }), "test"),
    make("span", {}, paint(make("i"), { background: "var(--bad)" }), "failed, with a mark above"));
  place("timeline", canvas, key, readout);
}

function laneOrder() {
  const lanes = new Map();
  report.tests.forEach((test, index) => {
    if (!lanes.has(test.worker)) lanes.set(test.worker, []);
    lanes.get(test.worker).push(index);
  });
  const names = [...lanes.keys()].sort((one, other) => one.localeCompare(other, "en", { numeric: true }));
  return names.map((name) => ({ name, tests: lanes.get(name).sort((one, other) => report.tests[one].began - report.tests[other].began) }));
}

// The place of the test that runs at a moment, or ran last before it.
function nearest(tests, moment) {
  let [low, high] = [0, tests.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (report.tests[tests[middle]].began <= moment) low = middle;
    else high = middle - 1;
  }
  return low;
}

function drawAxis(context, width, height, end, x) {
  setFont(context, 11);
  context.fillStyle = ink("quiet");
  context.strokeStyle = ink("line");
  context.lineWidth = 1;
  const rough = end / Math.max(2, Math.floor(width / 110));
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  for (let tick = 0; tick <= end; tick += step) {
    const left = Math.round(x(tick, width)) + 0.5;
    context.beginPath();
    context.moveTo(left, 0);
    context.lineTo(left, height - AXIS + 4);
    context.stroke();
    const words = tick ? seconds(tick) : "0";
    const wide = context.measureText(words).width;
    context.fillText(words, Math.min(Math.max(0, left - wide / 2), width - wide), height - 7);
  }
}

function drawLane(context, width, lane, number, x) {
  const top = number * LANE;
  setFont(context, 12);
  context.fillStyle = ink("quiet");
  context.fillText(fitted(context, lane.name, 40), 0, top + LANE / 2 + 1);
  context.fillStyle = ink("tint3");
  const failed = [];
  for (const index of lane.tests) {
    const test = report.tests[index];
    if (BAD.has(test.outcome)) failed.push(test);
    const from = x(test.began, width);
    const wide = x(test.began + total(test), width) - from;
    // A gap, where there is room for one, keeps neighbours apart.
    context.fillRect(from, top + 7, wide > 3 ? wide - 1 : Math.max(wide, 0.5), LANE - 11);
  }
  context.fillStyle = ink("bad");
  for (const test of failed) {
    const from = x(test.began, width);
    const wide = Math.max(x(test.began + total(test), width) - from, 2);
    context.fillRect(from, top + 7, wide, LANE - 11);
    context.beginPath();
    context.moveTo(from + wide / 2 - 4, top);
    context.lineTo(from + wide / 2 + 4, top);
    context.lineTo(from + wide / 2, top + 6);
    context.fill();
  }
}
