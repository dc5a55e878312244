"""The command `doctor`. What it imports works where what the other commands import does not."""

from __future__ import annotations

import argparse
import io
import os
import sys
from pathlib import Path

from pytest_pristine.diagnosis import checkup, context, layout
from pytest_pristine.errors import SettingError


def run(arguments: argparse.Namespace) -> int:
    """Look at everything and tell it; gives the exit status: 1 when something has failed."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a path, or a message in another language
    looked_at = context.read(_directory(), arguments.tests, os.environ, arguments.port)
    style = layout.style(sys.stdout, os.environ)
    groups = []
    for group in checkup.run(looked_at, quick=arguments.quick):
        groups.append(group)
        if not arguments.json:
            for line in layout.lines(group, style):
                print(line, flush=True)  # noqa: T201 - it is what a command is for
    last = layout.as_json(groups) if arguments.json else layout.summary(groups, style)
    print(last)  # noqa: T201 - the same
    return int(layout.has_failed(groups))


def _directory() -> Path:
    """Where we are.

    Raises:
        SettingError: It was removed meanwhile.
    """
    try:
        return Path.cwd()
    except OSError as error:
        raise SettingError("the current directory", str(error.strerror), ["cd to the project"]) from None
