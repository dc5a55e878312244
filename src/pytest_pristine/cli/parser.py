"""The words of the command line."""

from __future__ import annotations

import argparse

# The port of the guide, out of the way of a server installed on the machine.
DEFAULT_PORT = 55432


def build() -> argparse.ArgumentParser:
    """The parser."""
    parser = argparse.ArgumentParser(prog="pristine", description="A real Postgres for tests.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="start a server that stays until `pristine down`")
    up.add_argument("--port", type=_port, default=DEFAULT_PORT, help="TCP port on 127.0.0.1 (default: %(default)s)")
    up.add_argument("--user", default="postgres", help="superuser (default: %(default)s)")
    up.add_argument(
        "--password", type=_not_empty, help="its password (default: a random one, which pytest finds by itself)"
    )
    up.add_argument("--db", help="database (default: the user's name)")
    down = commands.add_parser("down", help="stop servers that `pristine up` started, and remove their data")
    down.add_argument("--port", type=_port, help="only the one on this port")
    commands.add_parser("status", help="list our servers, and our databases on them")
    _add_doctor(commands)
    return parser


def _add_doctor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    doctor = commands.add_parser("doctor", help="look at everything that could keep tests from running")
    doctor.add_argument("tests", nargs="*", metavar="TESTS", help="as for pytest, which finds its ini file by them")
    doctor.add_argument("--quick", action="store_true", help="start no server and run no migration")
    doctor.add_argument("--json", action="store_true", help="for programs")
    doctor.add_argument("--port", type=_port, default=DEFAULT_PORT, help="port to look at (default: %(default)s)")


def _not_empty(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("it cannot be empty")
    return text


def _port(text: str) -> int:
    port = int(text)
    if not 1 <= port <= 65535:  # noqa: PLR2004 - the range of TCP ports
        raise argparse.ArgumentTypeError("a TCP port is between 1 and 65535")
    return port
