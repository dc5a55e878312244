"""What a process of Python that a guarded test started begins with; see `pytest_pristine_watch.pth`."""

from __future__ import annotations

import os

from pytest_pristine.verify.sqlite_guard.notes import VARIABLE, Note, Notes, current_test

_begun: list[bool] = []


def begin() -> None:
    """Watch this process until it ends. Whatever goes wrong is told to the process that runs the tests."""
    if _begun:
        return  # Python runs the lines of .pth files twice in a virtual environment
    _begun.append(True)
    notes = Notes(os.environ[VARIABLE])
    try:
        from pytest_pristine.verify.sqlite_guard import uses  # they may be what fails
        from pytest_pristine.verify.sqlite_guard.watch import Watch

        root, allow = notes.orders()
        Watch(current_test(), root, allow, notes, process=uses.IN_CHILD).begin()
    except FileNotFoundError:
        return  # the run is over
    except Exception as error:  # noqa: BLE001 - the process itself must not notice
        test = current_test()
        notes.add(Note(test, None, f"{test} started a process of Python that was not watched: {error!r}"))
