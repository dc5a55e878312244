"""Which files a project gets, as differences to what it has."""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from string import Template

from pytest_pristine.errors import SettingError
from pytest_pristine.scaffold import survey, texts
from pytest_pristine.scaffold.survey import Project

FIRST_TEST = "test_postgres.py"
GUIDE = Path("docs/testing-with-postgres.md")
WORKFLOW = Path(".github/workflows/tests.yml")
_ALEMBIC_KEY = "pristine_alembic_config"


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
        old = [] if self.before is None else self.before.decode().splitlines(keepends=True)
        new = self.after.decode().splitlines(keepends=True)
        name = self.path.as_posix()
        return "".join(difflib.unified_diff(old, new, "/dev/null" if self.before is None else f"a/{name}", f"b/{name}"))


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
    wanted = {
        project.tests / FIRST_TEST: _test(project),
        GUIDE: _fill(texts.GUIDE, project),
        WORKFLOW: _fill(texts.WORKFLOW, project),
    }
    if project.configuration is None:
        key = "" if project.found_by_itself else f"{_ALEMBIC_KEY} = {project.alembic.as_posix()}\n"
        wanted[Path("pytest.ini")] = texts.CONFIGURATION.substitute(tests=project.tests.as_posix(), setting=key)
    elif project.found_by_itself:
        remarks.append(f"{project.configuration} configures pytest, and needs nothing: it is left alone")
    else:
        changes.append(_insertion(project, project.configuration))
    for path, text in wanted.items():
        if (project.root / path).exists():
            remarks.append(f"{path} is there already: it is left alone")
        else:
            changes.append(Change(path, None, text.encode()))
    if project.env_py is not None:
        remarks.append(
            f"{project.env_py} seems to take its database from elsewhere than Alembic's configuration: make it use "
            'config.attributes["connection"] or config.get_main_option("sqlalchemy.url"), or override apply_migrations'
        )
    return Plan(tuple(changes), tuple(remarks))


def _fill(template: Template, project: Project) -> str:
    coverage = "".join(f" --cov={name}" for name in project.packages) or " --cov"
    first = (project.tests / FIRST_TEST).as_posix()
    return template.substitute(
        install=project.install,
        command=f"pytest {project.tests.as_posix()}{coverage} --cov-branch --cov-report=term-missing",
        alembic=project.alembic.as_posix(),
        first=first,
        link=Path(os.path.relpath(first, GUIDE.parent)).as_posix(),
    ).replace("pip install  ", "pip install ")


def _test(project: Project) -> str:
    depth = len(project.tests.parts)
    return texts.TEST.substitute(depth=depth, alembic=project.alembic.as_posix())


def _insertion(project: Project, configuration: Path) -> Change:
    """The configuration file with our setting as the first of pytest's section; no other byte is touched."""
    path = project.root / configuration
    before = path.read_bytes()
    value = project.alembic.as_posix()
    line = f'{_ALEMBIC_KEY} = "{value}"' if configuration.name == survey.PYPROJECT else f"{_ALEMBIC_KEY} = {value}"
    header = re.compile(
        rb"^\[" + re.escape(survey.section(configuration)).encode() + rb"\][^\r\n]*(\r?\n|\Z)", re.MULTILINE
    )
    found = list(header.finditer(before))
    if len(found) != 1 or _ALEMBIC_KEY.encode() in before:
        raise SettingError(
            f"the place for {line} in {path}", f"{len(found)} sections of pytest, or the setting itself",
            [f"add it yourself, in [{survey.section(configuration)}]"],
        )  # fmt: skip
    newline = b"\r\n" if found[0][1] == b"\r\n" else b"\n"
    at = found[0].end()
    opening = b"" if found[0][1] else newline
    return Change(configuration, before, before[:at] + opening + line.encode() + newline + before[at:])
