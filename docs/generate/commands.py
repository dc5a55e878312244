"""The commands, from the parser of the command line."""

from __future__ import annotations

import argparse
import re

from docs.generate import words
from pytest_pristine.cli import parser


def text() -> str:
    """The page."""
    built = parser.build()
    helps = {each.dest: each.help or "" for each in _commands(built)._choices_actions}  # noqa: SLF001 - see below
    rows = [[f"[`pristine {name}`](#pristine-{name})", _said(helps.get(name), name)] for name in _choices(built)]
    return words.page(
        "Commands",
        "What each is for, with examples, stands in [The command line](../commands.md).",
        words.table(["command", "does"], rows),
        *(_section(name, each) for name, each in _choices(built).items()),
    )


def _commands(built: argparse.ArgumentParser) -> argparse._SubParsersAction[argparse.ArgumentParser]:
    """The part of a parser that has the commands; argparse has no public way to it."""
    (found,) = (each for each in built._actions if isinstance(each, argparse._SubParsersAction))  # noqa: SLF001
    return found


def _choices(built: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    return dict(_commands(built).choices)


def _section(name: str, command: argparse.ArgumentParser) -> str:
    # The usage is laid out for the terminal of whoever makes the page.
    usage = re.sub(r"\s+", " ", command.format_usage().removeprefix("usage: ")).strip()
    rows = [
        [_names(action), _said(_filled(action), f"{name} {_names(action)}")]
        for action in command._actions  # noqa: SLF001 - argparse has no public way to them
        if not isinstance(action, argparse._HelpAction)  # noqa: SLF001 - its type is not public
    ]
    listed = words.table(["argument", "is"], rows) if rows else "It has no arguments."
    return f"## pristine {name}\n\n```text\n{usage}\n```\n\n{listed}"


def _names(action: argparse.Action) -> str:
    if not action.option_strings:
        return f"`{action.metavar or action.dest}`"
    value = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
    return ", ".join(f"`{each}{value}`" for each in action.option_strings)


def _filled(action: argparse.Action) -> str:
    """The help with its values."""
    said = action.help or ""
    if action.choices is not None and not said:
        return "one of " + ", ".join(map(str, action.choices))
    return said % {**vars(action), "prog": "pristine"}


def _said(said: str | None, name: str) -> str:
    if not said:
        raise words.UndocumentedError(f"{name} has no help")
    return said
