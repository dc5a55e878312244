"""How the page of the report fares with a large run, in a real Chromium.

python3 dev.py bench report                               5,000 tests and 500 tables
python3 dev.py bench report --tests 20000 --tables 900    another size
python3 dev.py bench report --json result.json            writes the figures too

bench/README.md says what the lines mean.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # for the documents that the tests make up

# A frame at 60 Hz, in milliseconds.
FRAME = 1000 / 60
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")

# Counts what keeps the page from answering: from before its first script on.
WATCH = """
window.longTasks = [];
new PerformanceObserver((list) => {
  for (const each of list.getEntries()) window.longTasks.push(each.duration);
}).observe({ type: "longtask", buffered: true });
"""

# Does something in each of a number of frames; gives milliseconds from frame to frame.
FRAMES = """
(step, number) => new Promise((resolve) => {
  const moments = [];
  const frame = (now) => {
    moments.push(now);
    if (moments.length > number) resolve(moments.slice(1).map((moment, place) => moment - moments[place]));
    else { step(moments.length); requestAnimationFrame(frame); }
  };
  requestAnimationFrame(frame);
})
"""

STEPS = {
    "nothing, for comparison": "() => {}",
    "scroll the table of tests, 400 px a frame": "() => { document.getElementById('viewport').scrollTop += 400; }",
    "scroll it by a hundredth a frame": """(frame) => {
        const viewport = document.getElementById("viewport");
        viewport.scrollTop = (viewport.scrollHeight * (frame % 100)) / 100;
    }""",
    "sort and filter in each frame": """(frame) => {
        const filter = document.getElementById("filter");
        filter.value = ["", "b", "bi", "bil", "bill"][frame % 5];
        filter.dispatchEvent(new Event("input"));
    }""",
    "move the cursor over the whole map": "(frame) => { mapState.view.at.row = frame * 7; pictures[1].move(); }",
    "draw the whole map": "() => { mapState.view.fit(); }",
    "zoom the map in and out": "(frame) => { mapState.view.zoom(frame % 20 < 10 ? 1.2 : 1 / 1.2); }",
    "drag the zoomed map": "(frame) => { if (frame === 1) mapState.view.zoom(8); mapState.view.pan(-15, -15); }",
}

# How long it takes to draw a picture: all of its script, without the compositor.
DRAWING = """
() => pictures.map((picture) => {
  const began = performance.now();
  for (let time = 0; time < 20; time += 1) picture.now();
  return [picture.canvas.getAttribute("aria-label").split(/[.,]/)[0], (performance.now() - began) / 20];
})
"""


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tests", type=int, default=5000)
    parser.add_argument("--tables", type=int, default=500)
    parser.add_argument("--frames", type=int, default=120, help="frames that are measured of each kind of work")
    parser.add_argument("--json", type=Path, help="file for the figures")
    chosen = parser.parse_args()
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        sys.exit("no Chromium in PATH: apt install chromium (on Debian, as root)")
    with tempfile.TemporaryDirectory(prefix="pristine-bench-") as scratch:
        figures = write(Path(scratch), chosen.tests, chosen.tables)
        figures |= measure(program, Path(scratch) / "index.html", chosen.frames)
    print(table(figures))
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def write(directory: Path, tests: int, tables: int) -> dict[str, Any]:
    """Make up a run and write its report; gives milliseconds and sizes in bytes."""
    # They are the repository's, found by the path above.
    from pytest_pristine.report import writing
    from tests.report.synthetic import Size, document

    made = document(Size(tests=tests, tables=tables, failed=tests // 200, workers=8))
    began = time.perf_counter()
    page = writing.write(made, directory)
    return {
        "write the report": 1000 * (time.perf_counter() - began),
        "size of the page": page.stat().st_size,
        "size of report.json": page.with_name("report.json").stat().st_size,
    }


def measure(program: str, page: Path, frames: int) -> dict[str, Any]:
    """What a browser takes for it, in milliseconds."""
    from playwright.sync_api import sync_playwright  # from the group `test`, which this environment has

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage", "--allow-file-access-from-files"]
        )
        opened = browser.new_page(viewport={"width": 1280, "height": 900})
        opened.add_init_script(WATCH)
        opened.goto(page.as_uri())
        opened.wait_for_timeout(500)
        timing = opened.evaluate("performance.getEntriesByType('navigation')[0].toJSON()")
        paint = opened.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        figures: dict[str, Any] = {
            "load": timing["loadEventEnd"],
            "first paint": paint,
            "longest task while loading": opened.evaluate("Math.max(0, ...longTasks)"),
            "elements of the page": opened.evaluate("document.querySelectorAll('*').length"),
            "drawing": dict(opened.evaluate(DRAWING)),
            "frames": {},
        }
        for name, step in STEPS.items():
            opened.evaluate("() => { longTasks.length = 0; }")
            times = opened.evaluate(f"(number) => ({FRAMES})({step}, number)", frames)
            opened.wait_for_timeout(100)
            figures["frames"][name] = {"times": times, "longest task": opened.evaluate("Math.max(0, ...longTasks)")}
        browser.close()
    return figures


def table(figures: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [f"{name:<44}{figures[name] / 1e6:>9.2f} MB" for name in ("size of the page", "size of report.json")]
    lines += [
        f"{name:<44}{figures[name]:>9.0f} ms"
        for name in ("write the report", "load", "first paint", "longest task while loading")
    ]
    lines.append(f"{'elements of the page':<44}{figures['elements of the page']:>9}")
    lines += [f"{'draw: ' + name:<44}{took:>9.1f} ms" for name, took in figures["drawing"].items()]
    lines.append(
        f"\n{'milliseconds from frame to frame':<44}{'median':>9}{'95 %':>9}{'longest':>9}{'task':>9}{'late':>9}"
    )
    for name, each in figures["frames"].items():
        times = sorted(each["times"])
        late = sum(moment > 1.5 * FRAME for moment in times)
        lines.append(
            f"{name:<44}{statistics.median(times):>9.1f}{times[int(0.95 * len(times))]:>9.1f}{times[-1]:>9.1f}"
            f"{each['longest task']:>9.0f}{f'{late}/{len(times)}':>9}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
