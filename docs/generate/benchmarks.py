"""The page of benchmarks, from the results that `dev.py bench record` keeps."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from docs.generate import words

BENCH = Path(__file__).resolve().parents[2] / "bench"
RESTORES = BENCH / "restore/results/superuser.json"
# Ways to undo a test, as the benchmark calls them, in the order of the table.
_WAYS = (
    "pytest-pristine", "rollback", "DELETE of all", "TRUNCATE of all", "clone per test", "pytest-postgresql",
    "pytest-clean-database", "a round trip",
)  # fmt: skip
# Processes for each core from which on a machine did something else besides.
_BUSY = 1.5
_INTRODUCTION = """
What it costs, as it was measured, misses included. `python3 dev.py bench record` measures everything on your machine
and keeps the results; `python3 dev.py docs --write` makes this page of them. How each is measured, and what is left
out, stands in [bench/](../bench/README.md) and [bench/restore/](../bench/restore/README.md).

Each section names the machine, the day, and the load: how many processes wanted to run, before and after. Where that is
much larger than the number of cores, the machine did other things meanwhile.
"""


def text() -> str:
    """The page."""
    return words.page("Benchmarks", _INTRODUCTION, *_sections())


def _sections() -> Iterator[str]:
    if RESTORES.exists():
        yield from _restores(_read(RESTORES))
    for path in sorted((BENCH / "results").glob("*.json")):
        if path.stem not in _SHOWN:
            raise words.UndocumentedError(f"nothing shows {path.relative_to(BENCH.parent)}: add it to {__name__}")
        document = _read(path)
        yield f"## {_SHOWN[path.stem][0]}"
        yield _taken(document)
        yield from shown(path.stem, document["result"])


def shown(name: str, result: Mapping[str, Any]) -> Iterator[str]:
    """What the page shows of a result that a benchmark has just found; of restores, what is aimed at."""
    return iter([_targets(result)]) if name == "restore" else _SHOWN[name][1](result)


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _taken(document: Mapping[str, Any], command: str = "") -> str:
    """On what, when, by what command."""
    loads = [document[name][0] for name in ("load_before", "load_after")]
    load = " to ".join(f"{each:.1f}" for each in loads)
    # The benchmark itself keeps a core or two busy.
    is_busy = max(loads) > _BUSY * document["cores"]
    busy = "\n\n**The machine was busy with other things: the figures are too high.**" if is_busy else ""
    return (
        f"`{document.get('command', command)}` on {document['date']}: "
        f"{document['cores']} cores ({document['processor']}), {document['memory_gb']} GB of memory, "
        f"{document['kernel']}, Python {document['python']}, load {load}.{busy}"
    )


# What it takes to undo a test


def _restores(document: Mapping[str, Any]) -> Iterator[str]:
    yield "## What it takes to undo a test"
    yield _taken(document, "python3 dev.py bench restore")
    yield f"The data lay on {document['data_on']}."
    figures = document["figures"]
    for dirty, what in (
        (3, "After a test that wrote three rows into each of three tables"),
        (0, "After a test that read"),
    ):
        for major in sorted({each["major"] for each in figures}, reverse=True):
            yield f"{what}, PostgreSQL {major}, as superuser; medians in milliseconds, by the number of tables:"
            yield _matrix([each for each in figures if _is_small(each, major, dirty)])
    yield "### What is aimed at"
    yield _targets(document)
    packages = ", ".join(f"{name} {version}" for name, version in sorted(document["packages"].items()))
    yield f"With {packages}. The file [superuser.json](../bench/restore/results/superuser.json) has every figure."


def _targets(document: Mapping[str, Any]) -> str:
    rows = [
        [each["promise"], f"{each['value']:.3g} {each['unit']}", f"at most {each['most']:g}", _verdict(each["met"])]
        for each in document["targets"]
    ]
    return words.table(["what", "measured", "target", ""], rows)


def _is_small(figure: Mapping[str, Any], major: int, dirty: int) -> bool:
    return (figure["part"], figure["major"], figure["dirty"]) == ("matrix", major, dirty) and figure["work"] != "bulk"


def _matrix(figures: list[Mapping[str, Any]]) -> str:
    sizes = sorted({each["tables"] for each in figures})
    cells = {(each["way"], each["tables"]): each for each in figures}
    rows = [
        [way, *(_milliseconds(cells.get((way, size))) for size in sizes)]
        for way in _WAYS
        if any((way, size) in cells for size in sizes)
    ]
    return words.table(["way", *map(str, sizes)], rows)


def _milliseconds(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return ""
    if figure.get("milliseconds") is None:
        return "failed"
    return _number(figure["milliseconds"]["median"])


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"  # noqa: PLR2004 - digits that mean something


def _verdict(is_met: bool | None) -> str:  # noqa: FBT001 - as the results have it
    return {True: "met", False: "**missed**", None: ""}[is_met]


# The others


def _start(result: Mapping[str, Any]) -> Iterator[str]:
    yield "Whole processes from start to exit, in seconds. *Over* is what ours took more than the plain run beside it."
    rows = []
    for row in result["rows"]:
        over, target = row["over"], row["target"]
        rows.append(
            [
                row["name"], f"{statistics.median(row['seconds']):.2f}", f"{min(row['seconds']):.2f}",
                f"{max(row['seconds']):.2f}", f"{statistics.median(over):+.3f}" if over else "",
                f"at most {target:g}" if target is not None else "",
                _verdict(row["result"] <= target if target is not None else None),
            ]
        )  # fmt: skip
    yield words.table(["run", "median", "lowest", "highest", "over", "target", ""], rows)
    heavy = result["imported by the unused plugin"]
    yield f"The unused plugin imports {', '.join(heavy) or 'neither SQLAlchemy nor Alembic nor psycopg'}."


def _workers(result: Mapping[str, Any]) -> Iterator[str]:
    yield "Runs with pytest-xdist: medians."
    rows = []
    for row in result["rows"]:
        target = f"{row['target']['bound']} {row['target']['value']:g}" if row["target"] else ""
        spread = f"{_number(min(row['values']))} to {_number(max(row['values']))}"
        rows.append([row["name"], f"{_number(row['measured'])} {row['unit']}", spread, target, _verdict(row["met"])])
    yield words.table(["what", "measured", "lowest to highest", "target", ""], rows)


def _schema_coverage(result: Mapping[str, Any]) -> Iterator[str]:
    yield f"The same suites with and without schema coverage, in {result['rounds']} turns: medians."
    rows = []
    for row in result["rows"]:
        for name, unit, scale in (("whole", "s", 1), ("test", "ms a test", 1000)):
            if name in row:
                without, with_it = (statistics.median(row[name][each]) * scale for each in ("without", "with"))
                percent = f"{row[name]['percent']:+.1f} %"
                rows.append([row["what"], f"{without:.2f} {unit}", f"{with_it:.2f} {unit}", percent])
    yield words.table(["suite", "without", "with", ""], rows)


def _session(result: Mapping[str, Any]) -> Iterator[str]:
    yield (
        "A test that reads, or writes a row into each of three tables, and commits, on PostgreSQL "
        f"{result['postgres']}: medians in milliseconds of all of it, and in brackets of what comes after the test. "
        "With `postgres_session` that is the rollback and the restore, with `clean_database` the restore."
    )
    rows = [
        [row["role"], str(row["tables"]), row["test"], *(_with_after(way) for way in row["milliseconds"].values())]
        for row in result["rows"]
    ]
    ways = [f"`{way}`" for way in result["rows"][0]["milliseconds"]]
    yield words.table(["role", "tables", "test", *ways], rows)


def _with_after(steps: Mapping[str, float]) -> str:
    after = steps.get("roll back", 0.0) + steps["restore"]
    return f"{_number(steps['whole'])} ({_number(after)})"


def _fresh(result: Mapping[str, Any]) -> Iterator[str]:
    disk = "which waits for its disk" if result["fsync"] else "which does not wait for its disk"
    yield (
        f"Medians in milliseconds, and in brackets what 95 of 100 are below, by the number of tables; PostgreSQL "
        f"{result['postgres']}, {disk}. A wait ends when the first query on the engine has its answer."
    )
    yield _by(result["rows"], lambda row: f"{row['tables']} tables", "most")


def _layers(result: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"Medians in milliseconds, and in brackets the longest, by the size of the schema and of the layer; PostgreSQL "
        f"{result['postgres']}."
    )
    yield _by(result["rows"], lambda row: f"{row['tables']} tables, {row['rows']:,} rows", "highest")


def _by(rows: list[Mapping[str, Any]], column: Callable[[Mapping[str, Any]], str], beside: str) -> str:
    """A line for each thing that was measured, a column for each size: the median, and another figure in brackets."""
    cells = {
        (row["what"], column(row)): f"{_number(row['milliseconds']['median'])} ({_number(row['milliseconds'][beside])})"
        for row in rows
    }
    things, sizes = (list(dict.fromkeys(key[place] for key in cells)) for place in (0, 1))
    return words.table(["what", *sizes], [[what, *(cells.get((what, size), "") for size in sizes)] for what in things])


def _proof(result: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"Beside the restore after a test that wrote into three tables, PostgreSQL {result['postgres']}: medians in "
        "milliseconds. The share is what all proofs took of the time of all restores; the last proof looks at "
        "everything."
    )
    rows = [
        [
            str(row["tables"]), _number(row["restore"]), _number(row["proof"]), f"{row['share, always']:.0%}",
            f"{row['share, sampled']:.1%}", _number(row["last proof"]),
        ]
        for row in result["rows"]
    ]  # fmt: skip
    head = ["tables", "restore", "proof", "share, `always`", "share, `sampled`", "last proof"]
    yield words.table(head, rows)


def _report(result: Mapping[str, Any]) -> Iterator[str]:
    yield "The page of a run with 5,000 tests and 500 tables, in Chromium, which draws without a graphics card."
    rows = [[name, f"{result[name] / 1e6:.2f} MB"] for name in ("size of the page", "size of report.json")]
    timed = ("write the report", "load", "first paint", "longest task while loading")
    rows += [[name, f"{result[name]:.0f} ms"] for name in timed]
    rows += [[f"draw: {name}", f"{took:.1f} ms"] for name, took in result["drawing"].items()]
    yield words.table(["what", "took"], rows)


_SHOWN: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], Iterator[str]]]] = {
    "start": ("What a session takes to start", _start),
    "session": ("What a session that is rolled back costs", _session),
    "fresh": ("What a test waits for a database of its own", _fresh),
    "layers": ("What a layer of data costs", _layers),
    "proof": ("What it costs to prove a restore", _proof),
    "workers": ("What many workers cost and gain", _workers),
    "schema-coverage": ("What schema coverage costs", _schema_coverage),
    "report": ("How the page of the report fares", _report),
}
