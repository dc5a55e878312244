"""The command line `pristine`: a server started by hand, and what is running."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pytest_pristine.cli import parser
from pytest_pristine.errors import PristineError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit status: 0 when it was done, 1 when it could not be, 2 (from argparse) when it was not understood.
    """
    chosen = parser.build().parse_args(arguments)
    if chosen.command == "doctor":
        from pytest_pristine.cli import doctor  # it must run where the others cannot be imported

        return doctor.run(chosen)
    from pytest_pristine.cli import commands  # imports the driver

    try:
        return commands.run(chosen)
    except PristineError as error:
        print(error, file=sys.stderr)  # noqa: T201 - it is what a command is for
        return 1
