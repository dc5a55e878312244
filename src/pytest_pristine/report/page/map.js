// The map: which test writes which table.

const LARGEST = 22; // of a cell that was zoomed into, in pixels
const WIDEST = 44; // of a cell where there are few tables
const SHADES = ["tint1", "tint2", "tint3", "tint4", "bad"];

function drawMap() {
  const order = mapOrder();
  if (!order.rows.length) return place("map", sentence("No test is known to have written to a table."));
  const { canvas, readout } = workable("Map of the tests, a row each, by the tables that they write, a column each",
    "Arrow keys move the cursor, with Shift to the next cell that was written; Page Up and Down go by file, + and - zoom, 0 shows all, Enter lists the writers of the table.");
  const view = mapView(canvas, order);
  const shown = picture(canvas, (context, width, height, ratio) => drawCells(context, view, order, ratio), (context) => drawCursor(context, view, order));
  shown.resized = () => view.fit();
  view.changed = shown.redraw;
  const say = () => { readout.textContent = cellWords(order, view.at); shown.move(); };
  const choose = () => {
    const { row, column } = view.at;
    const index = order.rows[row];
    const wrote = report.tests[index].wrote.some(([each]) => each === order.columns[column]);
    if (wrote) showTest(index, order.columns[column]);
    else showWriters(order.columns[column]);
  };
  mapByPointer(canvas, view, say, choose);
  mapByKeys(canvas, view, order, say, choose);
  const button = (words, label, act) => make("button", { class: "small", type: "button", "aria-label": label, on: { click: act } }, words);
  const bar = make("div", { class: "bar" },
    button("+", "Zoom in", () => view.zoom(1.6)), button("−", "Zoom out", () => view.zoom(1 / 1.6)), button("all", "Show the whole map", () => view.fit()),
    make("span", { class: "key" }, ...[["tint1", "1–2 rows"], ["tint2", "3–10"], ["tint3", "11–30"], ["tint4", "more, or all"], ["bad", "by a failed test"]].map(
      ([colour, words]) => make("span", {}, paint(make("i"), { background: `var(--${colour})` }), words))));
  place("map", sentence(mapWords(order)), bar, canvas, readout);
  view.fit();
  mapState = { view, order };
}

// What is on the screen, for who looks at the page from outside.
let mapState = null;

function mapWords({ rows, columns, groups }) {
  const silent = report.tests.length - rows.length;
  const left = report.tables.length - columns.length;
  return `${plural(rows.length, "test")} of ${plural(groups.length, "file")} down, ${plural(columns.length, "table")} across: first those that many files write, then the others in the order of their writers.`
    + (silent ? ` Not in it: ${plural(silent, "test")} that wrote nothing.` : "")
    + (left ? ` Written by no test: ${plural(left, "table")}.` : "");
}

function cellWords(order, { row, column }) {
  const test = report.tests[order.rows[row]];
  const table = order.columns[column];
  const wrote = test.wrote.find(([each]) => each === table);
  const did = wrote ? `wrote ${wroteWords(wrote)}` : `did not write ${report.tables[table]}`;
  return `${SIGNS[test.outcome] ?? "?"} test ${test.id} ${did}`;
}

// Which part is shown, how large. Positions are in cells, sizes in pixels.
function mapView(canvas, { rows, columns }) {
  const view = { x: 0, y: 0, sx: 1, sy: 1, left: 0, top: 92, width: 0, height: 0, at: { row: -1, column: 0 }, changed: () => {} };
  const smallest = () => [Math.min(WIDEST, view.width / columns.length), Math.min(LARGEST, view.height / rows.length)];
  const within = (value, most) => Math.max(0, Math.min(value, most));
  function settle() {
    const [sx, sy] = smallest();
    view.sx = Math.max(sx, Math.min(view.sx, Math.max(sx, LARGEST)));
    view.sy = Math.max(sy, Math.min(view.sy, Math.max(sy, LARGEST)));
    view.x = within(view.x, columns.length - view.width / view.sx);
    view.y = within(view.y, rows.length - view.height / view.sy);
    canvas.style.touchAction = view.all() ? "pan-y" : "none";
    canvas.style.cursor = view.all() ? "crosshair" : "grab";
    view.changed();
  }
  // What is filled of it: few cells do not fill it all.
  view.wide = () => Math.min(view.width, columns.length * view.sx);
  view.high = () => Math.min(view.height, rows.length * view.sy);
  view.all = () => { const [sx, sy] = smallest(); return view.sx <= sx * 1.001 && view.sy <= sy * 1.001; };
  view.fit = () => {
    const narrow = canvas.clientWidth < 600;
    view.left = narrow ? 84 : 230;
    view.width = Math.max(40, canvas.clientWidth - view.left - 2);
    view.height = Math.max(LARGEST, Math.min(narrow ? 380 : 520, rows.length * Math.min(LARGEST, 18)));
    canvas.style.height = `${view.top + view.height + 2}px`;
    [view.sx, view.sy] = smallest();
    view.x = view.y = 0;
    settle();
  };
  view.zoom = (factor, px = view.left + view.width / 2, py = view.top + view.height / 2) => {
    const [column, row] = [view.x + (px - view.left) / view.sx, view.y + (py - view.top) / view.sy];
    // What is small in one direction alone grows in that one first.
    view.sx *= factor;
    view.sy *= factor;
    const [sx, sy] = smallest();
    view.sx = Math.max(sx, Math.min(view.sx, Math.max(sx, LARGEST)));
    view.sy = Math.max(sy, Math.min(view.sy, Math.max(sy, LARGEST)));
    view.x = column - (px - view.left) / view.sx;
    view.y = row - (py - view.top) / view.sy;
    settle();
  };
  view.pan = (dx, dy) => { view.x -= dx / view.sx; view.y -= dy / view.sy; settle(); };
  view.cell = (px, py) => ({
    row: within(Math.floor(view.y + (py - view.top) / view.sy), rows.length - 1),
    column: within(Math.floor(view.x + (px - view.left) / view.sx), columns.length - 1),
  });
  view.reveal = () => {
    const { row, column } = view.at;
    const [wide, high] = [view.width / view.sx, view.height / view.sy];
    if (column < view.x) view.x = column;
    else if (column + 1 > view.x + wide) view.x = column + 1 - wide;
    if (row < view.y) view.y = row;
    else if (row + 1 > view.y + high) view.y = row + 1 - high;
    settle();
  };
  return view;
}

// The cells are set as pixels: there can be a million of them, and this takes a few milliseconds.
function drawCells(context, view, order, ratio) {
  const [wide, high] = [view.wide(), view.high()].map((side) => Math.round(side * ratio));
  if (wide < 1 || high < 1) return;
  const { starts, columns, shades } = order.cells;
  const image = context.createImageData(wide, high);
  const pixels = new Uint32Array(image.data.buffer).fill(pixel("raised"));
  const inks = SHADES.map(pixel);
  const [sx, sy] = [view.sx * ratio, view.sy * ratio];
  const gapX = sx >= 5 * ratio ? ratio : 0;
  const gapY = sy >= 5 * ratio ? ratio : 0;
  const last = Math.min(order.rows.length, Math.ceil(view.y + high / sy));
  // Failed tests come last, to lie above what shares a pixel with them.
  for (const bad of [false, true]) {
    for (let row = Math.floor(view.y); row < last; row += 1) {
      const top = Math.max(0, Math.floor((row - view.y) * sy));
      const bottom = Math.min(high, Math.max(top + 1, Math.floor((row + 1 - view.y) * sy - gapY)));
      for (let cell = starts[row]; cell < starts[row + 1]; cell += 1) {
        if ((shades[cell] === 4) !== bad) continue;
        const left = Math.floor((columns[cell] - view.x) * sx);
        const right = Math.min(wide, Math.max(left + 1, Math.floor((columns[cell] + 1 - view.x) * sx - gapX)));
        for (let y = top; y < bottom; y += 1) pixels.fill(inks[shades[cell]], y * wide + Math.max(0, left), y * wide + Math.max(0, right));
      }
    }
  }
  context.putImageData(image, Math.round(view.left * ratio), Math.round(view.top * ratio));
  drawTableNames(context, view, order);
  drawTestNames(context, view, order);
}

function drawTableNames(context, view, { columns }) {
  setFont(context, 11);
  context.fillStyle = ink("quiet");
  // As many names as there is room for.
  const each = Math.max(1, Math.ceil(13 / view.sx));
  for (let column = Math.ceil(view.x / each) * each; column < Math.min(columns.length, view.x + view.width / view.sx); column += each) {
    context.save();
    context.translate(view.left + (column + 0.5 - view.x) * view.sx, view.top - 5);
    context.rotate(-Math.PI / 2);
    context.fillText(fitted(context, report.tables[columns[column]], view.top - 10), 0, 0);
    context.restore();
  }
}

function drawTestNames(context, view, { rows, groups }) {
  setFont(context, 11);
  context.strokeStyle = ink("edge");
  context.lineWidth = 0.5;
  const room = view.left - 10;
  const y = (row) => view.top + (row - view.y) * view.sy;
  const bottom = view.top + view.height;
  const names = view.sy >= 12;
  let free = view.top;
  for (const group of groups) {
    const [from, until] = [Math.max(y(group.from), view.top), Math.min(y(group.until), bottom)];
    if (until <= view.top || from >= bottom) continue;
    const own = (group.until - group.from) * view.sy;
    if (own >= 5 && y(group.from) >= view.top) {
      context.beginPath();
      context.moveTo(view.left - 6, Math.round(from) + 0.5);
      context.lineTo(view.left + view.wide(), Math.round(from) + 0.5);
      context.stroke();
    }
    if (names || from + 6 < free || from + 12 > bottom) continue;
    context.fillStyle = ink("quiet");
    context.fillText(fitted(context, group.name, room), 0, from + 6);
    free = from + 18;
  }
  if (!names) return;
  for (let row = Math.floor(view.y); row < Math.min(rows.length, view.y + view.height / view.sy); row += 1) {
    const middle = y(row + 0.5);
    if (middle < view.top + 4 || middle > bottom - 4) continue;
    const test = report.tests[rows[row]];
    context.fillStyle = ink(BAD.has(test.outcome) ? "bad" : "quiet");
    context.fillText(fitted(context, `${BAD.has(test.outcome) ? "✗ " : ""}${nameOf(test) || test.id}`, room), 0, middle);
  }
}

function drawCursor(context, view, { rows, columns }) {
  const { row, column } = view.at;
  if (row < 0) return;
  const [left, top] = [view.left + (column - view.x) * view.sx, view.top + (row - view.y) * view.sy];
  const [wide, high] = [Math.max(view.sx, 4), Math.max(view.sy, 4)];
  context.save();
  context.beginPath();
  context.rect(view.left - 3, view.top - 3, view.width + 6, view.height + 6);
  context.clip();
  context.strokeStyle = ink("ink");
  context.globalAlpha = 0.35;
  context.strokeRect(view.left, Math.round(top + high / 2) + 0.5, view.wide(), 0);
  context.strokeRect(Math.round(left + wide / 2) + 0.5, view.top, 0, view.high());
  context.globalAlpha = 1;
  context.lineWidth = 2;
  context.strokeRect(left - 1, top - 1, wide + 2, high + 2);
  context.restore();
  setFont(context, 11, "600");
  plate(context, fitted(context, nameOf(report.tests[rows[row]]) || report.tests[rows[row]].id, view.left - 14), 0, top + high / 2, view.left - 6);
  context.save();
  context.translate(left + wide / 2, view.top - 5);
  context.rotate(-Math.PI / 2);
  plate(context, fitted(context, report.tables[columns[column]], view.top - 10), 0, 0);
  context.restore();
}

// Words on a ground of their own, above what else is written there.
function plate(context, words, x, y, least = 0) {
  context.fillStyle = ink("paper");
  context.fillRect(x - 2, y - 8, Math.max(context.measureText(words).width + 6, least), 16);
  context.fillStyle = ink("ink");
  context.fillText(words, x, y);
}

function mapByPointer(canvas, view, say, choose) {
  const held = new Map();
  let moved = 0;
  const at = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  canvas.addEventListener("pointerdown", (event) => {
    held.set(event.pointerId, at(event));
    moved = 0;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const now = at(event);
    const before = held.get(event.pointerId);
    if (!before) { view.at = view.cell(...now); return say(); }
    const others = [...held].filter(([id]) => id !== event.pointerId).map(([, where]) => where);
    held.set(event.pointerId, now);
    moved += Math.hypot(now[0] - before[0], now[1] - before[1]);
    if (others.length) {
      const apart = ([x, y]) => Math.max(8, Math.hypot(x - others[0][0], y - others[0][1]));
      return view.zoom(apart(now) / apart(before), (now[0] + others[0][0]) / 2, (now[1] + others[0][1]) / 2);
    }
    return view.pan(now[0] - before[0], now[1] - before[1]);
  });
  const release = (event) => {
    if (event.type === "pointerup" && held.size === 1 && moved < 5) {
      view.at = view.cell(...at(event));
      say();
      // A finger has no pointing without pressing: its first touch says what is there, and the second goes there.
      if (event.pointerType === "mouse" || canvas.dataset.touched === String([view.at.row, view.at.column])) choose();
      canvas.dataset.touched = String([view.at.row, view.at.column]);
    }
    held.delete(event.pointerId);
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("wheel", (event) => {
    // Without a key the wheel scrolls the page, unless the map was chosen and has something to scroll to.
    if (event.ctrlKey || event.metaKey) view.zoom(Math.exp(-event.deltaY / 300), ...at(event));
    else if (document.activeElement === canvas && !view.all()) view.pan(-event.deltaX, -event.deltaY);
    else return;
    event.preventDefault();
  }, { passive: false });
}

function mapByKeys(canvas, view, order, say, choose) {
  const moves = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
  const last = { row: order.rows.length - 1, column: order.columns.length - 1 };
  const go = (row, column) => {
    view.at = { row: Math.max(0, Math.min(row, last.row)), column: Math.max(0, Math.min(column, last.column)) };
    view.reveal();
    say();
  };
  canvas.addEventListener("focus", () => { if (view.at.row < 0) { view.at = { row: 0, column: 0 }; say(); } });
  canvas.addEventListener("keydown", (event) => {
    const { row, column } = view.at;
    const group = order.groups.findIndex((each) => row < each.until);
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in moves && event.shiftKey) { const next = nextWritten(order, view.at, moves[event.key]); go(next.row, next.column); }
    else if (event.key in moves) go(row + moves[event.key][0], column + moves[event.key][1]);
    else if (event.key === "Home") go(row, 0);
    else if (event.key === "End") go(row, last.column);
    else if (event.key === "PageDown") go(order.groups[group].until, column);
    else if (event.key === "PageUp") go(row > order.groups[group].from ? order.groups[group].from : (order.groups[group - 1] ?? order.groups[0]).from, column);
    else if (event.key === "+" || event.key === "=") { view.zoom(1.6, ...middleOf(view)); view.reveal(); }
    else if (event.key === "-") { view.zoom(1 / 1.6, ...middleOf(view)); view.reveal(); }
    else if (event.key === "0") view.fit();
    else if (event.key === "Enter") choose();
    else return;
    event.preventDefault();
  });
}

function middleOf(view) {
  return [view.left + (view.at.column + 0.5 - view.x) * view.sx, view.top + (view.at.row + 0.5 - view.y) * view.sy];
}

// The next cell in a direction that was written; where there is none, the same cell.
function nextWritten({ rows, columns, cells }, { row, column }, [down, right]) {
  const has = (y, x) => cells.columns.subarray(cells.starts[y], cells.starts[y + 1]).includes(x);
  let [y, x] = [row + down, column + right];
  while (y >= 0 && y < rows.length && x >= 0 && x < columns.length) {
    if (has(y, x)) return { row: y, column: x };
    y += down;
    x += right;
  }
  return { row, column };
}
