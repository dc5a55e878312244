"""Running the checks: each in bounded time, and none of them keeps the others from being run."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_pristine.diagnosis import findings
from pytest_pristine.diagnosis.context import Context
from pytest_pristine.diagnosis.findings import Finding
from pytest_pristine.errors import PristineError

# Seconds that a theme may take. What it asks answers in milliseconds, or is itself given up after some seconds.
_LIMIT = 60
# Seconds for what starts a server and runs the project's migrations, which import the application.
_LONG = 900


@dataclass(frozen=True, slots=True)
class Theme:
    """A group of lines in the report.

    Attributes:
        name: For programs. It is part of the JSON output and does not change.
        title: For people.
        limit: Seconds that it may take.
        quick: It starts nothing.
    """

    name: str
    title: str
    limit: float = _LIMIT
    quick: bool = True


# Each is a module of this package with a function `check`. It is imported when its turn comes: what cannot be imported
# is a finding too.
THEMES = (
    Theme("packages", "Python and packages"),
    Theme("suite", "pytest"),
    Theme("settings", "Settings"),
    Theme("driver", "Driver"),
    Theme("sources", "Where Postgres comes from"),
    Theme("account", "Account and programs"),
    Theme("storage", "Home directory"),
    Theme("port", "Port"),
    Theme("history", "Alembic"),
    Theme("leftovers", "Leftovers"),
    Theme("models", "Migrations and models", _LONG, quick=False),
)
_MODULES = {"settings": "values"}
_REPORT = ("mend what it says, or report it as a bug of pytest-pristine",)


@dataclass(frozen=True, slots=True)
class Group:
    """A theme and what was found."""

    theme: Theme
    findings: Sequence[Finding]


def run(context: Context, *, quick: bool, themes: Sequence[Theme] = THEMES) -> Iterator[Group]:
    """Run the checks, one theme after the other.

    Args:
        context: What is looked at.
        quick: Leave out what starts a server.
        themes: What to look at.
    """
    for theme in themes:
        if quick and not theme.quick:
            left_out = findings.ok("migrations and models", "not looked at, because of --quick")
            yield Group(theme, [left_out])
        else:
            yield Group(theme, _within_limit(theme, context))


def _within_limit(theme: Theme, context: Context) -> list[Finding]:
    """What a theme finds. One that takes too long is left alone: its thread ends with the process."""
    found: list[Finding] = []
    thread = threading.Thread(target=_collect, args=(theme, context, found), daemon=True)
    thread.start()
    thread.join(theme.limit)
    if thread.is_alive():
        given_up = f"no answer within {theme.limit:g} s; the check was given up"
        return [*found, findings.failed(theme.title, given_up, "see what the processes of Postgres are waiting for")]
    return found


def _collect(theme: Theme, context: Context, found: list[Finding]) -> None:
    """Run a check to its end, or to its error, which is a finding."""
    try:
        module = importlib.import_module(f"{__package__}.{_MODULES.get(theme.name, theme.name)}")
        for finding in module.check(context):
            found.append(finding)  # noqa: PERF402 - what was found before an error counts
    except PristineError as error:
        found.append(findings.of_error(theme.title, error))
    except BaseException as error:  # noqa: BLE001 - whatever it is, the other checks go on
        said = context.redact(f"{type(error).__name__}: {error}")
        found.append(findings.failed(theme.title, f"the check {theme.name!r} ended with {said}", *_REPORT))
