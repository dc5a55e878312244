"""Which transactions had ended: pure arithmetic on transaction ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_pristine.postgres import connections, snapshots
from pytest_pristine.postgres.snapshots import Snapshot

if TYPE_CHECKING:
    from tests.conftest import Server

EPOCH = 2**32
# Where ids begin in these tests: at once, before the first wrap-around, before the second.
STARTS = (1000, EPOCH - 2, 2 * EPOCH - 1)


@pytest.mark.parametrize("start", STARTS)
def test_reading(start: int) -> None:
    """A snapshot is read as Postgres writes it, and the next id gets its upper half back."""
    text = f"{start}:{start + 6}:{start + 3},{start}"
    found = snapshots.read(text, (start + 8) % EPOCH)
    assert found == Snapshot(start + 6, (start, start + 3), start + 8)


def test_reading_one_in_which_nothing_runs() -> None:
    """A snapshot without running transactions has an empty last part."""
    assert snapshots.read("1000:1000:", 1000) == Snapshot(1000, (), 1000)


@pytest.mark.parametrize("start", STARTS)
def test_open_transactions(start: int) -> None:
    """Open are those that run, and those that took an id after the last one that ended."""
    assert Snapshot(start + 3, (start,), start + 5).open == (start, start + 3, start + 4)
    assert Snapshot(start, (), start).open == ()


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("later", [0, 1, 5])
def test_the_next_id_at_a_later_time(start: int, later: int) -> None:
    """The next id that the server tells with its upper half lost is never before the snapshot's."""
    assert Snapshot(start, (), start + 1).following_at((start + later) % EPOCH) == start + later


@pytest.mark.parametrize("start", STARTS)
def test_what_is_to_be_seen_after_our_own(start: int) -> None:
    """When nobody else took an id, the next snapshot can be told; what ran runs on."""
    quiet = Snapshot(start, (), start)
    assert quiet.after([]) == quiet
    assert quiet.after([start]) == Snapshot(start + 1, (), start + 1)
    assert quiet.after([start, start + 1]) == Snapshot(start + 2, (), start + 2)
    busy = Snapshot(start + 3, (start,), start + 5)
    assert busy.after([]) == busy
    assert busy.after([start + 5]) == Snapshot(start + 6, (start, start + 3, start + 4), start + 6)


@pytest.mark.parametrize("own", [[1001], [1000, 1002], [1001, 1002], [1000, 1001, 1003]])
def test_when_others_took_ids_in_between(own: list[int]) -> None:
    """When the ids that we took are not the next ones in a row, somebody else took one, and nothing can be told."""
    assert Snapshot(1000, (), 1000).after(own) is None


def test_ids_that_we_took_before_the_next_one_was_asked_for() -> None:
    """One that we took and ended between the snapshot and the next id has ended in what is to be seen."""
    seen = Snapshot(1000, (998,), 1002)
    assert seen.after([1001]) == Snapshot(1002, (998, 1000), 1002)
    assert seen.after([1000]) == Snapshot(1001, (998,), 1002)
    assert seen.after([1001, 1002]) == Snapshot(1003, (998, 1000), 1003)


@pytest.mark.parametrize(("full", "short"), [(1000, "1000"), (EPOCH + 7, "7"), (3 * EPOCH - 1, "4294967295")])
def test_ids_in_rows(full: int, short: str) -> None:
    """Rows hold the lower half of an id."""
    assert snapshots.short(full) == short


def test_the_server_gives_the_next_id(server: Server) -> None:
    """The next id is the one that the next transaction is given, and one that is open is seen to be."""
    look = f"SELECT pg_current_snapshot()::text, {snapshots.NEXT}"
    with connections.connect(server.url, "test") as connection, server.connect() as client:
        for _ in range(5):
            text, following = connection.execute(look.encode()).fetchone() or ("", 0)
            foretold = snapshots.read(str(text), int(str(following))).following
            client.execute("BEGIN")
            (xid,) = client.execute("SELECT pg_current_xact_id()::text::bigint").fetchone() or (0,)
            text, following = connection.execute(look.encode()).fetchone() or ("", 0)
            client.execute("ROLLBACK")
            assert xid in snapshots.read(str(text), int(str(following))).open
            if xid == foretold:
                return  # somebody else, such as autovacuum, may take one in between
        pytest.fail("the next id was never the one foretold")
