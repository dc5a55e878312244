// Pictures on a canvas: sharp on any screen, drawn once, with what moves (cursors) on a layer of its own.

let inks = null;

function ink(name) {
  inks ??= getComputedStyle(document.documentElement);
  return inks.getPropertyValue(`--${name}`).trim();
}

// A colour as a pixel of an image.
function pixel(name) {
  const value = parseInt(ink(name).slice(1), 16);
  const [red, green, blue] = ink(name).length === 4
    ? [(value >> 8) * 17, ((value >> 4) & 15) * 17, (value & 15) * 17]
    : [value >> 16, (value >> 8) & 255, value & 255];
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

const pictures = [];

// `base` draws what stays, `over` what moves; both take (context, width, height), in CSS pixels.
function picture(canvas, base, over) {
  const still = document.createElement("canvas");
  const state = { canvas, width: 0, height: 0, ratio: 1, stale: true, asked: false };
  function draw() {
    state.asked = false;
    if (!state.width || !state.height) return;
    const context = canvas.getContext("2d");
    if (state.stale) {
      still.width = canvas.width;
      still.height = canvas.height;
      const below = still.getContext("2d", { willReadFrequently: true });
      below.scale(state.ratio, state.ratio);
      base(below, state.width, state.height, state.ratio);
      state.stale = false;
    }
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.drawImage(still, 0, 0);
    context.setTransform(state.ratio, 0, 0, state.ratio, 0, 0);
    if (over) over(context, state.width, state.height);
  }
  function ask(stale) {
    state.stale ||= stale;
    if (!state.asked) requestAnimationFrame(draw);
    state.asked = true;
  }
  function measure() {
    state.ratio = Math.min(window.devicePixelRatio || 1, 2);
    state.width = canvas.clientWidth;
    state.height = canvas.clientHeight;
    canvas.width = Math.round(state.width * state.ratio);
    canvas.height = Math.round(state.height * state.ratio);
    if (state.resized) state.resized();
    state.stale = true;
    draw();
  }
  Object.assign(state, { redraw: () => ask(true), move: () => ask(false), measure, now: () => { state.stale = true; draw(); } });
  new ResizeObserver(() => {
    if (canvas.clientWidth !== state.width || canvas.clientHeight !== state.height) measure();
  }).observe(canvas);
  pictures.push(state);
  return state;
}

function repaint() {
  inks = null;
  for (const each of pictures) each.measure();
}

for (const query of ["(prefers-color-scheme: dark)", "print"]) matchMedia(query).addEventListener("change", repaint);

function setFont(context, size = 12, weight = "") {
  context.font = `${weight} ${size}px system-ui, -apple-system, "Segoe UI", sans-serif`;
  context.textBaseline = "middle";
}

// As much of a text as there is room for; the end is what tells names apart.
function fitted(context, text, width) {
  const wide = context.measureText(text).width;
  if (wide <= width) return text;
  const keep = Math.floor((text.length * width) / wide) - 1;
  return keep < 2 ? "" : `…${text.slice(text.length - keep)}`;
}

// A canvas that can be worked with keys, and the line that says what is under its cursor.
function workable(label, help) {
  const readout = make("p", { class: "readout screen", role: "status", "aria-live": "polite" }, help);
  const canvas = make("canvas", { tabindex: "0", role: "application", "aria-roledescription": "picture", "aria-label": `${label}. ${help}` });
  return { canvas, readout };
}
