"""Writing the report into a directory."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path

import pytest

from pytest_pristine.errors import PristineError, ReportError
from pytest_pristine.report import page, writing
from tests.conftest import MAJOR
from tests.report.synthetic import Size, document

pytestmark = pytest.mark.skipif(MAJOR != 18, reason="the report does not depend on the version: once is enough")


def test_two_files_are_written(tmp_path: Path) -> None:
    """The directory is made with its parents, and holds the page and the same as JSON."""
    made = document(Size())
    written = writing.write(made, tmp_path / "build" / "report")
    assert written == tmp_path / "build" / "report" / "index.html"
    assert written.read_text(encoding="utf-8") == page.render(made)
    assert json.loads((written.parent / "report.json").read_text()) == json.loads(json.dumps(made.as_dict()))
    assert {each.name for each in written.parent.iterdir()} == {"index.html", "report.json"}


def test_an_earlier_report_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    """Writing again replaces both files, and leaves whatever else is there."""
    (tmp_path / "notes.txt").write_text("mine")
    writing.write(document(Size(tests=3)), tmp_path)
    writing.write(document(Size(tests=5)), tmp_path)
    assert len(json.loads((tmp_path / "report.json").read_text())["tests"]) == 5
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert {each.name for each in tmp_path.iterdir()} == {"index.html", "report.json", "notes.txt"}


def test_a_file_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a file cannot be finished the earlier one is still there, and the half one is gone."""
    writing.write(document(Size(tests=3)), tmp_path)
    earlier = {each.name: each.read_bytes() for each in tmp_path.iterdir()}

    def full(path: Path, text: str, **_: object) -> int:
        path.write_bytes(text[:10].encode())
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ReportError, match="No space left on device"):
        writing.write(document(Size(tests=5)), tmp_path)
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == earlier


def test_a_reader_of_an_earlier_report_keeps_it(tmp_path: Path) -> None:
    """Who has the earlier page open reads it to its end: another file takes its name."""
    before = writing.write(document(Size(tests=3)), tmp_path)
    with before.open(encoding="utf-8") as file:
        writing.write(document(Size(tests=5)), tmp_path)
        assert file.read() == page.render(document(Size(tests=3)))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_others_can_read_it(tmp_path: Path) -> None:
    """The files have the mode that our umask gives to new ones: a CI service may collect them as another user."""
    (tmp_path / "plain").write_text("")
    written = writing.write(document(Size()), tmp_path / "report")
    assert stat.S_IMODE(written.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_a_directory_that_is_a_file(tmp_path: Path) -> None:
    """Where there can be no directory, the error says what was sought, what was found and what to type."""
    (tmp_path / "report").write_text("a file")
    with pytest.raises(PristineError) as caught:
        writing.write(document(Size()), tmp_path / "report")
    assert isinstance(caught.value, ReportError)
    assert caught.value.sought == f"to write the report into {tmp_path / 'report'}"
    assert str(tmp_path / "report") in caught.value.found
    assert caught.value.remedy == ("--pristine-report=DIR with a directory that can be made and written to",)


def test_a_directory_in_the_place_of_a_file(tmp_path: Path) -> None:
    """A directory called index.html is not removed: it is an error."""
    (tmp_path / "index.html").mkdir()
    with pytest.raises(ReportError):
        writing.write(document(Size()), tmp_path)
    assert (tmp_path / "index.html").is_dir()
    assert not [each for each in tmp_path.iterdir() if each.name.startswith(".")]
