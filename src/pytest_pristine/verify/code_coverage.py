"""Coverage measured, with branches: whether data were really collected for what was asked for.

It is coverage's own files and rules that count: what it would show in its report at 0 % because no test imported it.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_pristine.verify import checklist
from pytest_pristine.verify.checklist import Item

if TYPE_CHECKING:
    from coverage import Coverage

KEY = "coverage"
TITLE = "coverage measured, with branches"

_HOW = "pytest --cov=<package> --cov-branch"
_BRANCHES = "--cov-branch, or branch = true under [tool.coverage.run]"
_OMIT = "import them in a test, or name them under omit of [tool.coverage.run]"
_EARLY = "import the package in tests alone, or run: coverage run --branch -m pytest"
_WORKERS = "see why the workers ended; their Python needs pytest-cov too"
# Below a directory that is measured, what no test imports as a module.
_NO_MODULES = ("setup.py", "conftest.py", "noxfile.py")


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the run tells of the measuring.

    Attributes:
        off: Why nothing was measured; empty where something was.
        lost: Workers that gave no data back.
        report_failed: The report could not be generated.
        later: Why the data are not whole yet; empty where they are.
    """

    off: str = ""
    lost: Sequence[str] = ()
    report_failed: bool = False
    later: str = ""


def asked_of(coverage: Coverage) -> list[str]:
    """The packages and directories that are to be measured; none where everything is."""
    given: list[str] = []
    for option in ("run:source", "run:source_pkgs", "run:source_dirs"):
        try:
            value = coverage.get_option(option)
        except Exception:  # noqa: BLE001, S112 - an option that this version of coverage has not
            continue
        given += [str(each) for each in value] if isinstance(value, list | tuple) else []
    return list(dict.fromkeys(each for each in given if each))


def judge(coverage: Coverage | None, asked: Sequence[str], circumstances: Circumstances | None = None) -> Item:
    """Judge what was measured.

    Args:
        coverage: The object that has the data of all processes; None when nothing was measured.
        asked: The packages, modules and directories that were to be measured, as coverage takes them.
        circumstances: What the run tells besides.
    """
    around = circumstances or Circumstances()
    if coverage is None or around.off:
        return _item(checklist.UNKNOWN, around.off or "it was not measured", (_HOW,))
    if around.lost:
        return _item(checklist.FAILED, f"{_number(around.lost, 'worker')} gave no data back", (_WORKERS,),
                     tuple(f"worker {name}" for name in around.lost))  # fmt: skip
    if not coverage.get_option("run:branch"):
        return _item(checklist.FAILED, "branch coverage is off", (_BRANCHES,), ("branches are not measured",))
    if around.later:
        return _item(checklist.UNKNOWN, around.later, (_HOW,))
    return _of_data(coverage, asked, report_failed=around.report_failed)


def _of_data(coverage: Coverage, asked: Sequence[str], *, report_failed: bool) -> Item:
    measured = Measured.read(coverage)
    if not measured.run:
        none = tuple(f"{each}: no data" for each in asked) or ("no data at all",)
        return _item(checklist.FAILED, "no data was collected", (_HOW, _EARLY), none)
    if report_failed:
        said = ("Failed to generate report",)
        return _item(checklist.FAILED, "the report could not be generated", ("coverage report shows why",), said)
    if not asked:
        return _item(checklist.UNKNOWN, "no package was named: modules that no test imports are not seen", (_HOW,))
    bad = _without_data(measured, asked) or _imported_before(measured) or _never_imported(measured, coverage)
    found = f"{_modules(measured.run)} of {', '.join(map(_shown, asked))}, with branches"
    return bad or _item(checklist.PASSED, found)


def _without_data(measured: Measured, asked: Sequence[str]) -> Item | None:
    missing = [each for each in asked if not measured.has(each)]
    if not missing:
        return None
    offenders = tuple(f"{each}: no data" for each in missing)
    return _item(checklist.FAILED, f"no data for {', '.join(missing)}", (_HOW, _EARLY), offenders)


def _imported_before(measured: Measured) -> Item | None:
    early = sorted(measured.imported_before())
    if not early:
        return None
    offenders = tuple(f"{_shown(path)}: imported before coverage began" for path in early)
    return _item(checklist.FAILED, f"{_modules(early)} imported before coverage began", (_EARLY,), offenders)


def _never_imported(measured: Measured, coverage: Coverage) -> Item | None:
    never = sorted(measured.never_imported(coverage))
    if not never:
        return None
    offenders = tuple(f"{_shown(path)}: no test imported it" for path in never)
    return _item(checklist.FAILED, f"{_modules(never)} that no test imported", (_OMIT,), offenders)


@dataclass(frozen=True, slots=True)
class Measured:
    """The Python files that coverage has in its data.

    Attributes:
        run: Those of which something ran, each with the lines that did.
        idle: Those of which nothing ran.
    """

    run: dict[str, set[int]]
    idle: list[str]

    @classmethod
    def read(cls, coverage: Coverage) -> Measured:
        """Read the data. Where coverage is still at work it goes on."""
        import warnings  # of coverage's, which it gives again at its end

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = coverage.get_data()
        run, idle = {}, []
        # What another tool traces is a template or the like.
        for path in data.measured_files():
            if data.file_tracer(path):
                continue
            lines = set(data.lines(path) or ())
            if lines:
                run[path] = lines
            else:
                idle.append(path)
        return cls(run, idle)

    def has(self, source: str) -> bool:
        """Whether something ran of a source that was asked for."""
        if os.path.isdir(source):  # noqa: PTH112 - as coverage decides it
            return any(_is_below(path, source) for path in self.run)
        return any(_is_of(path, source) for path in self.run)

    def imported_before(self) -> Iterator[str]:
        """Those of which functions ran, and nothing of the module itself."""
        for path, lines in self.run.items():
            first = _statements(path)
            if first and not lines & first:
                yield path

    def never_imported(self, coverage: Coverage) -> Iterator[str]:
        """Those of which nothing ran, and in which there is something to run."""
        left_out = _left_out(coverage)
        for path in self.idle:
            if not _is_no_module(path) and not left_out(path) and _has_statements(coverage, path):
                yield path


def _has_statements(coverage: Coverage, path: str) -> bool:
    from coverage.exceptions import CoverageException  # heavy, and loaded by now

    try:
        return bool(coverage.analysis2(path)[1])
    except CoverageException:
        return True  # it is no Python, and certainly not imported


def _left_out(coverage: Coverage) -> Callable[[str], bool]:
    """Tells whether a path is one that the report leaves out."""
    from coverage.files import GlobMatcher, prep_patterns  # heavy, and loaded by now

    omit = coverage.get_option("report:omit")
    matcher = GlobMatcher(prep_patterns([str(each) for each in omit] if isinstance(omit, list | tuple) else []), "omit")
    return lambda path: bool(matcher.match(str(Path(path).absolute())))


def _statements(path: str) -> set[int]:
    """The lines on which statements of the module itself begin, for as far as they run for certain."""
    try:
        body = ast.parse(Path(path).read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return set()  # it has changed or gone since
    return {
        line
        for node in body
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for line in (node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ())))
    }


def _is_of(path: str, module: str) -> bool:
    """Whether a file is that of a module, or lies in a package: as its path has it, below what is no package itself."""
    names = tuple(module.split("."))
    parts = (*Path(path).parts[:-1], Path(path).stem)
    return any(
        parts[at : at + len(names)] == names and not Path(*parts[:at], "__init__.py").exists()
        for at in range(len(parts))
    )


def _is_no_module(path: str) -> bool:
    name = Path(path).name
    return name in _NO_MODULES or name.startswith("test_") or name.endswith("_test.py")


def _is_below(path: str, directory: str) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(directory))


def _shown(path: str) -> str:
    return os.path.relpath(path) if Path(path).is_absolute() and _is_below(path, ".") else path


def _modules(paths: Collection[str]) -> str:
    return _number(paths, "module")


def _number(things: Collection[str], word: str) -> str:
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}"


def _item(state: str, found: str, remedy: tuple[str, ...] = (), offenders: tuple[str, ...] = ()) -> Item:
    return Item(KEY, TITLE, state, found, remedy, offenders)
