"""Measures, and keeps the results with the machine, the date and how busy it was, for the page of benchmarks.

python bench/record.py [start workers restore session ...] [--quick]

`python3 dev.py docs --write` makes docs/benchmarks.md of what is kept.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

BENCH = Path(__file__).resolve().parent
RESULTS = BENCH / "results"


@dataclass(frozen=True)
class Measurement:
    """A script that measures and can write its result as JSON.

    Attributes:
        script: Its path below `bench/`.
        arguments: What it is called with.
        quick: What more it is called with to see that it works.
        keeps_its_own: Where it is kept as the script writes it, below `bench/`: it tells machine and date itself.
    """

    script: str
    arguments: tuple[str, ...] = ()
    quick: tuple[str, ...] = ()
    keeps_its_own: str | None = None


ALL = {
    "start": Measurement("start.py", quick=("--repetitions", "1")),
    "workers": Measurement("workers/run.py", quick=("--quick",)),
    "schema-coverage": Measurement("schema_coverage.py", quick=("--rounds", "1", "--tests", "50")),
    "report": Measurement("report.py", quick=("--tests", "200", "--tables", "20")),
    "proof": Measurement("restore/proof.py", quick=("--tables", "10", "--repetitions", "20")),
    "session": Measurement("restore/session.py", quick=("--tables", "10", "--repetitions", "20")),
    "fresh": Measurement("restore/fresh.py", quick=("--tables", "10", "--repetitions", "3")),
    "layers": Measurement("restore/layers.py", quick=("--tables", "10", "--rows", "100", "--rounds", "1")),
    "restore": Measurement(
        "restore/run.py",
        ("--roles", "superuser", "--parts", "matrix", "bulk", "lookup", "session",
         "--plot", str(BENCH / "restore/results/superuser.svg")),
        ("--quick",),
        "restore/results/superuser.json",
    ),
}  # fmt: skip


def main() -> int:
    """Measure what was asked for, or everything; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ALL)} (default: all)")
    parser.add_argument(
        "--quick", action="store_true", help="a few minutes: does it work? Shows the results, and keeps none"
    )
    chosen = parser.parse_args()
    unknown = [name for name in chosen.names if name not in ALL]
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(ALL)}")
    statuses = [record(name, ALL[name], quick=chosen.quick) for name in chosen.names or ALL]
    return int(any(statuses))


def record(name: str, measurement: Measurement, *, quick: bool) -> int:
    """Run a script and keep what it found; gives its exit status."""
    with tempfile.TemporaryDirectory(prefix="pristine-bench-") as scratch:
        result = Path(scratch) / "result.json"
        arguments = [*measurement.arguments, *(measurement.quick if quick else ())]
        load, began = os.getloadavg(), time.monotonic()
        command = [sys.executable, str(BENCH / measurement.script), *arguments, "--json", str(result)]
        status = subprocess.run(command, check=False).returncode
        if status != 0:
            return status
        found = json.loads(result.read_text(encoding="utf-8"))
        if quick:
            print(section(name, found))
            return status
        if measurement.keeps_its_own:
            _write(BENCH / measurement.keeps_its_own, found)
            return status
        facts = {
            "command": f"python3 dev.py bench {name}", "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
            **machine(), "load_before": list(load), "load_after": list(os.getloadavg()),
            "seconds": round(time.monotonic() - began),
        }  # fmt: skip
        _write(RESULTS / f"{name}.json", {**facts, "result": found})
    return status


def section(name: str, found: dict[str, object]) -> str:
    """What the page of benchmarks would show of a result."""
    sys.path.insert(0, str(BENCH.parent))
    from docs.generate import benchmarks  # which stands beside us, and in no package that is installed

    return "\n\n".join(benchmarks.shown(name, found))


def machine() -> dict[str, object]:
    """What the figures were taken on; nothing in it tells whose machine it is."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.exists() else []
    processors = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cores": os.cpu_count(),
        "processor": processors[0] if processors else platform.processor(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": sys.version.split()[0],
    }


def _write(path: Path, document: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(f"kept in bench/{path.relative_to(BENCH)}")


if __name__ == "__main__":
    sys.exit(main())
