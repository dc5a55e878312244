"""The plot: what undoing three dirty tables takes, by the size of the schema.

python plot.py RESULT.json PLOT.svg draws it again from a result that was kept.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import matplotlib as mpl  # type: ignore[import-not-found]
from matplotlib import pyplot as plt

_PRISTINE = "pytest-pristine"
# One colour for each of the others, in the order of the result.
_COLOURS = ("#9e9e9e", "#bdbdbd", "#1b9e77", "#7570b3", "#a6761d", "#d95f02", "#e6ab02", "#66a61e")
_NOT_SHOWN = ("no isolation",)

Figures: TypeAlias = Sequence[Mapping[str, object]]


def draw(figures: Figures, path: Path) -> bool:
    """Draw a panel for each server and role; gives whether there was anything to draw."""
    shown = [figure for figure in figures if _is_shown(figure)]
    panels = sorted({(int(str(figure["major"])), str(figure["role"])) for figure in shown}, reverse=True)
    if not panels:
        return False
    # Text stays text, and the same figures give the same file.
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "restore", "font.size": 9})
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    drawing, axes = plt.subplots(rows, columns, figsize=(5 * columns, 3.6 * rows), squeeze=False, sharey=True)
    for axis, (major, role) in zip(axes.flat, panels, strict=False):
        _draw_panel(axis, [each for each in shown if (each["major"], each["role"]) == (major, role)])
        axis.set_title(f"PostgreSQL {major}, {role}")
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    drawing.legend(handles, labels, loc="lower center", ncols=4, frameon=False)
    drawing.tight_layout(rect=(0, 0.11 if rows == 1 else 0.07, 1, 1))
    drawing.savefig(path, metadata={"Date": None})
    plt.close(drawing)
    return True


def _is_shown(figure: Mapping[str, object]) -> bool:
    return (
        (figure["part"], figure["work"], figure["dirty"]) == ("matrix", "small", 3)
        and "milliseconds" in figure
        and figure["way"] not in _NOT_SHOWN
    )


def _draw_panel(axis: object, figures: Figures) -> None:
    names = list(dict.fromkeys(str(figure["way"]) for figure in figures))
    others = iter(_COLOURS)
    for name in names:
        points = sorted(_points(figure for figure in figures if figure["way"] == name))
        is_ours = name == _PRISTINE
        axis.plot(  # type: ignore[attr-defined] # of a library without types
            *zip(*points, strict=True), label=name, marker="o", markersize=4 if is_ours else 3,
            linewidth=2.4 if is_ours else 1.1, color="#c2185b" if is_ours else next(others), zorder=3 if is_ours else 2,
        )  # fmt: skip
    axis.set(xscale="log", yscale="log", xlabel="tables", ylabel="median, ms")  # type: ignore[attr-defined]
    axis.grid(visible=True, which="major", linewidth=0.4)  # type: ignore[attr-defined]


def _points(figures: Iterable[Mapping[str, object]]) -> Iterable[tuple[float, float]]:
    for figure in figures:
        times = figure["milliseconds"]
        if isinstance(times, Mapping):
            yield float(str(figure["tables"])), float(times["median"])


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["figures"], Path(sys.argv[2]))
