"""What goes to the migration process and what comes back. Importing it costs nothing: Alembic is the other side's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

PROCESS = "pytest_pristine.migrations.upgrade"
PERFORMING = "pytest_pristine.migrations.performing"

# What is performed.
CALL = "call"
MODELS = "models"

SEVERAL_HEADS = "several heads"
STRAY = "stray"
OFFLINE = "offline"
ABSENT = "absent"
NO_TARGET = "no target"
FAILED = "failed"
NOT_ON_TOP = "not on top"

# What the stairway says of a revision that an empty database does not take.
NOT_APPLIED = "it cannot be applied: "


@dataclass(frozen=True, slots=True)
class Request:
    """What to migrate.

    Attributes:
        config: Absolute path of alembic.ini, or of pyproject.toml.
        directory: The directory to run in.
        root: The project's root: what lies below it is the project's own.
        target: The revision to migrate to.
        url: The database, password included.
        ini: Absolute path of alembic.ini; empty when there is none.
        toml: Absolute path of the pyproject.toml that has a section of Alembic's; empty when there is none.
        section: The section of alembic.ini that is Alembic's.
        database: The one of several databases that `databases` in alembic.ini names; empty when it is no matter.
        x: What `alembic -x` would be given.
        base: The revisions that the database has already, in the order in which they ran; none for an empty database.
        facts: What those found when they began; see `footing`.
        is_watched: See what the revisions do; see `witness`.
    """

    config: str
    directory: str
    root: str
    target: str
    url: str = field(repr=False)
    ini: str = ""
    toml: str = ""
    section: str = "alembic"
    database: str = ""
    x: Sequence[str] = ()
    base: Sequence[str] = ()
    facts: str = ""
    is_watched: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """What to do.

    Attributes:
        kind: One of this module's words.
        target: What to call, or the models: `package.module:name`.
        directory: Where to do it.
        root: The project's root: what lies below it is the project's own.
        url: The database, password included.
        modules: Modules that are imported before.
        arguments: What is called with, password included.
        extensions: The extensions that are created before the tables are.
    """

    kind: str
    target: str
    directory: str
    root: str
    url: str = field(repr=False)
    modules: Sequence[str] = ()
    arguments: Sequence[str] = field(default=(), repr=False)
    extensions: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What happened.

    Attributes:
        problem: None when the database is at the target; else one of this module's words.
        message: The problem in the words of Alembic, the server or the script.
        revision: The revision that raised, if one did.
        file: Its file.
        inputs: What the migrations read; see `fingerprint`.
        output: What they printed.
        extension: The extension that the server has not and a migration creates, if that was the problem.
        evidence: What was found after them; see `evidence`. Empty when nothing was looked at.
        state: The code that the server gives the problem, if it is one of the server's.
        footing: Whether others may be applied on top of them; see `footing`. Empty when nobody watched.
        variable: The environment variable that the project asked for and is not set, if that was the problem.
    """

    problem: str | None
    message: str = ""
    revision: str = ""
    file: str = ""
    inputs: dict[str, str] = field(default_factory=dict)
    output: str = ""
    extension: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)
    state: str = ""
    footing: dict[str, Any] = field(default_factory=dict)
    variable: str = ""
