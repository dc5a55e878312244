"""The settings, from where they are declared."""

from __future__ import annotations

from docs.generate import words
from pytest_pristine import settings
from pytest_pristine.settings import Setting

# No setting takes this for a value, unless it takes any text.
_NONSENSE = "\N{SNOWMAN}"
# What reaches a run beside the settings. A test holds it against the source.
VARIABLES = {
    "CI": "Set to anything but `0` or `false`, it makes the default of `pristine_linger` 0: the server stops with its "
    "last run.",
    "DOCKER_HOST": "The container engine that the source `docker` asks, and then the only one.",
    "DOCKER_CONTEXT": "The docker context that it asks, in place of the active one.",
    "GITHUB_STEP_SUMMARY": "The file to which a run with `--pristine-report` adds its summary. GitHub sets it.",
    "XDG_RUNTIME_DIR": "Where the socket of Podman is looked for.",
    "PRISTINE_INPUTS": "In a line `command: …` of `pristine_migrations`: what that command reads. It is no variable of "
    "the run.",
    "PRISTINE_SQLITE_WATCH": "Set by a run for the processes that guarded tests start. Not to be set by hand.",
    "PRISTINE_WORKER": "Set by a run with `pristine_export` for the workers of pytest-xdist. Not to be set by hand.",
    "PRISTINE_INQUIRY_ANSWER": "Set by `pristine doctor` when it asks pytest for the settings. Not to be set by hand.",
}
_PRECEDENCE = """
Each can be given as an option of pytest, an environment variable or an ini key (in `pytest.ini`, or under
`[tool.pytest.ini_options]` in `pyproject.toml`), in that order of precedence. A value that is given but empty counts as
given: it hides what stands further down. `pristine doctor` shows every value with where it came from.
"""


def text() -> str:
    """The page."""
    every = sorted(settings.ALL, key=lambda setting: setting.name)
    rows = [[f"[`{setting.ini}`](#{setting.ini})", _help(setting)] for setting in every]
    return words.page(
        "Settings",
        _PRECEDENCE,
        words.table(["ini key", "is"], rows),
        *map(_section, every),
        "## Other variables",
        words.table(["variable", "does"], [[f"`{name}`", said] for name, said in VARIABLES.items()]),
        "What libpq itself reads (`PGPASSWORD`, `PGPASSFILE`, `PGSERVICE`, ...) is obeyed for a server that is named "
        "by URL; `pristine doctor` names those that are set.",
    )


def _help(setting: Setting[object]) -> str:
    if not setting.help:
        raise words.UndocumentedError(f"the setting {setting.name} has no help")
    return setting.help[0].upper() + setting.help[1:]


def _section(setting: Setting[object]) -> str:
    option = setting.option if setting.flag else f"{setting.option}=VALUE"
    rows = [
        ["option", f"`{option}`"],
        ["environment", f"`{setting.environ}`"],
        ["ini key", f"`{setting.ini}`" + (", a list, one entry a line" if setting.lines else "")],
        ["values", _values(setting)],
        ["default", _default(setting)],
    ]
    return f"## {setting.ini}\n\n{_help(setting)}.\n\n{words.table(['', ''], rows)}"


def _values(setting: Setting[object]) -> str:
    """What its parser takes, in the parser's own words."""
    try:
        setting.parse(_NONSENSE)
    except ValueError as error:
        return str(error)
    return "a list" if setting.lines else "text"


def _default(setting: Setting[object]) -> str:
    value = setting.default
    if value is None or value == ():
        return "none"
    if isinstance(value, tuple):
        return ", ".join(f"`{each}`" for each in value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
