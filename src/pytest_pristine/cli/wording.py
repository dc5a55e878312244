"""What there is of ours, in words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from pytest_pristine.servers.inventory import Inventory, Named, Server

_UNITS = ("B", "kB", "MB", "GB", "TB")
_KILO = 1024
_TIMES = (("days", 2 * 86400), ("h", 2 * 3600), ("min", 120), ("s", 1))


def of_inventory(found: Inventory) -> Iterator[str]:
    """Servers, runs and databases, a line each."""
    yield f"home: {found.home}, {size(found.bytes)}"
    for server in found.servers:
        held = f", held by {_number(server.leases, 'run')}" if server.state == "running" else ""
        where = f", {server.address}" if server.address is not None else ""
        keeper = "" if server.keeper is None else ", with a keeper"
        yield f"{server.name}: {server.state}{held}{keeper}, {size(server.bytes)}{where}"
        yield from _contents(server)
    if found.named is not None:
        problem = f": {found.named.problem}" if found.named.problem else ""
        yield f"{found.named.address or 'no server'} ({found.named.origin}){problem}"
        yield from _contents(found.named)
    for copy in found.copies:
        yield f"programs of {copy.name}: {size(copy.bytes)}{'' if copy.installed else ', no longer installed'}"
    if not found.servers:
        yield "no servers"


def _contents(server: Server | Named) -> Iterator[str]:
    for run in server.runs:
        state = "holds its lease" if run.alive else "is over; the next run drops its databases"
        many = f"{_number(run.databases, 'database')}, {size(run.bytes)}"
        yield f"  run {run.id} of {run.project}: {run.owner}, for {_age(run.since)}, {many}, {state}"
    for each in server.databases:
        ages = (("made", each.since), ("used", each.used))
        times = "".join(f", {verb} {_age(at)} ago" for verb, at in ages if at)
        whose = f" for run {each.run}" if each.since and each.run else ""
        whose = f" as {each.test} left it" if each.test else f" by {each.loader}" if each.loader else whose
        whose = f", grown by {each.grown}" if each.grown else whose
        what = f"{each.kind} of {each.project}{whose}, {_number(each.sessions, 'session')}, {size(each.bytes)}"
        yield f"  {each.name}: {what}{times}"


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _age(since: str) -> str:
    """How long ago a time was, for people."""
    try:
        seconds = (datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds()
    except ValueError:
        return "an unknown time"
    for unit, length in _TIMES:
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return "0 s"


def size(number: float) -> str:
    """A number of bytes for people."""
    for unit in _UNITS:
        if number < _KILO or unit == _UNITS[-1]:
            break
        number /= _KILO
    return f"{number:.0f} {unit}" if unit in _UNITS[:2] else f"{number:.1f} {unit}"
