"""What restores do, for people: each way has its cost. The figures are from bench/restore, and orders of magnitude."""

from __future__ import annotations

from pytest_pristine.postgres.capabilities import Capabilities


def describe(can: Capabilities) -> str:
    """How restores find out what a test wrote, how they put it back, and what that costs."""
    find = "read in the WAL what a test wrote" if can.wal else "ask every table what a test wrote"
    put_back = "" if can.replica else ", and keep to foreign keys and triggers"
    return f"restores {find}{put_back}: {_cost(can)}"


def _cost(can: Capabilities) -> str:
    if can.wal:
        return "about 0.6 ms"
    return "about 3 ms, and 2 ms for each 100 tables"
