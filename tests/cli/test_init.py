"""`pristine init` asks before it writes, writes all or nothing, and never what is there."""

from __future__ import annotations

import os
import pty
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.cli.test_up import pristine
from tests.conftest import Home, Project, Run
from tests.scaffold.conftest import COMMAND, FIRST_TEST, GUIDE, WORKFLOW, bare, files, init, refused, set_up  # noqa: F401 - a fixture

WRITTEN = [FIRST_TEST, GUIDE, WORKFLOW, "pytest.ini"]
_QUESTION = b"Write these files? [y/N] "
# An ordinary account, which may not write into a directory of root's. What it imports may lie where only root can read.
_AS_STRANGER = """
import os, pathlib, pwd, sys
from pytest_pristine.errors import PristineError
from pytest_pristine.scaffold import plan, survey, writing

root = pathlib.Path.cwd()
planned = plan.make(survey.look(root))
stranger = pwd.getpwnam("daemon")
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(stranger.pw_gid)
    os.setuid(stranger.pw_uid)
try:
    writing.write(pathlib.Path(), planned.changes)
except PristineError as error:
    print(error)
"""


def nothing() -> None:
    """Do nothing."""


def on_terminal(
    project: Project,
    typed: bytes,
    *arguments: str,
    meanwhile: Callable[[], object] = nothing,
    output: int | None = None,
) -> Run:
    """Answer the question on a terminal, and have something happen before it is answered."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(project.path)
        if output is not None:
            os.dup2(output, 1)
        os.execve(COMMAND, [COMMAND, "init", *arguments], dict(project.environ))  # noqa: S606 - on purpose without a shell
    shown = b""
    with suppress(OSError):  # how the end of a terminal is told
        while piece := os.read(terminal, 4096):
            shown += piece
            if shown.endswith(_QUESTION):
                meanwhile()
                os.write(terminal, typed)
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert b"Traceback" not in shown, shown.decode()
    return Run(os.waitstatus_to_exitcode(status), shown.decode().replace("\r\n", "\n"))


@pytest.mark.parametrize("typed", [b"y\n", b" YES \n"])
def test_yes(bare: Project, typed: bytes) -> None:  # noqa: F811 - the fixture
    """Who agrees gets the files that were shown, and is told what was written and what comes next."""
    before = set(files(bare))
    run = on_terminal(bare, typed)
    assert run.status == 0, run.output
    assert set(files(bare)) - before == set(WRITTEN)
    assert run.output.endswith("".join(f"wrote {name}\n" for name in WRITTEN) + "now: pytest\n")
    for name in WRITTEN:
        shown = "".join(f"+{line}\n" for line in (bare.path / name).read_text().splitlines())
        assert f"--- /dev/null\n+++ b/{name}\n@@ -0,0 +1," in run.output
        assert shown in run.output


@pytest.mark.parametrize(
    "typed", [b"n\n", b"\n", b"maybe\n", b"\x04", b"\x03"], ids=["no", "enter", "neither", "end of file", "Ctrl-C"]
)
def test_no(bare: Project, typed: bytes) -> None:  # noqa: F811 - the fixture
    """Everything but a yes is a no: nothing is written, which is said on a line of its own."""
    before = files(bare)
    run = on_terminal(bare, typed)
    assert run.status == 1
    assert run.output.endswith("\nnothing was written\n")
    assert files(bare) == before


def test_the_question_is_seen(bare: Project) -> None:  # noqa: F811 - the fixture
    """The question stands on the terminal also when the diff is led into a file."""
    with (bare.path / "diff").open("wb") as file:
        run = on_terminal(bare, b"n\n", output=file.fileno())
    assert run.output.startswith(_QUESTION.decode())
    assert "+++ b/pytest.ini\n" in (bare.path / "diff").read_text()


@pytest.mark.parametrize("closed", [False, True], ids=["empty", "closed"])
def test_nobody_to_ask(bare: Project, *, closed: bool) -> None:  # noqa: F811 - the fixture
    """Without a terminal nobody can agree: nothing is written, and how to agree is told on standard error."""
    before = files(bare)
    done = subprocess.run(
        ["/bin/sh", "-c", f'"$0" init {"<&-" if closed else "</dev/null"}', COMMAND],
        cwd=bare.path, env=bare.environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (
        1, "nothing was written: there is no terminal to ask on. To write without asking: pristine init --yes\n"
    )  # fmt: skip
    assert "+++ b/pytest.ini\n" in done.stdout
    assert files(bare) == before


@pytest.mark.parametrize("arguments", [("--dry-run",), ("--dry-run", "--yes")])
def test_a_dry_run(bare: Project, arguments: tuple[str, ...]) -> None:  # noqa: F811 - the fixture
    """A dry run shows, and neither asks nor writes, whatever else is said."""
    before = files(bare)
    run = on_terminal(bare, b"y\n", *arguments)
    assert run.status == 0
    assert "+++ b/pytest.ini\n" in run.output
    assert _QUESTION.decode() not in run.output
    assert files(bare) == before


def test_twice(bare: Project) -> None:  # noqa: F811 - the fixture
    """The second time there is nothing to write, and nothing to ask."""
    bare.write("requirements.txt", "")
    set_up(bare)
    before = files(bare)
    run = init(bare)
    notes = [f"{name} is there already: it is left alone" for name in WRITTEN[:3]]
    notes = ["pytest.ini configures pytest, and needs nothing: it is left alone", *notes]
    assert (run.status, run.output) == (0, "".join(f"note: {note}\n" for note in notes) + "nothing to write\n")
    assert files(bare) == before


def test_what_is_there_is_left_alone(bare: Project) -> None:  # noqa: F811 - the fixture
    """A file that is there stays, whatever it holds, and so does a link that leads nowhere; the others are written."""
    bare.write(FIRST_TEST, "mine\n")
    (bare.path / "docs").mkdir()
    (bare.path / GUIDE).symlink_to("nowhere")
    said = set_up(bare)
    for name in (FIRST_TEST, GUIDE):
        assert f"note: {name} is there already: it is left alone\n" in said
    assert (bare.path / FIRST_TEST).read_text() == "mine\n"
    assert (bare.path / GUIDE).is_symlink()
    assert (bare.path / WORKFLOW).is_file()


def test_a_file_appears_meanwhile(bare: Project) -> None:  # noqa: F811 - the fixture
    """A file that somebody makes while the question stands is kept, and what was written before it is taken back."""
    before = files(bare)
    run = on_terminal(bare, b"y\n", meanwhile=lambda: bare.write("pytest.ini", "[pytest]\n"))
    assert run.status == 1
    assert run.message().endswith(
        f"sought: to write {bare.path / 'pytest.ini'} found: File exists to do: mend that; nothing was written"
    )
    assert files(bare) == before | {"pytest.ini": b"[pytest]\n"}
    assert not (bare.path / "tests").exists()


def test_a_file_changes_meanwhile(bare: Project) -> None:  # noqa: F811 - the fixture
    """So is a change that somebody makes to the configuration, in which a setting was to be inserted."""
    bare.write("a/b/c/d/alembic.ini", "[alembic]\nscript_location = %(here)s/../../../../migrations\n")
    (bare.path / "alembic.ini").unlink()
    bare.write("pytest.ini", "[pytest]\n")
    run = on_terminal(
        bare, b"y\n", "--alembic-config", "a/b/c/d/alembic.ini",
        meanwhile=lambda: bare.write("pytest.ini", "[pytest]\naddopts = -ra\n"),
    )  # fmt: skip
    assert run.status == 1
    assert "found: somebody changed it meanwhile to do: mend that; nothing was written" in run.message()
    assert (bare.path / "pytest.ini").read_text() == "[pytest]\naddopts = -ra\n"
    assert not (bare.path / "tests").exists()


def test_all_or_nothing(bare: Project) -> None:  # noqa: F811 - the fixture
    """When the last file cannot be written, a setting that was inserted is taken out again, and directories go."""
    bare.write("a/b/c/d/alembic.ini", "[alembic]\nscript_location = %(here)s/../../../../migrations\n")
    (bare.path / "alembic.ini").unlink()
    bare.write("pytest.ini", "[pytest]\n")
    bare.write(".github", "a file where a directory should be\n")
    said = refused(bare, "--alembic-config", "a/b/c/d/alembic.ini")
    assert said.endswith(
        f"sought: to write {bare.path / WORKFLOW} found: Not a directory to do: mend that; nothing was written"
    )
    assert not (bare.path / "tests").exists()
    assert not (bare.path / "docs").exists()


def test_a_directory_that_is_read_only(bare: Project) -> None:  # noqa: F811 - the fixture
    """Where nothing may be written it is said, and there is nothing to take back."""
    bare.path.chmod(stat.S_IRUSR | stat.S_IXUSR | stat.S_IROTH | stat.S_IXOTH)
    try:
        done = subprocess.run(
            [sys.executable, "-c", _AS_STRANGER], cwd=bare.path, env=bare.environ,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        bare.path.chmod(stat.S_IRWXU)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "sought:  to write tests/test_postgres.py", "found:   Permission denied",
        "to do:   mend that; nothing was written",
    ]  # fmt: skip
    assert not (bare.path / "tests").exists()


def test_an_argument_too_many(shared_home: Home) -> None:
    """A directory is not named: the command works in the current one."""
    run = pristine(shared_home, "init", ".")
    assert run.status == 2
    assert "unrecognized arguments: ." in run.output
