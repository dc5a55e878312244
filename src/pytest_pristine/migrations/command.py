"""Any command that is given the URL of the database and makes the schema in it."""

from __future__ import annotations

import json
import os
import shutil
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.engine import URL

from pytest_pristine.errors import StepConfigError, StepFailedError
from pytest_pristine.migrations import arrival, child, fingerprint, tree, words
from pytest_pristine.migrations.evidence import Evidence, Migrated
from pytest_pristine.migrations.fingerprint import Inputs
from pytest_pristine.migrations.surroundings import Surroundings
from pytest_pristine.postgres import exported, names, urls
from pytest_pristine.settings.exports import Export

# What most applications and tools read. One that was exported for development must not lead the command there.
_USUAL = "DATABASE_URL"
# What libpq reads, and so psql, pg_restore and most other clients, by the names of its parameters.
_OF_LIBPQ = {
    "host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD",
    "dbname": "PGDATABASE", "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY", "channel_binding": "PGCHANNELBINDING", "options": "PGOPTIONS", "passfile": "PGPASSFILE",
}  # fmt: skip
# A service overrules all of these.
_OVERRULING = ("PGSERVICE",)
# Names before a command that are no variable of its own: the files and directories that it reads, with commas.
INPUTS = "PRISTINE_INPUTS"
# The Python that runs the tests, whatever is first on the PATH.
_PYTHON = ("python", "python3")
# Lines of the command's output that an error quotes.
_OUTPUT_LINES = 20

_DOUBT = "whether it is at the head of a history a command does not tell"


@dataclass(frozen=True)
class Command:
    """Makes the schema with a command.

    It runs in the project's root, without a shell, and gets the URL where `{url}` stands in it, in `DATABASE_URL`, and
    as the variables that libpq reads: `PGHOST`, `PGDATABASE` and so on.

    Attributes:
        command: The command and its arguments; or one text with them, and with variables before them as a shell has
            it: `"APP_DB={url} python -m app.db upgrade"`. `{url}` stands for `postgresql://…`, and
            `{url:postgresql+asyncpg}` for the URL of that driver. A command line can be read by everybody on the
            machine: rather have it take the URL from a variable. `python` is the Python that runs the tests.
        environment: Variables that it gets besides our own; `{url}` in a value stands for the URL.
        inputs: Files and directories that it reads, relative to the root: what it makes is reused as long as they, the
            command and the installed packages are the same. All files of the project when it is not given.
        root: The project's root: of pytest, when it is not given.
        limit: Seconds after which it is ended; None for as long as it takes.
        surroundings: Those of the process for which it migrates; of this one when they are not given.
        exports: Variables that name the database to the application; by default those of the setting
            `pristine_export`.
    """

    command: str | Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    inputs: Sequence[str | Path] | None = None
    root: Path | None = None
    limit: float | None = None
    surroundings: Surroundings | None = field(default=None, repr=False, compare=False)
    exports: tuple[Export, ...] = ()

    def __str__(self) -> str:
        return f"command: {' '.join(self._words)}"

    def fingerprint(self) -> str:
        """A digest of the command, of what it reads or may read, and of all installed packages."""
        root, path = self._root(), self._around().path
        files = tree.digest(root, path) if self._inputs is None else tree.of_paths(root / each for each in self._inputs)
        variables = [json.dumps(self._variables, sort_keys=True), *map(str, self.exports)]
        return names.digest("command", *self._words, *variables, files, fingerprint.packages_digest())

    def current(self, inputs: Inputs) -> bool:  # noqa: ARG002 - a migrator's signature
        """All that decides is known beforehand."""
        return True

    def migrate(self, url: URL) -> Migrated:
        """Run the command, and check that it made something in this database.

        Raises:
            StepConfigError: There is no such program.
            StepFailedError: It ended with another status than 0.
            StrayMigrationError: It left an empty database empty.
        """
        remedy = [
            "give it the URL in the way in which it takes it: {url} stands for it, in an argument or variable",
            f"in the ini file: pristine_migrations = command: NAME={{url}} {' '.join(self._words)}",
        ]
        with arrival.expected(url, str(self), remedy):
            self._run(url)
        return Migrated({}, Evidence(ran=[str(self)], doubt=_DOUBT))

    def _run(self, url: URL) -> None:
        environ = self._environ(url)
        command = [self._program(environ), *(words.fill(word, words.plain(url)) for word in self._words[1:])]
        try:
            status, output = child.call(command, self._root(), environ, self.limit)
        except OSError as error:
            raise self._not_there(str(error)) from None
        if status != 0:
            how = f"ended with status {status}" if status is not None else f"was not done within {self.limit:g} s"
            said = urls.redact("\n".join(output.strip().splitlines()[-_OUTPUT_LINES:]), url)
            raise StepFailedError(
                f"to make the schema with {self}",
                f"it {how}" + (f"\nits output:\n{said}" if said else ", and printed nothing"),
                ["mend what it says", f"it is run in {self._root()}, and finds the database in {_USUAL} and PGHOST, …"],
            )

    @property
    def _parts(self) -> tuple[dict[str, str], list[str]]:
        """The variables that are written before the command, and its words."""
        if not isinstance(self.command, str):
            return {}, list(self.command)
        try:
            found = words.assignments(words.split(self.command))
        except ValueError as error:
            raise StepConfigError(str(error), self.command, ["close the quotes"]) from None
        if not found[1]:
            raise StepConfigError("a command that makes the schema", f"none: {self.command!r}", ["name a program"])
        return found

    @property
    def _words(self) -> list[str]:
        return self._parts[1]

    @property
    def _variables(self) -> dict[str, str]:
        given = {**self._parts[0], **self.environment}
        return {name: value for name, value in given.items() if name != INPUTS}

    @property
    def _inputs(self) -> Sequence[str | Path] | None:
        written = self._parts[0].get(INPUTS)
        return self.inputs if written is None else [each for each in written.split(",") if each]

    def _root(self) -> Path:
        return (self.root or Path.cwd()).resolve()

    def _around(self) -> Surroundings:
        return self.surroundings or Surroundings.here()

    def _environ(self, url: URL) -> dict[str, str]:
        """The environment: ours, with the database, and with the project's modules and programs where it finds them."""
        around = self._around()
        environ = {name: value for name, value in around.environ.items() if name not in _OVERRULING}
        own = fingerprint.own_directories(around.path)
        before = environ.get("PYTHONPATH", "").split(os.pathsep)
        path = os.pathsep.join(dict.fromkeys(filter(None, [*own, *before])))
        if path:
            environ["PYTHONPATH"] = path
        environ["PATH"] = os.pathsep.join(filter(None, [sysconfig.get_path("scripts"), environ.get("PATH")]))
        arguments = urls.conninfo(url)
        environ |= {name: str(arguments[key]) for key, name in _OF_LIBPQ.items() if key in arguments}
        environ[_USUAL] = words.render(words.plain(url))
        for name, value in exported.variables(self.exports, url).items():
            environ.pop(name, None)
            environ |= {} if value is None else {name: value}
        return environ | {name: words.fill(value, words.plain(url)) for name, value in self._variables.items()}

    def _program(self, environ: Mapping[str, str]) -> str:
        """The program, where it is found as a shell in the project's root would find it."""
        name = self._words[0]
        if name in _PYTHON:
            return sys.executable
        path = name if os.path.dirname(name) == "" else str(self._root() / name)  # noqa: PTH120 - "./x" is no "x"
        found = shutil.which(path, path=environ["PATH"])
        if found is None:
            raise self._not_there("no such program on the PATH" if path == name else f"no program {path}")
        return found

    def _not_there(self, found: str) -> StepConfigError:
        return StepConfigError(
            f"to make the schema with {self}", found,
            ["install it, or give its path relative to the project's root; there is no shell"],
        )  # fmt: skip
