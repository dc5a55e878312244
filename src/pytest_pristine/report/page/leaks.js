// What was left, and the databases that were kept.

function drawLeaks() {
  if (!report.leaks.length) return place("left", sentence("Nothing was left open or behind."));
  const list = make("ul", { class: "failures" });
  const more = capped(list, report.leaks, (leak) => make("li", {}, make("span", { class: "sign", "aria-hidden": "true" }, SIGNS.failed), leak.test ? namedTest(leak.test) : make("span", { class: "quiet" }, "test not known"),
    make("span", { class: "said" }, leak.what)));
  place("left", list, more);
}

function drawKept() {
  if (!report.kept.length) return place("databases", sentence("No database was kept."));
  const list = make("ul", { class: "databases" });
  const more = capped(list, report.kept, (kept) => {
    const code = make("code", {}, kept.command);
    const button = make("button", { class: "small", type: "button", "aria-label": `Copy the command that opens ${kept.database}` }, "Copy");
    button.addEventListener("click", () => copy(code, button));
    return make("li", {}, namedTest(kept.test), make("div", { class: "command" }, code, button));
  });
  place("databases", list, more, make("p", { class: "hidden", role: "status", id: "copied" }));
}

// A page that is a file may have no clipboard: then the old way, and in the end the text stands selected.
async function copy(code, button) {
  const told = (words) => {
    button.textContent = words;
    document.getElementById("copied").textContent = words;
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  };
  try {
    await navigator.clipboard.writeText(code.textContent);
    return told("Copied");
  } catch {
    getSelection().selectAllChildren(code);
    return told(document.execCommand("copy") ? "Copied" : "Press Ctrl+C");
  }
}
