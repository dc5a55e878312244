"""Time that tests cannot stop: a deadline that is waited for while they have it frozen would never come.

freezegun puts functions of its own in the place of those of the module `time`, in that module and wherever another has
them under a name; time-machine changes what the wall clock tells. The plugin imports this before any test runs.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

# Within a tuple freezegun does not look.
_COUNTERS = (time.perf_counter,)
_DATETIMES = (datetime,)


def now() -> float:
    """Seconds since some moment: for deadlines, and for what something takes."""
    return _COUNTERS[0]()


def utc() -> datetime:
    """The time of day, in UTC."""
    return _IMPORTED_AT + timedelta(seconds=now() - _IMPORTED)


_IMPORTED, _IMPORTED_AT = now(), _DATETIMES[0].now(UTC)
