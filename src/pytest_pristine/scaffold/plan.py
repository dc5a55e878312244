"""Which files a project gets, as differences to what it has."""

from __future__ import annotations

import difflib
import json
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template

from pytest_pristine.scaffold import insertion, revisions, texts
from pytest_pristine.scaffold.survey import Project

CONFIGURATION = Path("pytest.ini")
GUIDE = Path("docs/testing-with-postgres.md")
WORKFLOW = Path(".github/workflows/tests.yml")
# A command that is a text of YAML as it stands.
_PLAIN = re.compile(r"[\w./= -]+")


@dataclass(frozen=True, slots=True)
class Change:
    """A file to be written.

    Attributes:
        path: Relative to the project's root.
        before: What it holds; None when it is not there.
        after: What it will hold.
    """

    path: Path
    before: bytes | None
    after: bytes

    def diff(self) -> str:
        """The change as `diff -u` shows it."""
        name = self.path.as_posix()
        old = "/dev/null" if self.before is None else f"a/{name}"
        lines = difflib.unified_diff(_lines(self.before or b""), _lines(self.after), old, f"b/{name}")
        return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be written, and what is to be said.

    Attributes:
        changes: The files.
        remarks: What was left alone and what to look at, a sentence each.
    """

    changes: tuple[Change, ...]
    remarks: tuple[str, ...]


def make(project: Project) -> Plan:
    """Plan the files that a project lacks. One that is there is left alone.

    Raises:
        SettingError: A setting is needed in a configuration file in which it is not certain where it belongs.
    """
    changes, remarks = [], []
    if project.configuration is not None and project.told:
        remarks.append(f"{project.configuration} configures pytest, and needs nothing: it is left alone")
    elif project.configuration is not None:
        changes.append(_insertion(project, project.configuration))
    for path, text in _wanted(project).items():
        # A link that leads nowhere is there as well.
        if os.path.lexists(project.root / path):
            remarks.append(f"{path} is there already: it is left alone")
        else:
            changes.append(Change(path, None, text.encode()))
    return Plan(tuple(changes), (*remarks, *_remarks(project)))


def _wanted(project: Project) -> dict[Path, str]:
    """The files that a project should have."""
    wanted = {project.first_test: texts.TEST, GUIDE: _fill(texts.GUIDE, project)}
    if project.repository is None:
        wanted[WORKFLOW] = _fill(texts.WORKFLOW, project)
    if project.configuration is None:
        wanted[CONFIGURATION] = texts.CONFIGURATION.substitute(settings=_settings(project))
    return wanted


def _remarks(project: Project) -> Iterator[str]:
    """What whoever reads the changes should know."""
    if project.outer is not None:
        yield f"{project.outer} configures pytest so far: in this directory {CONFIGURATION} takes its place"
    if project.repository is not None:
        yield f"GitHub reads no workflow but those in {project.repository / WORKFLOW.parent}: none is written"
    if not project.install:
        yield (
            "no setup.py, no [build-system] in pyproject.toml and no requirements*.txt tells how this project is "
            f"installed: add it to {GUIDE} and {WORKFLOW}"
        )
    if project.doubt is not None:
        yield (
            f'{project.doubt}: make it use config.attributes["connection"] or '
            'config.get_main_option("sqlalchemy.url"), or override apply_migrations'
        )


def _settings(project: Project) -> str:
    """The settings of a new configuration, a line each."""
    lines = []
    if project.pythonpath is not None:
        lines.append(f"pythonpath = {project.pythonpath}\n")
    if not project.told:
        value = project.alembic.as_posix()
        lines.append(insertion.line(CONFIGURATION.name, revisions.KEY, value) + "\n")
    return "".join(lines)


def _fill(template: Template, project: Project) -> str:
    coverage = [f"--cov={name}" for name in project.packages] or ["--cov"]
    words = ["pytest", project.first_test.parent.as_posix(), *coverage, "--cov-branch", "--cov-report=term-missing"]
    install, command = f"{f'pip install {project.install}'.rstrip()} pytest-pristine pytest-cov", shlex.join(words)
    first = project.first_test.as_posix()
    return template.substitute(
        install=install,
        install_step=_yaml(install),
        command=command,
        command_step=_yaml(command),
        python=project.python,
        alembic=project.alembic.as_posix(),
        first=first,
        link=Path(os.path.relpath(first, GUIDE.parent)).as_posix(),
    )


def _yaml(text: str) -> str:
    """A text for YAML: in quotes, in which it is JSON's, where it would mean something else without."""
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _insertion(project: Project, configuration: Path) -> Change:
    before = (project.root / configuration).read_bytes()
    value = project.alembic.as_posix()
    return Change(configuration, before, insertion.insert(configuration.name, before, revisions.KEY, value))


def _lines(content: bytes) -> list[str]:
    """The lines of a file, to be shown; what is no UTF-8 is shown as what it is not."""
    return content.decode(errors="replace").splitlines(keepends=True)
