"""Finding alembic.ini, and what is said when there is none to be found."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_pristine.errors import AlembicConfigError
from pytest_pristine.migrations import locate
from pytest_pristine.settings import DEFAULT, INI, Value
from tests.migrations.conftest import one_line

UNSET: Value[str | None] = Value(None, DEFAULT, DEFAULT)


def make(root: Path, *names: str) -> None:
    """Make empty files below a directory."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_the_roots_own_is_preferred(tmp_path: Path) -> None:
    """An alembic.ini in the root is taken, whatever lies below."""
    make(tmp_path, "alembic.ini", "backend/alembic.ini")
    assert locate.alembic_config(tmp_path, UNSET) == tmp_path / "alembic.ini"


@pytest.mark.parametrize("name", ["backend/alembic.ini", "src/app/alembic.ini", "a/b/c/alembic.ini"])
def test_the_only_one_below_the_root_is_found(tmp_path: Path, name: str) -> None:
    """Without one in the root, the only one up to three directories below is taken."""
    make(tmp_path, name)
    assert locate.alembic_config(tmp_path, UNSET) == tmp_path / name


def test_none_is_an_error_that_says_where_was_looked(tmp_path: Path) -> None:
    """Without any, the message names the root, how deep was looked, the setting, and the command that makes one."""
    make(tmp_path, "a/b/c/d/alembic.ini")
    with pytest.raises(AlembicConfigError) as caught:
        locate.alembic_config(tmp_path, UNSET)
    message = one_line(str(caught.value))
    assert f"sought: alembic.ini in {tmp_path}, up to 3 directories below it, or above it" in message
    assert "found: none" in message
    assert "set pristine_alembic_config in the ini file to its path" in message
    assert "alembic init" in message


def test_several_are_an_error_that_lists_them(tmp_path: Path) -> None:
    """With several below the root, the message lists all of them and the setting that chooses."""
    make(tmp_path, "web/alembic.ini", "api/db/alembic.ini")
    with pytest.raises(AlembicConfigError) as caught:
        locate.alembic_config(tmp_path, UNSET)
    message = one_line(str(caught.value))
    assert "several: api/db/alembic.ini, web/alembic.ini" in message
    assert "set pristine_alembic_config in the ini file to one of them, for example api/db/alembic.ini" in message


@pytest.mark.parametrize(
    "directory", [".hidden", "node_modules", "site-packages", "build", "dist", "__pycache__", "env"]
)
def test_directories_of_others_are_left_out(tmp_path: Path, directory: str) -> None:
    """Hidden directories, virtual environments of any name, node_modules and build products are not searched."""
    make(tmp_path, f"{directory}/alembic.ini", f"{directory}/below/alembic.ini", "app/alembic.ini", "env/pyvenv.cfg")
    assert locate.alembic_config(tmp_path, UNSET) == tmp_path / "app/alembic.ini"


def test_the_setting_decides(tmp_path: Path) -> None:
    """A path that is set is taken relative to the root, even if the root has an alembic.ini."""
    make(tmp_path, "alembic.ini", "web/other.ini")
    setting = Value("web/other.ini", INI, "pristine_alembic_config in the ini file")
    assert locate.alembic_config(tmp_path, setting) == tmp_path / "web/other.ini"


def test_a_setting_that_names_no_file_is_an_error(tmp_path: Path) -> None:
    """A path that is set and missing is an error naming the file and the setting, even if the root has another."""
    make(tmp_path, "alembic.ini")
    setting = Value("web/other.ini", INI, "pristine_alembic_config in the ini file")
    with pytest.raises(AlembicConfigError) as caught:
        locate.alembic_config(tmp_path, setting)
    message = one_line(str(caught.value))
    assert f"{tmp_path / 'web/other.ini'} (pristine_alembic_config in the ini file)" in message
    assert "no such file" in message
    assert f"it is relative to {tmp_path}" in message


def test_a_directory_that_cannot_be_searched_is_not_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that we may not read, such as a database's data directory, is passed over."""
    make(tmp_path, "app/alembic.ini", "pgdata/base")
    scan = locate.os.scandir

    def refuse(path: Path) -> object:
        # Root may read everything: the refusal must come from us.
        if path.name == "pgdata":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(locate.os, "scandir", refuse)
    assert locate.alembic_config(tmp_path, UNSET) == tmp_path / "app/alembic.ini"


def test_a_pyproject_with_the_scripts_is_one(tmp_path: Path) -> None:
    """A pyproject.toml that says where Alembic's scripts are is found as an alembic.ini is; any other is not."""
    make(tmp_path, "pyproject.toml", "backend/pyproject.toml")
    (tmp_path / "pyproject.toml").write_text("[tool.alembic]\nfile_template = 'x'\n")
    (tmp_path / "backend/pyproject.toml").write_text("[tool.alembic]\nscript_location = 'x'\n")
    assert locate.alembic_config(tmp_path, UNSET) == tmp_path / "backend/pyproject.toml"
    make(tmp_path, "backend/alembic.ini")
    assert locate.alembic_config(tmp_path, UNSET) == tmp_path / "backend/alembic.ini"
    (tmp_path / "pyproject.toml").write_text("[tool.alembic]\nscript_location = 'x'\n")
    assert locate.alembic_config(tmp_path, UNSET) == tmp_path / "pyproject.toml"
