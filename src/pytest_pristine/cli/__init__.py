"""The command line `pristine`: a server started by hand, what is running, and a project set up."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pytest_pristine import progress
from pytest_pristine.cli import parser
from pytest_pristine.errors import PristineError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit status: 0 when it was done, 1 when it could not be, 2 (from argparse) when it was not understood.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    # What follows is another program's, and may look like ours.
    own = words.index("--") if "--" in words else len(words)
    chosen = parser.build().parse_args(words[:own], argparse.Namespace(arguments=words[own + 1 :]))
    try:
        if chosen.command == "doctor":
            from pytest_pristine.cli import doctor  # it must run where what the others import is broken

            return doctor.run(chosen)
        from pytest_pristine.cli import commands  # imports the driver

        with progress.shown_on(sys.stderr):
            return commands.run(chosen)
    except PristineError as error:
        print(error, file=sys.stderr)  # noqa: T201 - it is what a command is for
        return 1
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python would complain when it flushes at its end.
        sys.stdout = None
        return 1
