"""Handing a task to the process that performs it, or performing it here; and what its answers mean."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy.engine import URL

from pytest_pristine.errors import (
    MigrationError,
    MissingExtensionError,
    StepConfigError,
    StepFailedError,
    StrayMigrationError,
)
from pytest_pristine.migrations import child, messages, surroundings
from pytest_pristine.migrations.messages import Answer, Task
from pytest_pristine.migrations.surroundings import Surroundings
from pytest_pristine.postgres import urls

# Lines of what it printed that an error quotes.
_OUTPUT_LINES = 20
# undefined_object, undefined_function: a type or a function of an extension that is not there.
_OF_EXTENSIONS = ("42704", "42883")
_EXTENSIONS = (
    "what an extension has is there once that is created: a line before it, sql: extensions.sql with "
    "CREATE EXTENSION …; for models pristine_extensions = … is enough"
)


def done(
    task: Task, who: str, limit: float | None, around: Surroundings | None, variables: Mapping[str, str | None]
) -> Answer:
    """Have a process of its own do it.

    Args:
        task: What to do.
        who: What does it, for people.
        limit: Seconds after which it is ended; None for as long as it takes.
        around: Where it finds modules, and its environment; those of this process when they are not given.
        variables: Variables that it gets besides.

    Raises:
        MigrationError: It failed.
    """
    reply = child.ask(messages.PERFORMING, task, variables, limit, surroundings=around)
    answer = (
        Answer(messages.FAILED, f"the process {reply.end}", output=reply.output)
        if reply.answer is None
        else Answer(**{**reply.answer, "output": reply.output})
    )
    return checked(answer, who, task)


def done_here(task: Task, found: object, who: str, variables: Mapping[str, str | None]) -> Answer:
    """Do it in this process; what the project's code raises passes.

    Args:
        task: What to do.
        found: The function, or the MetaData; None where the task names it.
        who: What does it, for people.
        variables: Variables that are set meanwhile.

    Raises:
        MigrationError: There is nothing to be called, or it went elsewhere.
    """
    from pytest_pristine.migrations import performing  # imports what is heavy

    with contextlib.chdir(task.directory), surroundings.set_to(variables):
        return checked(performing.perform(task, found, raise_errors=True), who, task)


def checked(answer: Answer, who: str, task: Task) -> Answer:
    """The answer, when it is that all went well.

    Raises:
        MigrationError: It is another.
    """
    if answer.problem is None:
        return answer
    from sqlalchemy.engine import make_url  # a warm start never needs it

    raise _explain(answer, who, task, make_url(task.url))


def _remedies(answer: Answer) -> list[str]:
    if answer.variable:
        return [f"name the variable that it reads: pristine_export = {answer.variable}", "or set it"]
    return [_EXTENSIONS if answer.state in _OF_EXTENSIONS else "mend what it says"]


def _explain(answer: Answer, who: str, task: Task, url: URL) -> MigrationError:
    said = urls.redact("\n".join(answer.message.strip().splitlines()), url)
    sought = f"to make the schema with {who}"
    if answer.problem == messages.ABSENT:
        return StepConfigError(
            sought, said, [f"name it as module:name, where modules are found from {Path(task.root)}"]
        )
    if answer.problem == messages.STRAY:
        return StrayMigrationError(sought, said, ["have it use the URL that it is given"])
    if answer.extension:
        remedy = f"install {answer.extension} on the server, or name a server that has it"
        return MissingExtensionError(sought, said, [remedy], answer.extension, who)
    output = urls.redact("\n".join(answer.output.strip().splitlines()[-_OUTPUT_LINES:]), url)
    return StepFailedError(
        sought,
        said + (f"\nits output:\n{output}" if output else ""),
        [
            *_remedies(answer),
            "for the whole traceback: pristine_migrations_process = inline",
        ],
    )
