"""What many workers cost, and what they gain. `../README.md` says what is measured and how.

python bench/workers/run.py [--quick] [--json FILE] [--parts speed start memory]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import beginning
import memory
import speed
from rows import Row, table
from running import RunError

PARTS = ("speed", "start", "memory")
# Processors that the suite of the part `speed` is given.
CORES = 2
TESTS, QUICK_TESTS = 2000, 200
# Each has its own: a start is short and the differences between starts are small, memory hardly varies.
SPEED_TIMES, START_TIMES, MEMORY_TIMES = 3, 7, 3


def main() -> int:
    """Measure, print a table for each part, and write it as JSON where that was asked for; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="one minute, not ten: to see that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there as well")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure (default: all)")
    parser.add_argument(
        "--repetitions",
        type=int,
        help=f"default: {SPEED_TIMES} of speed, {START_TIMES} of start, {MEMORY_TIMES} of memory",
    )
    chosen = parser.parse_args()
    # Whoever ends us ends us in order, with the servers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    load, rows = os.getloadavg(), list[Row]()
    try:
        with_cores = _keep_to_cores()
        for name, part in _parts(chosen).items():
            if name in chosen.parts:
                print(f"{time.strftime('%H:%M:%S')} {name}", file=sys.stderr, flush=True)
                found = list(part())
                print(table(found), flush=True)
                rows += found
    except RunError as error:
        print(error, file=sys.stderr)
        return 1
    if chosen.json is not None:
        facts = {
            "python": sys.version.split()[0], "platform": sys.platform, "cores": with_cores, "quick": chosen.quick,
            "load_before": load, "load_after": os.getloadavg(),
        }  # fmt: skip
        document = {**facts, "rows": [row.document() for row in rows]}
        chosen.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 0


def _keep_to_cores() -> int:
    """Keep to two processors, servers and workers too; gives how many there are now."""
    allowed = sorted(os.sched_getaffinity(0))[:CORES]
    os.sched_setaffinity(0, allowed)
    return len(allowed)


def _parts(chosen: argparse.Namespace) -> dict[str, Callable[[], Iterator[Row]]]:
    tests = QUICK_TESTS if chosen.quick else TESTS

    def times(full: int) -> int:
        return chosen.repetitions or (1 if chosen.quick else full)

    return {
        "speed": partial(speed.measure, tests, times(SPEED_TIMES)),
        "start": partial(beginning.measure, times(START_TIMES), uncounted=0 if chosen.quick else 1),
        "memory": partial(memory.measure, tests, times(MEMORY_TIMES)),
    }


if __name__ == "__main__":
    sys.exit(main())
