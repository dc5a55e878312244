"""What keeps a project from being set up is said, with what to type, and nothing is written."""

from __future__ import annotations

from tests.conftest import Project
from tests.scaffold.conftest import init, move_history, refused


def test_no_alembic(bare: Project) -> None:
    """Without Alembic there is nothing to set up."""
    (bare.path / "alembic.ini").unlink()
    assert refused(bare) == (
        f"sought: alembic.ini in {bare.path}, up to 3 directories below it, or above it found: none "
        "to do: pristine init --alembic-config PATH, if it lies elsewhere to do: or make one: alembic init migrations"
    )


def test_several_alembics(bare: Project) -> None:
    """Of several one has to be named to this command: there is no ini file yet that could."""
    move_history(bare, "one", "two")
    assert refused(bare) == (
        f"sought: one alembic.ini below {bare.path} found: several: one/alembic.ini, two/alembic.ini "
        "to do: pristine init --alembic-config PATH"
    )


def test_one_that_is_not_there(bare: Project) -> None:
    """A path that leads nowhere is shown whole."""
    assert refused(bare, "--alembic-config", "gone.ini") == (
        f"sought: the Alembic configuration {bare.path / 'gone.ini'} (--alembic-config) found: no such file "
        f"to do: correct --alembic-config; it is relative to {bare.path}"
    )


def test_one_that_is_configured_and_not_there(bare: Project) -> None:
    """So is one in pytest's configuration."""
    bare.write("pytest.ini", "[pytest]\npristine_alembic_config = gone.ini\n")
    assert "gone.ini (pristine_alembic_config) found: no such file" in refused(bare)


def test_below_the_root(bare: Project) -> None:
    """In a directory below the project's root the user is told where to go."""
    bare.write("docs of it/index.md", "")
    below = Project(bare.path / "docs of it", bare.environ)
    assert refused(below) == (
        f"sought: alembic.ini in {below.path} or below it found: {bare.path / 'alembic.ini'}, above it "
        f"to do: cd {bare.path} and try again "
        "to do: or, if the project's root is here: pristine init --alembic-config ../alembic.ini"
    )


def test_no_script_directory(bare: Project) -> None:
    """An alembic.ini whose scripts are not there is refused before a test is written that cannot pass."""
    bare.write("alembic.ini", "[alembic]\nscript_location = %(here)s/gone\n")
    assert f"sought: the script directory {bare.path / 'gone'} named by script_location" in refused(bare)


def test_toml_that_is_none(bare: Project) -> None:
    """A pyproject.toml that cannot be read is shown with what is wrong."""
    path = bare.write("pyproject.toml", "[tool\n")
    said = refused(bare)
    assert said.startswith(f"sought: the configuration in {path} found: Expected ']'")
    assert said.endswith(f"to do: correct {path}")


def test_a_configuration_that_pytest_refuses(bare: Project) -> None:
    """Where pytest cannot start it is quoted: no test could pass."""
    bare.write("pytest.ini", "[pytest]\naddopts = --nonsense\n")
    said = refused(bare)
    assert said.startswith(f"sought: pytest's configuration in {bare.path} found: ")
    assert "unrecognized arguments: --nonsense" in said
    assert said.endswith("to do: mend what it says: pytest cannot run")


def test_a_file_that_cannot_be_read(bare: Project) -> None:
    """A file that the system refuses to read is no crash."""
    # A program's memory is one, for root too.
    (bare.path / "pyproject.toml").symlink_to("/proc/self/mem")
    run = init(bare, "--yes")
    assert (run.status, run.message()) == (
        1, f"sought: to read the files in {bare.path} found: Input/output error to do: make it readable"
    )  # fmt: skip
    assert not (bare.path / "tests").exists()
