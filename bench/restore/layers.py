"""What a layer of data costs: to load it, to enter it when it was loaded before, and to go back and forth.

python bench/restore/layers.py [--rounds 9] [--tables 10 100] [--rows 1000 100000] [--postgres 18] [--json FILE]
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import schema
import servers
from sqlalchemy import Engine, text
from sqlalchemy.engine import URL

from pytest_pristine.isolation.catalogue import Coverage
from pytest_pristine.isolation.isolation import Isolation
from pytest_pristine.isolation.layers import Layers
from pytest_pristine.loading.loader import Loader
from pytest_pristine.postgres import capabilities, connections
from pytest_pristine.templates.run import Run

Figure = dict[str, object]
_HERE = Path(__file__).parent
# Seconds to wait for a lock: the default of `pristine_restore_timeout`.
_TIMEOUT = 5.0
_INSERT = "INSERT INTO table_0000 (email, data) SELECT {} || n, '{{}}' FROM generate_series(1, {}) n"


class Tables:
    """A migrator that makes the tables of the benchmark."""

    def __init__(self, number: int) -> None:
        """Note how many they are."""
        self._number = number

    def fingerprint(self) -> str:
        """Their number."""
        return f"{self._number} tables"

    def migrate(self, url: URL) -> dict[str, str]:
        """Make them."""
        with servers.connect(url) as connection:
            for statement in schema.ddl(self._number):
                connection.execute(statement)
        return {}

    def current(self, _: object) -> bool:
        """They never change."""
        return True


def load(number: int, name: str, engine: Engine) -> None:
    """Load rows into the first table."""
    with engine.begin() as connection:
        connection.execute(text(_INSERT.format(f"'{name}'", number)))


def main() -> None:
    """Measure, and print a table for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=9, help="default: %(default)s")
    parser.add_argument("--tables", type=int, nargs="+", default=[10, 100], help="default: %(default)s")
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 100_000], help="default: %(default)s")
    parser.add_argument("--postgres", type=int, default=18, help="major version; default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there as well")
    chosen = parser.parse_args()
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as data:  # noqa: S108 - as the product's own servers have it
        Path(data).chmod(0o711)
        with servers.running(chosen.postgres, Path(data)) as server:
            for tables in chosen.tables:
                for rows in chosen.rows:
                    found = measure(server, tables, rows, chosen.rounds)
                    figures += [{"tables": tables, "rows": rows, **each} for each in found]
    if chosen.json is not None:
        document = {"postgres": chosen.postgres, "rounds": chosen.rounds, "rows": figures}
        chosen.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def measure(server: servers.Server, tables: int, rows: int, rounds: int) -> list[Figure]:
    """Measure with one number of tables and rows."""
    found: list[Figure] = []
    told = functools.partial(told_to, found)
    print(f"{tables} tables, {rows:,} rows in each of two layers; milliseconds: median (least, most)")
    run = Run(server.url, None, project="bench", session="bench")
    with run.lease(Tables(tables), "main") as workspace:  # type: ignore[arg-type]
        with connections.connect(workspace.url, "bench") as connection:
            can = capabilities.inspect(connection)
        isolation = Isolation(
            workspace.url,
            Coverage(),
            capabilities=can,
            timeout=_TIMEOUT,
            rebuild=workspace.rebuild,
            hold=workspace.hold,
        )  # fmt: skip
        layers = Layers(workspace, isolation, _HERE, is_as_made=True)
        first, second = (functools.partial(load, rows, name) for name in ("a", "b"))
        with layers.root.layer(first) as a, layers.root.layer(second) as b:
            told("a switch to another layer", rounds, lambda: layers.stand_on(a), lambda: layers.stand_on(b))
            told("a switch back to the migrations", rounds, lambda: layers.stand_on(layers.root),
                 lambda: layers.stand_on(b))  # fmt: skip
            layers.stand_on(a)
            with servers.connect(workspace.url) as client:
                told("a restore after three rows in three tables", rounds, isolation.restore, lambda: write(client))
                told("a restore after an UPDATE of 100 rows that were loaded", rounds, isolation.restore,
                     lambda: client.execute("UPDATE table_0000 SET data = '[]' WHERE id <= 100"))  # fmt: skip
        numbers = iter(range(rounds))
        told("loading and entering it", rounds, lambda: enter(layers, next(numbers), rows))
        told("its fingerprint alone", rounds, lambda: Loader.of(first, [], _HERE))
        isolation.close()
    return found


def enter(layers: Layers, number: int, rows: int) -> None:
    """Enter a layer that nobody has loaded."""
    with layers.root.layer(functools.partial(load, rows, f"n{number}-")):
        pass


def write(client: servers.Connection) -> None:
    """Write what a test writes."""
    for number in range(3):
        for _ in range(3):
            client.execute(f"INSERT INTO table_000{number} (email, data) VALUES (gen_random_uuid(), '{{}}')")  # type: ignore[arg-type] # noqa: S608 - a number


def told_to(
    figures: list[Figure],
    what: str,
    rounds: int,
    measured: Callable[[], object],
    before: Callable[[], object] = lambda: None,
) -> None:
    """Measure something some times, print it, and add it to the figures."""
    found = []
    for _ in range(rounds):
        before()
        began = time.perf_counter()
        measured()
        found.append((time.perf_counter() - began) * 1000)
    median = statistics.median(found)
    print(f"  {what:<56} {median:8.1f}  ({min(found):.1f}, {max(found):.1f})", flush=True)
    figures.append({"what": what, "milliseconds": {"median": median, "lowest": min(found), "highest": max(found)}})


if __name__ == "__main__":
    main()
