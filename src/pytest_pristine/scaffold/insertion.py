"""One setting of ours in a configuration file that is there. No other byte of it is touched."""

from __future__ import annotations

import json
import re
import tomllib

from pytest_pristine.errors import SettingError

_INI_SECTIONS = {"setup.cfg": "tool:pytest"}
# Files that are pytest's alone, and may lack its section.
_DEDICATED = ("pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml")


def line(name: str, key: str, value: str) -> str:
    """The setting as a line of the file of that name.

    Raises:
        SettingError: The file cannot hold such a value.
    """
    if name.endswith(".toml"):
        return f"{key} = {json.dumps(value, ensure_ascii=False)}"
    if value != value.strip() or len(value.splitlines()) != 1:
        raise SettingError(
            f"to write {key} = {value!r} into {name}",
            "a line of an ini file cannot hold it",
            ["rename what has such a name"],
        )
    return f"{key} = {value}"


def insert(name: str, before: bytes, key: str, value: str) -> bytes:
    """The file with the setting as the first of pytest's section.

    Args:
        name: The file's name, which says what it is.
        before: What it holds.
        key: The setting.
        value: Its value.

    Raises:
        SettingError: It is not certain where the setting belongs.
    """
    section = _section(name, before)
    text = line(name, key, value).encode()
    newline = b"\r\n" if b"\r\n" in before else b"\n"
    header = re.compile(rb"^\[" + re.escape(section).encode() + rb"\][^\r\n]*(\r?\n|\Z)", re.MULTILINE)
    found = list(header.finditer(before))
    if len(found) == 1:
        at = found[0].end()
        opening = b"" if found[0][1] else newline
        return before[:at] + opening + text + newline + before[at:]
    if not found and name in _DEDICATED and b"[pytest]" not in before:
        opening = b"" if not before or before.endswith(b"\n") else newline
        return before + opening + b"[pytest]" + newline + text + newline
    raise SettingError(
        f"the place for {text.decode()} in {name}",
        f"{'no line' if not found else f'{len(found)} lines'} [{section}]",
        ["add it yourself to pytest's settings there, and try again"],
    )


def _section(name: str, before: bytes) -> str:
    """The section that is pytest's."""
    if name != "pyproject.toml":
        return _INI_SECTIONS.get(name, "pytest")
    table = tomllib.loads(before.decode())["tool"]["pytest"]
    return "tool.pytest.ini_options" if "ini_options" in table else "tool.pytest"
