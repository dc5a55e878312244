"""The words of the command line."""

from __future__ import annotations

import argparse
import importlib.metadata
import re

# The port of the guide, out of the way of a server installed on the machine.
DEFAULT_PORT = 55432
SHELLS = ("bash", "zsh", "tcsh")
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_STATUSES = """
exit status: 0 when it was done, 1 when it could not be done, or something was found that must be mended, 2 when the
command was not understood; `psql` ends with the status of psql. Servers and their data are in PRISTINE_HOME.
"""


def build() -> argparse.ArgumentParser:
    """The parser."""
    parser = argparse.ArgumentParser(prog="pristine", description="A real Postgres for tests.", epilog=_STATUSES)
    parser.add_argument("--version", action="version", version=f"%(prog)s {_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_up(commands)
    down = commands.add_parser("down", help="stop servers that `pristine up` started, and remove their data")
    down.add_argument("--port", type=_port, help="only the one on this port")
    down.add_argument("--force", action="store_true", help="also while others use it")
    status = commands.add_parser("status", help="list our servers, our databases on them, and the space they take")
    prune = commands.add_parser("prune", help="remove what nobody can hold any more")
    prune.add_argument("--dry-run", action="store_true", help="say what would be removed")
    prune.add_argument("--all", action="store_true", help="also servers that nobody uses now, with their templates")
    prune.add_argument(
        "--max-size",
        type=_size,
        metavar="SIZE",
        help="remove layers, then templates, then servers that nobody uses, until no more is left: 500M, 2G",
    )
    for command in (down, status, prune):
        _add_json(command)
    psql = commands.add_parser("psql", help="open psql on a server of ours; what follows -- is psql's")
    psql.add_argument("database", nargs="?", help="the database (default: the one the server was started with)")
    psql.add_argument("--last-failed", action="store_true", help="the database of the failed test that was kept last")
    psql.add_argument("--port", type=_port, help="the server that `pristine up` started on this port")
    init = commands.add_parser("init", help="set a project up: configuration, a first test, a guide, a CI workflow")
    init.add_argument("--alembic-config", metavar="PATH", help="the project's alembic.ini, if it has several")
    init.add_argument("--yes", action="store_true", help="write without asking")
    init.add_argument("--dry-run", action="store_true", help="show what would be written")
    release = commands.add_parser(
        "release", help="note the revisions that there are: a check of migrations fails when one is edited afterwards"
    )
    release.add_argument("--alembic-config", metavar="PATH", help="the project's alembic.ini, if it has several")
    _add_json(release)
    completion = commands.add_parser("completion", help="print a script that completes commands in a shell")
    completion.add_argument("shell", choices=SHELLS)
    _add_doctor(commands)
    return parser


def _add_up(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    up = commands.add_parser("up", help="start a server that stays until `pristine down`")
    up.add_argument("--port", type=_port, default=DEFAULT_PORT, help="TCP port on 127.0.0.1 (default: %(default)s)")
    up.add_argument("--user", type=_role, default="postgres", help="superuser (default: %(default)s)")
    up.add_argument(
        "--password", type=_not_empty, help="its password (default: a random one, which pytest finds by itself)"
    )
    up.add_argument("--db", help="database (default: the user's name)")
    up.add_argument(
        "--foreground", action="store_true", help="show the server's log, and stop it when the command is ended"
    )
    _add_json(up)


def _add_json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="answer in JSON")


def _add_doctor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    doctor = commands.add_parser("doctor", help="look at everything that could keep tests from running")
    doctor.add_argument("tests", nargs="*", metavar="TESTS", help="as for pytest, which finds its ini file by them")
    doctor.add_argument("--quick", action="store_true", help="start no server and run no migration")
    _add_json(doctor)
    doctor.add_argument("--port", type=_port, default=DEFAULT_PORT, help="port to look at (default: %(default)s)")


# Postgres cuts longer names.
_NAME_BYTES = 63


def _version() -> str:
    return importlib.metadata.version("pytest-pristine")


def _not_empty(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("it cannot be empty")
    return text


def _role(text: str) -> str:
    """A name that initdb makes a superuser of, who is to own an extension: Postgres is particular about that."""
    if re.search(r"""["$'\\\x00-\x1f]""", _not_empty(text)):
        raise argparse.ArgumentTypeError(
            "the name of a user cannot have quotation marks, dollar signs, backslashes or control characters"
        )
    if text.startswith("pg_"):
        raise argparse.ArgumentTypeError("names that begin with pg_ are the server's own")
    if len(text.encode()) > _NAME_BYTES:
        raise argparse.ArgumentTypeError(f"the name of a user has at most {_NAME_BYTES} bytes")
    return text


def _port(text: str) -> int:
    port = int(text) if text.isdecimal() else 0
    if not 1 <= port <= 65535:  # noqa: PLR2004 - the range of TCP ports
        raise argparse.ArgumentTypeError("a TCP port is between 1 and 65535")
    return port


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d+)\s*([kmgt]?)(i?b)?", text.strip().lower())
    if match is None:
        raise argparse.ArgumentTypeError("a size is a number of bytes, or of units of them: 500M, 2G")
    return int(match[1]) * _UNITS[match[2]]
