"""The pages that are made of the code say what the code says, and nothing public is without words."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import pytest_pristine
from docs.generate import benchmarks, errors, fixtures, settings, statuses, words
from docs.generate.__main__ import DOCS, PAGES
from pytest_pristine import settings as declared
from pytest_pristine.errors import PristineError
from pytest_pristine.settings import Setting

ROOT = Path(__file__).parents[2]
SOURCE = Path(pytest_pristine.__file__).parent


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_says(name: str) -> None:
    """Each page that is checked in is the one that would be made now: `python3 dev.py docs --write` makes it so."""
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name]()


def test_every_public_thing_is_in_the_reference() -> None:
    """Fixtures, settings, errors and public names each have a heading of their own."""
    wanted = {
        "fixtures": [name for name, _ in fixtures.fixtures()],
        "settings": [setting.ini for setting in declared.ALL],
        "errors": [each.__name__ for each in errors.classes(PristineError)],
    }
    for page, names in wanted.items():
        text = (DOCS / f"reference/{page}.md").read_text(encoding="utf-8")
        assert len(names) > 4
        assert [name for name in names if f"\n## {name}\n" not in text] == []
    python = (DOCS / "reference/python.md").read_text(encoding="utf-8")
    assert [name for name in pytest_pristine.__all__ if f"`{name}`" not in python] == []


def test_what_has_no_words_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting without help, a class without a docstring and an exit status without a meaning make no page."""
    monkeypatch.setattr(declared, "ALL", (Setting("mute", None, str, ""),))
    with pytest.raises(words.UndocumentedError, match="the setting mute has no help"):
        settings.text()
    with pytest.raises(words.UndocumentedError, match="Mute has no docstring"):
        words.docstring(type("Mute", (PristineError,), {}), "Mute")
    monkeypatch.delitem(statuses.OF_PYTEST, pytest.ExitCode.USAGE_ERROR)
    with pytest.raises(words.UndocumentedError, match="exit status 4"):
        statuses.text()


def test_messages_are_found() -> None:
    """The page of errors has messages as they are raised, with what only a run knows left out."""
    text = (DOCS / "reference/errors.md").read_text(encoding="utf-8")
    assert "to do:   if everything in it may be destroyed: pytest --pristine-claim=…" in text


def test_every_variable_is_told() -> None:
    """What the product reads from the environment is a setting, or stands among the other variables."""
    # Where it is read, or the name that it is read by.
    pattern = re.compile(r'environ(?:\.get\(|\[)"([A-Z_]+)"|"(PRISTINE_[A-Z_]+[A-Z])"')
    found = {match for path in SOURCE.rglob("*.py") for match in pattern.findall(path.read_text(encoding="utf-8"))}
    read = {name for match in found for name in match if name}
    known = {setting.environ for setting in declared.ALL} | {*settings.VARIABLES}
    # Those of our own tests, pytest, pytest-xdist, coverage, terminals, libpq and the system.
    others = {
        "COVERAGE_PROCESS_START", "NO_COLOR", "PATH", "PGPASSWORD", "PRISTINE_ORACLE_EXAMPLES", "PYTEST_ADDOPTS",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD", "PYTEST_XDIST_TESTRUNUID", "PYTEST_XDIST_WORKER",
        "PYTEST_XDIST_WORKER_COUNT", "PYTHONPATH", "TERM",
    }  # fmt: skip
    assert {"DOCKER_HOST", "PRISTINE_WORKER"} <= read
    assert sorted(read - known - others) == []


def test_a_stale_page_fails_the_check(tmp_path: Path) -> None:
    """`--check` names a page that is not what the code says, and writes nothing."""
    script = (
        "import sys; from pathlib import Path; from docs.generate import __main__ as made; "
        f"made.DOCS = Path({str(tmp_path)!r}); sys.argv = ['', '--check']; sys.exit(made.main())"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "docs/reference/fixtures.md is not what the code says: python3 dev.py docs --write" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_each_benchmark_that_is_kept_has_a_section() -> None:
    """Whatever `dev.py bench record` measures is shown on the page, and the page shows nothing else."""
    kept = {
        name for name, each in runpy.run_path(str(ROOT / "bench/record.py"))["ALL"].items() if not each.keeps_its_own
    }
    assert kept == set(benchmarks._SHOWN)


def test_figures_stand_in_their_columns() -> None:
    """A table has a line for each thing that was measured and a column for each size; what lacks stays empty."""
    rows = [
        {"tables": tables, "what": what, "milliseconds": {"median": median, "most": 2 * median}}
        for tables, what, median in ((10, "a wait", 1.5), (10, "a drop", 20.0), (100, "a wait", 3.0))
    ]
    _, table = benchmarks.shown("fresh", {"postgres": 18, "fsync": False, "rows": rows})
    assert table.splitlines() == [
        "| what | 10 tables | 100 tables |", "| --- | --- | --- |", "| a wait | 1.50 (3.00) | 3.00 (6.00) |",
        "| a drop | 20 (40) |  |",
    ]  # fmt: skip


def test_what_comes_after_a_test_is_told_apart() -> None:
    """Of a session that is rolled back the rollback counts, too; the ways stand beside each other."""
    ways = {
        "postgres_session": {"body": 4.0, "roll back": 0.5, "restore": 0.25, "whole": 4.75},
        "clean_database": {"body": 3.0, "restore": 1.0, "whole": 4.0},
    }
    row = {"role": "owner", "tables": 10, "test": "only reads", "milliseconds": ways}
    _, table = benchmarks.shown("session", {"postgres": 18, "rows": [row]})
    assert table.splitlines()[-1] == "| owner | 10 | only reads | 4.75 (0.75) | 4.00 (1.00) |"


def test_a_result_that_nothing_shows_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A benchmark whose result is kept is on the page."""
    (tmp_path / "results").mkdir()
    (tmp_path / "results/new.json").write_text("{}", encoding="utf-8")
    monkeypatch.setattr(benchmarks, "BENCH", tmp_path)
    with pytest.raises(words.UndocumentedError, match=r"nothing shows .*new\.json"):
        benchmarks.text()
