// Making elements. Text is only ever set as text: nothing of the document is read as HTML.

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

function place(id, ...children) {
  document.getElementById(id).replaceChildren(...children.filter(Boolean));
}

function sentence(text) {
  return make("p", { class: "quiet" }, text);
}

function testButton(index, words) {
  const test = report.tests[index];
  if (!test) return make("span", { class: "word" }, words ?? "");
  return make("button", { class: "link", type: "button", on: { click: () => showTest(index) } }, ...breakable(words ?? test.id));
}

// A long name may be broken after what divides it, rather than anywhere.
function breakable(name) {
  return name.split(/(?<=[/_:.[-])/).flatMap((part, number) => (number ? [document.createElement("wbr"), part] : [part]));
}

// A button for a test that is known by its name alone.
function namedTest(id) {
  const index = report.tests.findIndex((test) => test.id === id);
  return index < 0 ? make("span", { class: "word" }, id || "no test that is known") : testButton(index);
}

// The first of a long list, and a button for more of them.
function capped(list, items, render, first = 15) {
  let shown = 0;
  const more = make("button", { class: "small more", type: "button", on: { click: () => show(Math.max(first, 200), true) } });
  function show(further, focus) {
    const added = items.slice(shown, shown + further).map(render);
    list.append(...added);
    shown += added.length;
    more.hidden = shown >= items.length;
    more.textContent = `Show ${count(Math.min(200, items.length - shown))} more of ${count(items.length)}`;
    const target = focus && added[0] && added[0].querySelector("button, summary");
    if (target) target.focus();
  }
  list.replaceChildren();
  show(first, false);
  return more;
}

// A statement: its beginning, and on demand the whole.
function statement(sql) {
  return make("details", { class: "sql", "data-print": "" },
    make("summary", { class: "mono" }, sql.replace(/\s+/g, " ")), make("pre", {}, sql));
}

function select(label, options, changed) {
  return make("select", { "aria-label": label, on: { change: (event) => changed(event.target.value) } },
    ...options.map(([value, words]) => make("option", { value }, words)));
}

// Paint is set through the object model, which the page's policy allows, where an attribute would be refused.
function paint(element, styles) {
  for (const [name, value] of Object.entries(styles)) element.style.setProperty(name, value);
  return element;
}
