"""What a proof costs, beside the restore that it proves.

python bench/restore/proof.py [--tables 10 100 500] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import schema
import servers

from pytest_pristine.isolation.catalogue import Coverage
from pytest_pristine.isolation.isolation import Isolation
from pytest_pristine.isolation.proof import ALWAYS, SAMPLED
from pytest_pristine.postgres import capabilities, connections

_DATA = Path("/dev/shm") if Path("/dev/shm").exists() else None  # noqa: S108 - a directory of its own is made in it
_DIRTY = 3
# What is measured: milliseconds, and parts of the time of all restores.
_COLUMNS = ("restore", "proof", "share, always", "share, sampled", "last proof")
# Restores before those that are measured.
_WARM = 20


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, nargs="+", default=[10, 100, 500, 1000])
    parser.add_argument("--repetitions", type=int, default=300)
    parser.add_argument("--major", type=int, default=18)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there as well")
    chosen = parser.parse_args()
    rows = []
    print("three dirty tables, medians in ms; the share is that of all proofs in all restores")
    print(f"{'tables':>7}{'restore':>9}{'proof':>8}{'share, always':>15}{'share, sampled':>16}{'last proof':>12}")
    with servers.running(chosen.major, _DATA or Path.cwd()) as server:
        for tables in chosen.tables:
            row = _measure(server.world(servers.SUPERUSER), tables, chosen.repetitions)
            print("{:>7}{:>9.2f}{:>8.2f}{:>14.0%} {:>15.1%} {:>11.1f}".format(tables, *row), flush=True)
            rows.append({"tables": tables, **dict(zip(_COLUMNS, row, strict=True))})
    if chosen.json is not None:
        found = {"postgres": chosen.major, "repetitions": chosen.repetitions, "rows": rows}
        chosen.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def _measure(world: servers.World, tables: int, repetitions: int) -> tuple[float, float, float, float, float]:
    name = f"proof_{tables}"
    world.create(name)
    with servers.connect(world.database(name)) as connection:
        schema.create(connection, tables)
        work = schema.writing(schema.spread(tables, _DIRTY))
        with connections.connect(world.database(name), "bench") as asking:
            can = capabilities.inspect(asking)
        found = {}
        for mode in (ALWAYS, SAMPLED):
            isolation = Isolation(
                world.database(name), Coverage(), capabilities=can, timeout=5, rebuild=_refuse, proof=mode
            )
            restores, proofs = _run(isolation, connection, work, repetitions)
            share = isolation.proof.spent / isolation.proof.restoring
            began = time.perf_counter()
            assert isolation.prove(last=True) == []  # noqa: S101 - it is what is measured
            found[mode] = restores, proofs, share, time.perf_counter() - began
            isolation.close()
    world.drop(name)
    always, sampled = found[ALWAYS], found[SAMPLED]
    return (
        statistics.median(always[0]) * 1000, statistics.median(always[1]) * 1000, always[2], sampled[2],
        always[3] * 1000,
    )  # fmt: skip


def _run(
    isolation: Isolation, connection: servers.Connection, work: schema.Work, repetitions: int
) -> tuple[Sequence[float], Sequence[float]]:
    restores, proofs = [], []
    for number in range(_WARM + repetitions):
        if number == _WARM:
            isolation.proof.spent = isolation.proof.restoring = 0.0
            restores, proofs = [], []
        with connection.transaction():
            work.do(connection)
        began = time.perf_counter()
        isolation.restore("test")
        restores.append(time.perf_counter() - began)
        if isolation.proof.is_due():
            began = time.perf_counter()
            isolation.prove()
            proofs.append(time.perf_counter() - began)
    return restores, proofs


def _refuse() -> None:
    """Nothing that is measured changes the schema."""
    raise AssertionError("the database was taken for spoiled")


if __name__ == "__main__":
    main()
