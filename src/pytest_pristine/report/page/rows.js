// A table of any length: only the rows in view, and a few beyond, are in the page.

const BEYOND = 4;

// `line()` makes a row's cells, `fill(cells, key)` fills them, `detail(key)` makes what opens below them.
function virtualRows(viewport, line, fill, detail) {
  const body = make("div", { class: "canvas-body", role: "rowgroup" });
  viewport.append(body);
  let keys = [];
  let places = new Map();
  let active = 0;
  let height = 34;
  const open = new Map(); // by key: the height of what is open below the row
  const drawn = new Map(); // by key: the row
  const free = []; // rows that are out of view: to fill one is quicker than to make one

  const opened = () => [...open.keys()].filter((key) => places.has(key)).map((key) => [places.get(key), open.get(key)]);
  const topOf = (place, extras) => extras.reduce((top, [other, extra]) => (other < place ? top + extra : top), place * height);

  function placeAt(top, extras) {
    let [low, high] = [0, keys.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (topOf(middle, extras) <= top) low = middle;
      else high = middle - 1;
    }
    return Math.max(low, 0);
  }

  function draw() {
    const extras = opened();
    body.style.height = `${topOf(keys.length, extras)}px`;
    const first = Math.max(0, placeAt(viewport.scrollTop, extras) - BEYOND);
    const last = Math.min(keys.length - 1, placeAt(viewport.scrollTop + viewport.clientHeight, extras) + BEYOND);
    const wanted = new Set();
    for (let place = first; place <= last; place += 1) wanted.add(keys[place]);
    // The row that has the focus stays, wherever it is, or the focus would be lost.
    const focused = body.contains(document.activeElement) ? document.activeElement.closest(".row") : null;
    if (focused && places.has(focused.key)) wanted.add(focused.key);
    for (const [key, row] of drawn) if (!wanted.has(key)) { drawn.delete(key); free.push(row); }
    const rows = [...wanted].sort((one, other) => places.get(one) - places.get(other)).map((key) => {
      if (!drawn.has(key)) drawn.set(key, fillRow(free.pop() ?? makeRow(), key));
      return drawn.get(key);
    });
    for (const row of free.splice(0)) row.remove();
    arrange(rows, focused);
    for (const row of rows) {
      const place = places.get(row.key);
      row.style.top = `${topOf(place, extras)}px`;
      row.setAttribute("aria-rowindex", place + 2);
      row.name.tabIndex = place === active ? 0 : -1;
    }
    if (measured()) draw();
  }

  // Puts rows into their order around the one that has the focus: to be moved would take it away.
  function arrange(rows, focused) {
    const middle = Math.max(0, rows.indexOf(focused));
    if (rows.length && !rows[middle].isConnected) body.append(rows[middle]);
    for (let n = middle + 1; n < rows.length; n += 1) if (rows[n - 1].nextSibling !== rows[n]) rows[n - 1].after(rows[n]);
    for (let n = middle - 1; n >= 0; n -= 1) if (rows[n + 1].previousSibling !== rows[n]) rows[n + 1].before(rows[n]);
  }

  // Whether something that is open turned out to have another height than was thought.
  function measured() {
    let changed = false;
    for (const [key, row] of drawn) {
      if (row.below && open.get(key) !== row.below.offsetHeight) { open.set(key, row.below.offsetHeight); changed = true; }
    }
    return changed;
  }

  function makeRow() {
    const row = make("div", { class: "row", role: "row" }, line());
    row.name = row.querySelector(".name");
    row.name.addEventListener("click", () => toggle(row.key));
    row.name.addEventListener("focus", () => activate(row.key));
    row.name.addEventListener("keydown", (event) => steer(event, row.key));
    return row;
  }

  function fillRow(row, key) {
    row.key = key;
    if (row.below) { row.below.remove(); row.below = null; }
    fill(row.firstChild, key);
    dress(row, key);
    return row;
  }

  function dress(row, key) {
    const is = open.has(key);
    row.classList.toggle("open", is);
    row.name.setAttribute("aria-expanded", is);
    if (is && !row.below) row.append(row.below = make("div", { class: "detail", role: "cell" }, detail(key)));
    if (!is && row.below) { row.below.remove(); row.below = null; }
  }

  function activate(key) {
    active = places.get(key) ?? 0;
    for (const [other, row] of drawn) row.name.tabIndex = other === key ? 0 : -1;
  }

  function toggle(key) {
    if (open.has(key)) open.delete(key);
    else open.set(key, 0);
    if (drawn.has(key)) dress(drawn.get(key), key);
    draw();
  }

  function steer(event, key) {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -keys.length, End: keys.length };
    if (event.key === "Escape" && open.has(key)) return toggle(key);
    if (!(event.key in steps)) return undefined;
    event.preventDefault();
    return focus(keys[Math.min(keys.length - 1, Math.max(0, places.get(key) + steps[event.key]))]);
  }

  function reveal(key) {
    const top = topOf(places.get(key), opened());
    const visible = top >= viewport.scrollTop && top + height <= viewport.scrollTop + viewport.clientHeight;
    if (!visible) viewport.scrollTop = Math.max(0, top - viewport.clientHeight / 3);
    draw();
  }

  function focus(key) {
    reveal(key);
    drawn.get(key).name.focus({ preventScroll: true });
  }

  function show(key) {
    if (!open.has(key)) toggle(key);
    viewport.scrollTop = topOf(places.get(key), opened());
    draw();
    drawn.get(key).name.focus({ preventScroll: true });
  }

  function set(next) {
    keys = next;
    places = new Map(next.map((key, place) => [key, place]));
    active = 0;
    viewport.scrollTop = 0;
    draw();
  }

  let asked = false;
  viewport.addEventListener("scroll", () => {
    if (!asked) requestAnimationFrame(() => { asked = false; draw(); });
    asked = true;
  }, { passive: true });
  new ResizeObserver(() => {
    // The style decides how high a row is: two lines on a phone.
    const row = body.querySelector(".line");
    if (row) height = row.offsetHeight + 1;
    draw();
  }).observe(viewport);
  return { set, show, redraw: draw };
}
