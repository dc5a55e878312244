// The schema as a map: a field for each table, as large as it has objects; a square for each object.

function drawTreemap(schema) {
  const fields = fieldsOf(schema);
  if (!fields.length) return place("treemap", sentence("The schema has nothing that tests can touch."));
  const { canvas, readout } = workable("Objects of the schema by table, filled where tests touched them",
    "Point at a table, or move with the arrow keys; Enter lists what was never touched of it.");
  let boxes = [];
  let at = -1;
  const lay = () => { boxes = squarified(fields, canvas.clientWidth, canvas.clientHeight); };
  canvas.style.height = `${Math.round(Math.min(430, 90 + 12 * Math.sqrt(schema.objects.length) * (schema.objects.length > 400 ? 0.6 : 1)))}px`;
  const shown = picture(canvas, (context) => boxes.forEach((box, number) => drawField(context, box, fields[number])), (context) => {
    if (at < 0) return;
    const { x, y, wide, high } = boxes[at];
    context.strokeStyle = ink("ink");
    context.lineWidth = 2;
    context.strokeRect(x + 1, y + 1, wide - 2, high - 2);
  });
  shown.resized = lay;
  const go = (next) => { at = Math.max(0, Math.min(fields.length - 1, next)); readout.textContent = fieldWords(fields[at]); shown.move(); };
  const find = (event) => {
    const box = canvas.getBoundingClientRect();
    const [px, py] = [event.clientX - box.left, event.clientY - box.top];
    const found = boxes.findIndex(({ x, y, wide, high }) => px >= x && px < x + wide && py >= y && py < y + high);
    if (found >= 0 && found !== at) go(found);
  };
  const choose = () => at >= 0 && fields[at].missed.length && narrowUntouched && narrowUntouched(fields[at].table);
  canvas.addEventListener("pointermove", find);
  canvas.addEventListener("pointerdown", find);
  canvas.addEventListener("click", choose);
  canvas.addEventListener("focus", () => at < 0 && go(0));
  canvas.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -fields.length, End: fields.length };
    if (event.key in steps) go(at + steps[event.key]);
    else if (event.key === "Enter") choose();
    else return;
    event.preventDefault();
  });
  const key = make("p", { class: "key" },
    make("span", {}, paint(make("i"), { background: "var(--tint3)" }), "touched"),
    make("span", {}, paint(make("i"), { "box-shadow": "inset 0 0 0 1px var(--edge)" }), "never touched"));
  place("treemap", canvas, key, readout);
}

function fieldsOf(schema) {
  const fields = new Map();
  for (const object of schema.objects) {
    if (!fields.has(object.table)) fields.set(object.table, { table: object.table, objects: [], missed: [] });
    const field = fields.get(object.table);
    field.objects.push(object);
    if (!object.covered) field.missed.push(object);
  }
  for (const field of fields.values()) field.objects.sort(byDescending((object) => Number(object.covered)));
  return [...fields.values()].sort(byDescending((field) => field.objects.length));
}

function fieldWords({ table, objects, missed }) {
  const touched = `${table || "no table"}: ${count(objects.length - missed.length)} of ${plural(objects.length, "object")} touched`;
  const named = missed.slice(0, 6).map(({ kind, name }) => (kind === "table written" ? "written to" : kind === "table read" ? "read" : `${kind} ${name}`));
  return missed.length ? `${touched}; never ${named.join(", ")}${missed.length > 6 ? ` and ${missed.length - 6} more` : ""}` : touched;
}

// Bruls, Huizing, van Wijk: rows along the shorter side, each taken on while its fields become more square by it.
function squarified(fields, width, height) {
  const all = fields.reduce((sum, field) => sum + field.objects.length, 0);
  const scale = (width * height) / all;
  const boxes = [];
  let [x, y, wide, high, next] = [0, 0, width, height, 0];
  while (next < fields.length) {
    const side = Math.max(1, Math.min(wide, high));
    let [sum, until, worst] = [0, next, Infinity];
    while (until < fields.length) {
      const area = sum + fields[until].objects.length * scale;
      const [most, least] = [fields[next].objects.length * scale, fields[until].objects.length * scale];
      const now = Math.max((side * side * most) / (area * area), (area * area) / (side * side * least));
      if (now > worst) break;
      [worst, sum, until] = [now, area, until + 1];
    }
    const deep = sum / side;
    let along = 0;
    for (; next < until; next += 1) {
      const long = (fields[next].objects.length * scale) / deep;
      boxes.push(wide >= high ? { x, y: y + along, wide: deep, high: long } : { x: x + along, y, wide: long, high: deep });
      along += long;
    }
    if (wide >= high) [x, wide] = [x + deep, wide - deep];
    else [y, high] = [y + deep, high - deep];
  }
  return boxes;
}

function drawField(context, { x, y, wide, high }, { table, objects }) {
  context.strokeStyle = ink("line");
  context.lineWidth = 1;
  context.strokeRect(Math.round(x) + 0.5, Math.round(y) + 0.5, Math.round(wide) - 1, Math.round(high) - 1);
  const titled = high > 34 && wide > 46;
  if (titled) {
    setFont(context, 11);
    context.fillStyle = ink("quiet");
    context.fillText(fitted(context, table || "no table", wide - 8), x + 4, y + 10);
  }
  const [inX, inY, inWide, inHigh] = [x + 3, y + (titled ? 19 : 3), wide - 6, high - (titled ? 22 : 6)];
  const size = squareIn(inWide, inHigh, objects.length);
  if (size < 2) return;
  const across = Math.max(1, Math.floor(inWide / size));
  const gap = size > 5 ? 1.5 : 0.5;
  context.fillStyle = ink("tint3");
  context.strokeStyle = ink("edge");
  objects.forEach((object, number) => {
    const [left, top] = [inX + (number % across) * size, inY + Math.floor(number / across) * size];
    if (object.covered) context.fillRect(left, top, size - gap, size - gap);
    else context.strokeRect(left + 0.5, top + 0.5, size - gap - 1, size - gap - 1);
  });
}

// The largest square of which so many fit into a field.
function squareIn(wide, high, number) {
  let best = 0;
  for (let across = 1; across <= number; across += 1) {
    best = Math.max(best, Math.min(wide / across, high / Math.ceil(number / across)));
  }
  return Math.min(best, 20);
}
