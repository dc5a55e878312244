"""Our setting goes into the file that configures pytest, into its section, and changes no other byte."""

from __future__ import annotations

import tomllib

import pytest

from pytest_pristine.errors import SettingError
from pytest_pristine.scaffold import insertion
from tests.conftest import Project
from tests.scaffold.conftest import added, init, move_history, refused, set_up

INI = "pristine_alembic_config = two/alembic.ini\n"
TOML = 'pristine_alembic_config = "two/alembic.ini"\n'
_FILES = [
    ("pytest.ini", "[pytest]\naddopts = -ra\n", INI),
    (".pytest.ini", "# ours\n[pytest]  # tests\n", INI),
    ("tox.ini", "[tox]\nenvlist = py\n\n[pytest]\naddopts =\n    -ra\n", INI),
    ("setup.cfg", "[metadata]\nname = x\n\n[tool:pytest]\naddopts = -ra\n\n[flake8]\n", INI),
    ("pyproject.toml", "[project]\nname = 'x'\n\n[tool.pytest.ini_options]\naddopts = '-ra'\n[tool.x]\n", TOML),
    ("pyproject.toml", "[tool.pytest]\naddopts = ['-ra']\n", TOML),
    ("pytest.toml", "[pytest]\naddopts = ['-ra']\n", TOML),
]


@pytest.fixture
def two(bare: Project) -> Project:
    """A project with two alembic.ini, of which one has to be named."""
    move_history(bare, "one", "two")
    return bare


@pytest.mark.parametrize(("name", "text", "line"), _FILES, ids=[f"{name}-{len(text)}" for name, text, _ in _FILES])
def test_every_file_that_pytest_reads(two: Project, name: str, text: str, line: str) -> None:
    """The setting is the first of pytest's section, the file is no other than before, and init finds it there."""
    path = two.write(name, text)
    set_up(two, "--alembic-config", "two/alembic.ini")
    assert added(text.encode(), path.read_bytes()) == [line]
    # Several are no obstacle any more, and what is set is not set again.
    again = init(two, "--yes")
    assert (again.status, again.output.splitlines()[-1]) == (0, "nothing to write")
    assert f"note: {name} configures pytest, and needs nothing: it is left alone\n" in again.output


def test_a_file_of_windows(two: Project) -> None:
    """In a file whose lines end in CRLF ours does too, and the diff shows that one line."""
    path = two.path / "setup.cfg"
    path.write_bytes(b"[tool:pytest]\r\naddopts = -ra\r\n")
    said = set_up(two, "--alembic-config", "two/alembic.ini")
    assert path.read_bytes() == b"[tool:pytest]\r\npristine_alembic_config = two/alembic.ini\r\naddopts = -ra\r\n"
    assert "--- a/setup.cfg\n+++ b/setup.cfg\n@@ -1,2 +1,3 @@\n [tool:pytest]" in said


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("pytest.ini", b"", b"[pytest]\n%s"),
        ("pytest.ini", b"# nothing yet", b"# nothing yet\n[pytest]\n%s"),
        ("pytest.ini", b"[pytest]", b"[pytest]\n%s"),
        ("pytest.ini", b"[pytest]\r\n", b"[pytest]\r\n%s"),
        ("pytest.ini", b"[x]\r\na = 1\r\n", b"[x]\r\na = 1\r\n[pytest]\r\n%s"),
        ("tox.ini", b"[x]\r\n[pytest]", b"[x]\r\n[pytest]\r\n%s"),
        ("pytest.ini", b"# \xe9\n[pytest]\na = 1\n", b"# \xe9\n[pytest]\n%sa = 1\n"),
    ],
)
def test_sparse_files(name: str, before: bytes, after: bytes) -> None:
    """A file without the section gets one; one that ends without a newline, or is no UTF-8, is kept as it is."""
    newline = b"\r\n" if b"\r\n" in before else b"\n"
    assert insertion.insert(name, before, "key", "value") == after % (b"key = value" + newline)


def test_a_file_without_a_last_newline(two: Project) -> None:
    """The diff says that a file ends without a newline, as `diff` does."""
    two.write("pytest.ini", "[pytest]")
    said = init(two, "--dry-run", "--alembic-config", "two/alembic.ini").output
    assert f"\n-[pytest]\n\\ No newline at end of file\n+[pytest]\n+{INI}" in said


@pytest.mark.parametrize("value", ['a "b"', "a\\b", "Größe\t😀", "a'b", "a]#b"])
def test_quotes_of_toml(value: str) -> None:
    """Whatever a value holds, TOML gives it back."""
    after = insertion.insert("pyproject.toml", b"[tool.pytest.ini_options]\nx = 1\n", "key", value)
    assert tomllib.loads(after.decode())["tool"]["pytest"]["ini_options"] == {"key": value, "x": 1}


@pytest.mark.parametrize("value", ["a\nb", " a", "a ", "a\x85b"])
def test_what_an_ini_file_cannot_hold(value: str) -> None:
    """A value that an ini file would change is refused."""
    with pytest.raises(SettingError) as caught:
        insertion.insert("setup.cfg", b"[tool:pytest]\n", "key", value)
    assert (caught.value.sought, caught.value.found, caught.value.remedy) == (
        f"to write key = {value!r} into setup.cfg", "a line of an ini file cannot hold it",
        ("rename what has such a name",),
    )  # fmt: skip


def test_no_certain_place(two: Project) -> None:
    """Where the section is written in another way the user is told what to add; once added, it is found."""
    text = "[tool]\npytest.ini_options.addopts = '-ra'\n"
    two.write("pyproject.toml", text)
    said = refused(two, "--alembic-config", "two/alembic.ini")
    assert said == (
        f"sought: the place for {TOML.strip()} in pyproject.toml found: no line [tool.pytest.ini_options] "
        "to do: add it yourself to pytest's settings there, and try again"
    )
    two.write("pyproject.toml", f"{text}pytest.ini_options.{TOML}")
    set_up(two)


def test_several_places() -> None:
    """A header that a text in the file repeats leaves it open which one is meant."""
    before = b'[tool.pytest.ini_options]\nx = """\n[tool.pytest.ini_options]\n"""\n'
    with pytest.raises(SettingError, match=r"2 lines \[tool\.pytest\.ini_options\]"):
        insertion.insert("pyproject.toml", before, "key", "value")


def test_a_contradiction(two: Project) -> None:
    """One that is named and another that is configured: neither wins. The same by another path is no other."""
    two.write("pytest.ini", "[pytest]\npristine_alembic_config = one/alembic.ini\n")
    assert init(two, "--dry-run", "--alembic-config", "./one/alembic.ini").status == 0
    assert refused(two, "--alembic-config", "two/alembic.ini") == (
        "sought: two/alembic.ini as pristine_alembic_config found: it is set to one/alembic.ini "
        "to do: change it there, or leave --alembic-config out"
    )


def test_an_option_in_addopts(two: Project) -> None:
    """One that `addopts` names is configured as well."""
    two.write("pytest.ini", "[pytest]\naddopts = --pristine-alembic-config=two/alembic.ini\n")
    set_up(two)
    assert "`two/alembic.ini` are applied" in (two.path / "docs/testing-with-postgres.md").read_text()
