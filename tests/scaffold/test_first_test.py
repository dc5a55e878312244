"""The first test passes when pytest is run, with nothing else done, wherever the migrations lie."""

from __future__ import annotations

import pytest

from tests.conftest import Project
from tests.scaffold.conftest import FIRST_TEST, init, move_history, passes, run_pytest, set_up

_ALEMBICS_OWN = """
    from alembic import context
    from sqlalchemy import engine_from_config, pool

    section = context.config.get_section(context.config.config_ini_section)
    with engine_from_config(section, prefix="sqlalchemy.", poolclass=pool.NullPool).connect() as connection:
        context.configure(connection=connection, version_table="history", version_table_schema="public")
        with context.begin_transaction():
            context.run_migrations()
"""


def test_migrations_in_the_root(bare: Project) -> None:
    """In a flat project three tests pass, on a real Postgres."""
    set_up(bare)
    passes(bare)
    assert "pristine: PostgreSQL " in run_pytest(bare).output


def test_it_sees_what_is_left_over(bare: Project) -> None:
    """The written test is no ornament: it fails where nothing is put back after a test."""
    set_up(bare)
    path = bare.path / FIRST_TEST
    path.write_text(path.read_text().replace("(postgres_engine, clean_database, time)", "(postgres_engine, time)"))
    run = run_pytest(bare)
    assert run.status == 1, run.output
    assert "1 failed, 2 passed" in run.output


@pytest.mark.parametrize("place", ["backend", "src/app", "a/b/c"])
def test_migrations_below_the_root(bare: Project, place: str) -> None:
    """The one alembic.ini up to three directories below the root needs no setting."""
    move_history(bare, place)
    set_up(bare)
    assert "pristine_alembic_config" not in (bare.path / "pytest.ini").read_text()
    passes(bare)


def test_migrations_far_below_the_root(bare: Project) -> None:
    """One that lies deeper is named to the command, which writes it into pytest's configuration."""
    move_history(bare, "a/b/c/d/e")
    set_up(bare, "--alembic-config", "a/b/c/d/e/alembic.ini")
    assert "\npristine_alembic_config = a/b/c/d/e/alembic.ini\n" in (bare.path / "pytest.ini").read_text()
    passes(bare)


def test_one_of_several(bare: Project) -> None:
    """Of several alembic.ini one is named, by whatever path, and written relative to the root."""
    move_history(bare, "one", "two")
    set_up(bare, "--alembic-config", str(bare.path / "two/alembic.ini"))
    assert "\npristine_alembic_config = two/alembic.ini\n" in (bare.path / "pytest.ini").read_text()
    passes(bare)


def test_beside_the_root(bare: Project) -> None:
    """One beside the root is written as a path that means the same on another machine."""
    move_history(bare, "database", "service/x")
    service = Project(bare.path / "service", bare.environ)
    set_up(service, "--alembic-config", "../database/alembic.ini")
    assert "\npristine_alembic_config = ../database/alembic.ini\n" in (service.path / "pytest.ini").read_text()
    passes(service)


@pytest.mark.parametrize(
    ("configuration", "name"),
    [
        ("pytest.ini", "50% #1; {here} $x"),
        ("setup.cfg", 'say: "no" \\ = it\'s'),
        ("pyproject.toml", 'say: "no" \\ = it\'s'),
        ("pytest.toml", "Größe 😀 50%"),
    ],
)
def test_odd_names(bare: Project, configuration: str, name: str) -> None:
    """Whatever characters a directory's name has, pytest reads the same name from its configuration."""
    move_history(bare, name, "other")
    # Alembic itself cannot read a `here` with a percent sign.
    bare.write(f"{name}/alembic.ini", "[alembic]\nscript_location = migrations\n")
    sections = {"setup.cfg": "[tool:pytest]\n", "pyproject.toml": "[tool.pytest.ini_options]\naddopts = '-ra'\n"}
    bare.write(configuration, sections.get(configuration, "[pytest]\n"))
    set_up(bare, "--alembic-config", f"{name}/alembic.ini")
    passes(bare)


def test_a_name_that_needs_no_setting(bare: Project) -> None:
    """One that is named, and would be found, is not written into the configuration."""
    set_up(bare, "--alembic-config", "alembic.ini")
    assert "pristine_alembic_config" not in (bare.path / "pytest.ini").read_text()


def test_a_version_table_of_another_name(bare: Project) -> None:
    """The first test needs no version table of Alembic's default name, and no revision."""
    bare.write("migrations/env.py", _ALEMBICS_OWN)
    (bare.path / "migrations/versions/0001_users.py").unlink()
    set_up(bare)
    passes(bare)


def test_a_script_location_relative_to_its_file(bare: Project) -> None:
    """A relative `script_location` of an alembic.ini that does not lie in the root is no obstacle."""
    move_history(bare, "backend")
    bare.write("backend/alembic.ini", "[alembic]\nscript_location = migrations\n")
    set_up(bare)
    passes(bare)


@pytest.mark.parametrize("source", [".", "src"])
def test_a_script_location_in_a_package(bare: Project, source: str) -> None:
    """A package that is not installed can be imported by tests and named in `script_location`."""
    move_history(bare, f"{source}/app")
    (bare.path / source / "app/alembic.ini").rename(bare.path / "alembic.ini")
    bare.write("alembic.ini", "[alembic]\nscript_location = app:migrations\n")
    bare.write(f"{source}/app/__init__.py", "")
    bare.write("tests/test_app.py", "import app\n\ndef test_app(): pass\n")
    set_up(bare)
    assert f"\npythonpath = {source}\n" in (bare.path / "pytest.ini").read_text()
    passes(bare, number=4)


def test_a_package_named_alembic(bare: Project) -> None:
    """A root in which a package of the project's would hide Alembic is not put on the path."""
    bare.write("alembic/__init__.py", "")
    set_up(bare)
    assert "pythonpath" not in (bare.path / "pytest.ini").read_text()
    passes(bare)


def test_a_project_that_gets_installed(bare: Project) -> None:
    """A project with a build system is imported from where it is installed."""
    bare.write("pyproject.toml", "[build-system]\nrequires = ['hatchling']\n")
    set_up(bare)
    assert "pythonpath" not in (bare.path / "pytest.ini").read_text()
    passes(bare)


def test_under_strict_settings(bare: Project) -> None:
    """It passes where warnings are errors, markers and keys are strict, and tests run in several processes."""
    strict = "addopts = --strict-markers --strict-config\nfilterwarnings = error\n"
    # Without this pytest-asyncio, which is installed beside us, warns.
    bare.write("pytest.ini", f"[pytest]\n{strict}asyncio_default_fixture_loop_scope = function\n")
    set_up(bare)
    passes(bare)
    passes(bare, "-n2")


def test_files_of_tests_with_other_names(bare: Project) -> None:
    """Where files of tests are called otherwise, the first one is called so as well."""
    bare.write("pytest.ini", "[pytest]\npython_files = check_*.py\n")
    set_up(bare)
    assert (bare.path / "tests/check_postgres.py").is_file()
    passes(bare)


def test_it_is_the_first_of_many(bare: Project) -> None:
    """Tests that were there are collected as before, wherever they lie."""
    bare.write("app/checks/test_own.py", "def test_own(): pass\n")
    bare.write("tests/unit/test_unit.py", "def test_unit(): pass\n")
    bare.write("tests/integration/test_more.py", "def test_more(): pass\n")
    set_up(bare)
    assert (bare.path / "tests/integration/test_postgres.py").is_file()
    passes(bare, number=6)


def test_a_link_to_the_configuration(bare: Project) -> None:
    """An alembic.ini that is a link is the project's own, wherever the link leads."""
    (bare.path / "real").mkdir()
    (bare.path / "alembic.ini").rename(bare.path / "real/alembic.conf")
    bare.write("real/alembic.conf", "[alembic]\nscript_location = migrations\n")
    (bare.path / "alembic.ini").symlink_to("real/alembic.conf")
    assert "`alembic.ini` are applied" in init(bare, "--dry-run").output
    set_up(bare)
    passes(bare)
