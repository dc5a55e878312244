"""Files of SQL: a folder of migrations, or a plain dump of pg_dump's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import URL

from pytest_pristine.migrations import fingerprint, sql_order
from pytest_pristine.migrations.evidence import Evidence, Migrated
from pytest_pristine.migrations.fingerprint import Inputs
from pytest_pristine.postgres import names


@dataclass(frozen=True)
class SqlFiles:
    """Runs files of SQL: `SqlFiles("db/migrations")`.

    The files of a directory and those below it are run in the order of the numbers in their names. Each is run in a
    transaction of its own, unless it says `-- pristine: no-transaction`, or the same in the words of dbmate, goose,
    sqlx, sql-migrate or Atlas. What leads down again is left out.

    Attributes:
        path: A directory, a file, or a pattern such as `db/*.sql`, relative to the root.
        root: The project's root: of pytest, when it is not given.
    """

    path: str | Path
    root: Path | None = None

    def __str__(self) -> str:
        return f"sql: {Path(self.path).as_posix()}"

    def files(self) -> list[Path]:
        """The files, in the order in which they are run.

        Raises:
            StepConfigError: There is none.
        """
        return sql_order.files(str(self.path), self._root())

    def fingerprint(self) -> str:
        """A digest of the files, in their order."""
        lines = (f"{self._shown(path)} {fingerprint.file_digest(path)}" for path in self.files())
        return names.digest("sql", fingerprint.text_digest(lines))

    def current(self, inputs: Inputs) -> bool:  # noqa: ARG002 - a migrator's signature
        """All that decides is known beforehand."""
        return True

    def migrate(self, url: URL) -> Migrated:
        """Run the files.

        Raises:
            StepConfigError: There is none, or one cannot be read.
            StepFailedError: The server rejects a statement; file and line are named.
        """
        from pytest_pristine.migrations import sql_running  # a warm start never needs it

        files = self.files()
        sql_running.run(files, url, self._shown)
        number = f"{len(files)} file{'' if len(files) == 1 else 's'}, the last {files[-1].name}"
        return Migrated({}, Evidence(ran=[f"{self} ({number})"]))

    def _root(self) -> Path:
        return (self.root or Path.cwd()).resolve()

    def _shown(self, path: Path) -> str:
        root = self._root()
        return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
