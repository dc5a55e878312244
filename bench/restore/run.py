"""What it takes to undo what a test committed, with us and with the alternatives. `README.md` says how it is measured.

python bench/restore/run.py [--quick] [--json FILE] [--plot FILE] [--parts ...] [--versions ...] [--tables ...] ...
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import environment

if TYPE_CHECKING:
    from figures import Figure
    from parts import Bench, Plan
    from servers import Server

_MEMORY = Path("/dev/shm")  # noqa: S108 - directories in it have random names
# Bytes that the copies of a schema of 5000 tables take together, and then some.
_ROOM = 6 << 30
PARTS = ("matrix", "chains", "bulk", "lookup", "session", "suite")
SUITE_TESTS, QUICK_SUITE_TESTS = 500, 60


def main() -> int:
    """Measure, in the benchmark's own environment; gives the exit status."""
    chosen = _arguments()
    if not environment.is_ours():
        python = str(environment.provide())
        sys.stdout.flush()
        # In its place: a signal to stop reaches what there is to stop.
        os.execv(python, [python, str(Path(__file__).resolve()), *sys.argv[1:]])  # noqa: S606 - our own program
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    return _measure(chosen)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="one minute, not fifteen: to see that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the plot there, as SVG")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure (default: all)")
    parser.add_argument("--versions", nargs="+", type=int, help="of Postgres (default: 18 15; quick: 18)")
    parser.add_argument("--roles", nargs="+", choices=["superuser", "owner"], default=["superuser", "owner"])
    parser.add_argument(
        "--tables", nargs="+", type=int, help="of the schema (default: 10 100 500 1000 5000; quick: 10 100)"
    )
    parser.add_argument("--dirty", nargs="+", type=int, help="dirty tables (default: 0 1 3 20; quick: 0 3)")
    parser.add_argument("--restores", type=int, help="in a long session (default: 20000)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="where the servers live (default: in memory)")
    return parser.parse_args()


def _plan(chosen: argparse.Namespace) -> Plan:
    """How much to measure."""
    from measuring import Effort  # what is imported from here on is in the benchmark's environment alone
    from parts import Plan

    if chosen.quick:
        tables, dirty, restores = chosen.tables or [10, 100], chosen.dirty or [0, 3], chosen.restores or 1000
        small, bulk = Effort(0.1, least=2, most=100), Effort(0.5, least=1, most=1)
        bulk_tables, pair_tables, pairs = [], [100], 1
    else:
        tables, dirty = chosen.tables or [10, 100, 500, 1000, 5000], chosen.dirty or [0, 1, 3, 20]
        restores = chosen.restores or 20_000
        small, bulk = Effort(0.25, least=3, most=300), Effort(1.0, least=2, most=5)
        bulk_tables, pair_tables, pairs = [100], [10, 100, 1000], 5
    return Plan(
        tables=tables, dirty=dirty, bulk_tables=bulk_tables, pair_tables=pair_tables, small=small, bulk=bulk,
        pairs=pairs, restores=restores, window=min(1000, restores // 5), roles=chosen.roles,
    )  # fmt: skip


def _measure(chosen: argparse.Namespace) -> int:
    """Measure all that was chosen, print it, and write it where that was asked for."""
    import plot  # as in `_plan`
    import report
    import servers
    import targets

    began = time.monotonic()
    data = chosen.data or _data()
    facts = report.machine(data) | {"quick": chosen.quick, "load_before": report.load()}
    found: list[Figure] = []
    settings: dict[int, dict[str, str]] = {}
    was_interrupted = False
    try:
        for major in chosen.versions or ([18] if chosen.quick else [18, 15]):
            if major not in servers.available():
                _say(f"no PostgreSQL {major} here; there are: {', '.join(map(str, servers.available()))}")
                continue
            with servers.running(major, data) as server:
                settings[major] = server.settings()
                found.extend(_figures(_bench(server, _plan(chosen)), chosen.parts, quick=chosen.quick))
    except (KeyboardInterrupt, SystemExit):
        was_interrupted = True
    judged = targets.judge(found)
    facts |= {"interrupted": was_interrupted, "load_after": report.load(), "seconds": round(time.monotonic() - began)}
    print(report.text(found, judged))
    document = report.document(facts, settings, found, judged)
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if chosen.plot is not None and not plot.draw([figure.document() for figure in found], chosen.plot):
        _say("there is nothing to plot")
    # A busy machine misses a target, and that is no error; a way that does not work is one.
    return int(was_interrupted or any(figure.error for figure in found) or not found)


def _bench(server: Server, plan: Plan) -> Bench:
    from parts import Bench  # as in `_plan`

    return Bench(server, plan, lambda what: _say(f"PostgreSQL {server.major}, {what}"), {})


def _figures(bench: Bench, chosen: Sequence[str], *, quick: bool) -> Iterator[Figure]:
    """All figures of one server."""
    import parts  # as in `_plan`
    import suites
    from figures import Case, Figure

    suite = partial(suites.measure, tests=QUICK_SUITE_TESTS if quick else SUITE_TESTS, rounds=1)
    every: dict[str, Callable[[Bench], Iterator[Figure]]] = {**parts.ALL, "suite": suite}
    for name, part in every.items():
        if name not in chosen:
            continue
        try:
            yield from part(bench)
        except Exception as error:  # noqa: BLE001 - the other parts are worth having all the same
            traceback.print_exc()
            yield Figure(Case(name, bench.server.major, "", 0), "", error=f"{type(error).__name__}, see above")


def _data() -> Path:
    """In memory, where there is enough of it: what is to be measured is not the disk."""
    is_large = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM
    return _MEMORY if is_large else Path(tempfile.gettempdir())


def _say(what: str) -> None:
    """Tell how far it is, apart from the result."""
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
