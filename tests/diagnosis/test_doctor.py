"""The report as a whole: for people, for programs, and when something goes wrong in a check."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import threading
from pathlib import Path

import pytest

from pytest_pristine.diagnosis import checkup, context, layout, storage
from pytest_pristine.diagnosis.checkup import Theme
from pytest_pristine.errors import StartError
from tests.conftest import Project, Run, clean_environment
from tests.diagnosis.conftest import COMMAND, LEVELS, PASSWORD, call, doctor

TITLES = [theme.title for theme in checkup.THEMES]


def test_the_report(project: Project) -> None:
    """The report has a title for each theme, a line for each finding in columns, and a summary at its end."""
    run = call(project, "--quick", PRISTINE_POSTGRES_VERSION="")
    assert run.status == 0, run.output
    lines = run.output.splitlines()
    assert [line for line in lines[:-1] if line and not line.startswith(" ")] == TITLES
    assert all(re.match(rf"  (?:{'|'.join(LEVELS)}) +\S", line) for line in lines if line.startswith("  "))
    assert "  ok       configuration  pytest.ini" in lines
    assert "  ok       our plugin     loaded" in lines
    number = sum(line.startswith("  ok ") for line in lines)
    assert lines[-1] == f"{number} ok, 0 warning, 0 failed"


def test_what_to_do_stands_below(project: Project) -> None:
    """Below a finding that is not ok stands what was expected, and what to type; the exit status is 1."""
    nowhere = f"postgresql://u:{PASSWORD}@localhost:1/d"
    run = call(project, "--quick", TEST_DATABASE_URL=nowhere, PRISTINE_POSTGRES_VERSION="")
    assert run.status == 1
    lines = run.output.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("  failed   url "))
    below = [line.strip() for line in lines[at + 1 : at + 6]]
    assert "sought:  the Postgres at postgresql://u:***@localhost:1/d (from TEST_DATABASE_URL)" in below
    assert "to do:   start a server there: pristine up --port 1 --user u --password … --db d" in below
    assert re.fullmatch(r"\d+ ok, 0 warning, [12] failed", lines[-1])


def test_for_programs(project: Project) -> None:
    """The JSON has the keys that the documents name, and a finding for each line."""
    report = doctor(project)
    assert list(report.whole) == ["format", "passed", "summary", "findings"]
    assert report.whole["format"] == layout.FORMAT == 1
    for finding in report.whole["findings"]:
        assert list(finding) == ["check", "level", "subject", "sought", "found", "remedy"]
        assert finding["level"] in LEVELS
        assert finding["check"] in {theme.name for theme in checkup.THEMES}
    names = [theme.name for theme in checkup.THEMES]
    document = (Path(__file__).parents[2] / "docs/doctor.md").read_text()
    assert all(f"`{name}`" in document for name in names)


def on_terminal(project: Project, **environ: str) -> str:
    """What the command writes to a terminal."""
    ours, theirs = pty.openpty()
    written: list[bytes] = []

    def read() -> None:
        try:
            while chunk := os.read(ours, 4096):
                written.append(chunk)
        except OSError:
            pass  # Linux's way to say that the other end is closed

    reader = threading.Thread(target=read)
    reader.start()
    subprocess.run(
        [COMMAND, "doctor", "--quick"],
        cwd=project.path, stdout=theirs, env={**project.environ, **environ}, check=False,
    )  # fmt: skip
    os.close(theirs)
    reader.join()
    os.close(ours)
    return b"".join(written).decode()


def test_colours(project: Project) -> None:
    """Marks are coloured on a terminal, and not where NO_COLOR is set, the terminal is dumb, or there is none."""
    assert "\033[32mok       \033[0mconfiguration" in on_terminal(project, TERM="xterm", NO_COLOR="")
    assert "\033" not in on_terminal(project, TERM="xterm", NO_COLOR="1")
    assert "\033" not in on_terminal(project, TERM="dumb")
    assert "\033" not in call(project, "--quick", TERM="xterm").output


def test_outside_any_project(tmp_path: Path, project: Project) -> None:
    """In a directory with nothing in it the doctor says what is missing, and nothing has failed."""
    empty = Project(tmp_path / "empty", project.environ)
    empty.path.mkdir()
    (project.path / "alembic.ini").unlink()  # one above the directory would be found
    report = doctor(empty)
    assert report.status == 0
    missing = {(each["check"], each["subject"]) for each in report.whole["findings"] if each["level"] == "warning"}
    # The project above has an ini file, which pytest finds as well.
    assert ("history", "configuration") in missing


def test_without_an_ini_file(tmp_path_factory: pytest.TempPathFactory, project: Project) -> None:
    """Without an ini file of pytest the directory that is taken for the project is named."""
    empty = Project(tmp_path_factory.mktemp("empty"), project.environ)
    level, found, remedy = doctor(empty).tell("suite", "configuration")
    assert (level, found) == ("warning", f"no ini file of pytest; its root directory is {empty.path}")
    assert remedy[0].startswith("call pristine doctor in the project, or name its tests as for pytest")


def test_the_tests_decide_on_the_project(tmp_path: Path, project: Project) -> None:
    """The tests are named as for pytest, which finds its ini file by them."""
    above = Project(tmp_path.parent, project.environ)
    report = doctor(above, project.path.name)
    assert report.one("suite", "configuration")["found"] == f"{project.path.name}/pytest.ini"
    assert report.one("history", "configuration")["found"] == f"{project.path.name}/alembic.ini"


def test_a_driver_that_cannot_be_imported(project: Project) -> None:
    """Where the driver is broken its checks say so, and the others are made all the same."""
    broken = project.write("broken/psycopg.py", "raise ImportError('no pq wrapper available')\n")
    report = doctor(project, PYTHONPATH=str(broken.parent))
    (finding,) = report.of("driver")
    assert finding["level"] == "failed"
    assert finding["found"] == "the check 'driver' ended with ImportError: no pq wrapper available"
    assert finding["remedy"] == ["mend what it says, or report it as a bug of pytest-pristine"]
    assert report.one("suite", "our plugin")["level"] == "ok"
    assert report.one("storage", "free space")["level"] == "ok"
    assert report.status == 1


def test_output_that_takes_ascii_alone(project: Project) -> None:
    """What a stream cannot show is written otherwise; the doctor does not end for it."""
    run = call(project, "--quick", TEST_DATABASE_URL="postgresql://u@localhost:1/d", PYTHONIOENCODING="ascii")
    assert run.status == 1
    assert "--password \\u2026 --db d" in run.output


def test_a_directory_that_was_removed(project: Project) -> None:
    """In a directory that is no longer there the doctor says so."""
    gone = project.path / "gone"
    gone.mkdir()
    command = 'rmdir "$PWD" && exec "$0" doctor'
    done = subprocess.run(
        ["/bin/sh", "-c", command, COMMAND], cwd=gone, env=project.environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("sought:  the current directory\nfound:   No such file or directory")


def look(project: Project, *themes: Theme) -> list[checkup.Group]:
    """What themes find in a project."""
    looked_at = context.read(
        project.path, [], {**clean_environment(), "TEST_DATABASE_URL": f"postgresql://u:{PASSWORD}@h/d"}, 55432
    )
    return list(checkup.run(looked_at, quick=False, themes=themes))


def shown(groups: list[checkup.Group]) -> Run:
    """The groups as people and as programs see them."""
    text = "\n".join(line for group in groups for line in layout.lines(group, layout.Style(coloured=False)))
    return Run(0, text + layout.as_json(groups))


def test_a_check_that_raises(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that nobody expected is a finding with the name of the check, without passwords."""
    monkeypatch.setattr(storage, "judge_space", lambda *_: 1 / 0)
    (group,) = look(project, Theme("storage", "Home directory"))
    assert [finding.level for finding in group.findings] == ["ok", "failed"]
    assert group.findings[1].found == "the check 'storage' ended with ZeroDivisionError: division by zero"

    def leak(*_: object) -> None:
        raise RuntimeError(f"cannot reach postgresql://u:{PASSWORD}@h/d with {PASSWORD}")

    monkeypatch.setattr(storage, "judge_space", leak)
    groups = look(project, Theme("storage", "Home directory"))
    assert groups[0].findings[1].found.endswith("RuntimeError: cannot reach postgresql://u:***@h/d with ***")
    assert PASSWORD not in shown(groups).output


def test_a_check_that_exits(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even code that ends the program ends the doctor."""

    def leave(*_: object) -> None:
        raise SystemExit(3)

    monkeypatch.setattr(storage, "judge_space", leave)
    (group,) = look(project, Theme("storage", "Home directory"))
    assert group.findings[-1].found == "the check 'storage' ended with SystemExit: 3"


def test_an_error_of_ours(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of ours that a check did not expect is told with its three parts."""

    def fail(*_: object) -> None:
        raise StartError("a server", "none", ["start one"])

    monkeypatch.setattr(storage, "judge_space", fail)
    (group,) = look(project, Theme("storage", "Home directory"))
    last = group.findings[-1]
    assert (last.level, last.sought, last.found, last.remedy) == ("failed", "a server", "none", ("start one",))


def test_a_check_that_hangs(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that does not end is given up, and the next one is made."""
    end = threading.Event()
    monkeypatch.setattr(storage, "judge_space", lambda *_: end.wait())
    first, second = look(project, Theme("storage", "Home directory", limit=0.5), Theme("suite", "pytest"))
    end.set()
    assert [finding.level for finding in first.findings] == ["ok", "failed"]
    assert first.findings[1].found == "no answer within 0.5 s; the check was given up"
    assert second.findings[0].subject == "configuration"


def test_every_theme_can_be_imported(project: Project) -> None:
    """Each theme is a module, and none of them ends with an error in a project where all is well."""
    for finding in doctor(project).whole["findings"]:
        assert "ended with" not in finding["found"], finding
