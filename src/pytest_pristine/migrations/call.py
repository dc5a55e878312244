"""A function of the project's that is given the URL and makes the schema."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from sqlalchemy.engine import URL

from pytest_pristine.migrations import arrival, fingerprint, messages, words, work
from pytest_pristine.migrations.evidence import Evidence, Migrated
from pytest_pristine.migrations.fingerprint import Inputs
from pytest_pristine.migrations.messages import Task
from pytest_pristine.migrations.surroundings import Surroundings
from pytest_pristine.postgres import names

Function: TypeAlias = Callable[..., object] | Callable[..., Awaitable[object]]

_DOUBT = "whether it is at the head of a history a function does not tell"
# Modules that the process of a function would import as another file, or not at all.
_OF_PYTEST = ("conftest", "__main__", "__mp_main__")
_PLAIN = (str, int, float, bool, bytes, type(None))


@dataclass(frozen=True)
class Call:
    """Calls a function with the URL: `Call("shop.db:migrate")`. It may be a coroutine's.

    It is called in a process of its own, which imports the module; a function that cannot be imported there, such as
    one of a conftest.py, is called in this one.

    Attributes:
        function: `package.module:name`, or the function itself.
        arguments: What it is called with, each a text in which `{url}` stands for the URL as SQLAlchemy has it,
            `{url:postgresql}` for the one without a driver, and `{url:postgresql+asyncpg}` for the one of that driver.
        inline: Call it in this process.
        root: The project's root: of pytest, when it is not given.
        limit: Seconds after which the process is ended; None for as long as it takes.
        surroundings: Those of the process for which it migrates; of this one when they are not given.
    """

    function: str | Function
    arguments: Sequence[str] = ("{url}",)
    inline: bool = False
    root: Path | None = None
    limit: float | None = None
    surroundings: Surroundings | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        return f"call: {self._target}"

    def fingerprint(self) -> str:
        """A digest of what is called and with what. What the function reads turns out when it is called."""
        given = () if isinstance(self.function, str) else _source(self.function)
        return names.digest("call", self._target, json.dumps(list(self.arguments)), *given)

    def current(self, inputs: Inputs) -> bool:
        """Whether everything that an earlier call read is unchanged."""
        return fingerprint.unchanged(inputs, self._root())

    def migrate(self, url: URL) -> Migrated:
        """Call the function, and check that it made something in this database.

        Raises:
            StepConfigError: There is no such function.
            StepFailedError: It raised.
            StrayMigrationError: It connected elsewhere, or left an empty database empty.
        """
        task = Task(
            messages.CALL,
            self._target,
            str(self._root()),
            str(self._root()),
            url.render_as_string(hide_password=False),
            arguments=tuple(words.fill(argument, url) for argument in self.arguments),
        )
        with arrival.expected(url, str(self), ["have it use the URL that it is given"]):
            if self.inline or not _is_importable(self.function):
                found = None if isinstance(self.function, str) else self.function
                answer = work.done_here(task, found, str(self))
            else:
                answer = work.done(task, str(self), self.limit, self.surroundings, {})
        return Migrated(answer.inputs, Evidence(ran=[str(self)], doubt=_DOUBT))

    @property
    def _target(self) -> str:
        if isinstance(self.function, str):
            return self.function
        function = inspect.unwrap(_inner(self.function))
        return f"{function.__module__}:{getattr(function, '__qualname__', type(function).__name__)}"

    def _root(self) -> Path:
        return (self.root or Path.cwd()).resolve()


def _inner(function: Function) -> Function:
    return _inner(function.func) if isinstance(function, functools.partial) else function


def _is_importable(function: str | Function) -> bool:
    """Whether another process finds it by its name."""
    if isinstance(function, str):
        return True
    module, name = getattr(function, "__module__", ""), getattr(function, "__qualname__", "")
    if not module or not name or module.rpartition(".")[2] in _OF_PYTEST:
        return False
    found: object = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    try:
        return found is function and importlib.util.find_spec(module) is not None
    except ValueError:  # a module that was made otherwise
        return False


def _source(function: Function) -> list[str]:
    """What tells a function from another of the same name: its text, and the plain values that it was made with."""
    inner = _inner(function)
    given: list[object] = [inner]
    while isinstance(function, functools.partial):
        given += [function.args, sorted(function.keywords.items())]
        function = function.func
    try:
        text = inspect.getsource(inspect.unwrap(inner))
    except (OSError, TypeError):
        text = ""
    try:
        given += sorted(inspect.getclosurevars(inner).nonlocals.items())
    except (TypeError, ValueError):
        given += []  # an object that can be called
    return [text, *(repr(value) for value in given[1:] if _is_plain(value))]


def _is_plain(value: object) -> bool:
    """Whether a value is written the same in each run."""
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return isinstance(value, _PLAIN)
