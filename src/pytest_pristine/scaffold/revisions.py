"""The project's Alembic: which alembic.ini, whether the plugin finds it, and whether its env.py takes our database."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from pytest_pristine.diagnosis import history
from pytest_pristine.errors import AlembicConfigError, NoAlembicConfigError, SettingError
from pytest_pristine.migrations import locate
from pytest_pristine.migrations.alembic import Alembic
from pytest_pristine.settings import DEFAULT, OPTION, Value

KEY = "pristine_alembic_config"
_OPTION = "--alembic-config"
_NOT_SET = Value[str | None](None, DEFAULT, DEFAULT)
# Words by which an env.py takes its database from where we put it.
_TAKES_OURS = re.compile(r"attributes|sqlalchemy\.url|get_section|engine_from_config")


def find(root: Path, named: str | None, configured: str | None) -> Path:
    """The project's alembic.ini, and in the words of this command why there is none.

    Args:
        root: The project's root.
        named: What the command was told.
        configured: What pytest's configuration says.

    Raises:
        AlembicConfigError: There is none, or there are several.
        SettingError: The two differ, or the only one lies above the root.
    """
    if named is not None:
        path = locate.alembic_config(root, Value(named, OPTION, _OPTION))
        if configured is not None and path.resolve() != (root / configured).resolve():
            raise SettingError(
                f"{named} as {KEY}", f"it is set to {configured}", [f"change it there, or leave {_OPTION} out"]
            )
        return path
    if configured is not None:
        return locate.alembic_config(root, Value(configured, OPTION, KEY))
    try:
        found = locate.alembic_config(root, _NOT_SET)
    except NoAlembicConfigError as error:
        remedy = [f"pristine init {_OPTION} PATH, if it lies elsewhere", "or make one: alembic init migrations"]
        raise NoAlembicConfigError(error.sought, error.found, remedy) from None
    except AlembicConfigError as error:
        raise AlembicConfigError(error.sought, error.found, [f"pristine init {_OPTION} PATH"]) from None
    if not found.is_relative_to(root):
        raise SettingError(
            f"{locate.NAME} in {root} or below it", f"{found}, above it",
            [f"cd {shlex.quote(str(found.parent))} and try again",
             f"or, if the project's root is here: pristine init {_OPTION} {os.path.relpath(found, root)}"],
        )  # fmt: skip
    return found


def found_by_itself(config: Path, root: Path) -> bool:
    """Whether the plugin needs no setting to find it."""
    try:
        return locate.alembic_config(root, _NOT_SET).resolve() == config.resolve()
    except AlembicConfigError:
        return False


def doubt(config: Path, root: Path) -> str | None:
    """Why env.py will hardly connect to the database that it is given; None when nothing tells.

    Raises:
        AlembicConfigError: There is no script directory.
    """
    with _imports_from(root / "src", root):
        path = Alembic(config, root).scripts() / "env.py"
    if not path.is_file():
        return f"there is no {relative(path, root)}"
    text = path.read_text(encoding="utf-8", errors="replace")
    reason = history.reason_to_doubt(text)
    if reason is None and not _TAKES_OURS.search(text):
        reason = "seems to take its database from elsewhere than Alembic's configuration"
    return reason and f"{relative(path, root)} {reason}"


@contextlib.contextmanager
def _imports_from(*directories: Path) -> Iterator[None]:
    """A script location such as `app:migrations` names a package that pytest can import."""
    before = sys.path[:]
    sys.path[:0] = [str(directory) for directory in directories]
    try:
        yield
    finally:
        sys.path[:] = before


def relative(path: Path, root: Path) -> Path:
    """A path as it can be written into a file of the project: it means the same on another machine."""
    # A link itself is the project's, wherever it leads.
    whole = path.parent.resolve() / path.name
    try:
        return Path(os.path.relpath(whole, root))
    except ValueError:  # another drive of Windows
        return whole
