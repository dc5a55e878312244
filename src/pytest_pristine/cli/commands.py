"""The commands. What they do is done elsewhere: here it is asked for, and shown."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, replace

import shtab

from pytest_pristine.cli import foreground, parser, project, psql, setting_up, wording
from pytest_pristine.postgres import names, urls
from pytest_pristine.servers import home, inventory, up
from pytest_pristine.servers.up import Running
from pytest_pristine.settings import OPTION, Value
from pytest_pristine.templates.pruning import Pruner, Removal

# It is Alembic's revisions that are noted.
_NAME_ONE = "name one: pristine release --alembic-config PATH, relative to the directory of the ini file"


def run(arguments: argparse.Namespace) -> int:
    """Run the command that the arguments name; gives the exit status."""
    return _COMMANDS[arguments.command](arguments)


def _up(arguments: argparse.Namespace) -> int:
    database = arguments.db or arguments.user
    server, started = up.start(project.read(), arguments.port, arguments.user, arguments.password, database)
    shown = {"started": started, **_described(server)}
    text = [f"{'started' if started else 'running already'}: {shown['url']} (pid {server.pid})"]
    if arguments.password is None and started:
        text.append("the password is random; pytest finds this server by itself. Choose one with --password")
    _answer(arguments, shown, text)
    return foreground.follow(server) if arguments.foreground else 0


def _down(arguments: argparse.Namespace) -> int:
    directory = home.locate(project.read().home)
    started = up.servers(directory)
    found = [server for server in started if arguments.port in (None, server.port)]
    for server in found:
        up.stop(server, force=arguments.force)
    stopped = [_described(server) for server in found]
    others = ", ".join(f"on port {server.port}" for server in started)
    nothing = f"nothing to stop on port {arguments.port}; started were those {others}" if others else "nothing to stop"
    _answer(arguments, {"stopped": stopped}, [f"stopped: {each['url']}" for each in stopped] or [nothing])
    return 0


def _status(arguments: argparse.Namespace) -> int:
    settings = project.read()
    found = inventory.take(home.locate(settings.home), settings.url)
    _answer(arguments, asdict(found), [*wording.of_inventory(found)])
    return 0


def _prune(arguments: argparse.Namespace) -> int:
    settings = project.read()
    pruner = Pruner(home.locate(settings.home), arguments.dry_run, settings.url)
    removed: list[Removal] = []
    try:
        removed.extend(pruner.prune(everything=arguments.all, limit=arguments.max_size))
    finally:
        # Also when something could not be removed.
        total = sum(removal.bytes for removal in removed)
        verb = "would remove" if arguments.dry_run else "removed"
        text = [f"{verb}: {removal.what}, {wording.size(removal.bytes)}" for removal in removed]
        shown = {"dry_run": arguments.dry_run, "bytes": total, "removed": [asdict(removal) for removal in removed]}
        _answer(arguments, shown, [*text, f"{verb} {wording.size(total)} in all"] if text else ["nothing to remove"])
    return 0


def _psql(arguments: argparse.Namespace) -> int:
    settings, name = project.read(), arguments.database
    if arguments.last_failed or (name is not None and names.is_kept(name)):
        return psql.run_on_kept(settings, None if arguments.last_failed else name, arguments.arguments)
    return psql.run(settings, name, arguments.port, arguments.arguments)


def _init(arguments: argparse.Namespace) -> int:
    return setting_up.run(arguments.alembic_config, assume_yes=arguments.yes, dry=arguments.dry_run)


def _release(arguments: argparse.Namespace) -> int:
    from pytest_pristine.migrations import checks, chosen, released  # other commands need none

    settings, root = project.read_with_root()
    if arguments.alembic_config is not None:
        named = Value(arguments.alembic_config, OPTION, "--alembic-config")
        settings = replace(settings, alembic_config=named, migrations=Value(("alembic",), OPTION, named.origin))
    new = released.note(checks.of_alembic(chosen.of_settings(root, settings), _NAME_ONE))
    _answer(arguments, {"released": new}, [f"released: {revision}" for revision in new] or ["nothing new to note"])
    return 0


def _completion(arguments: argparse.Namespace) -> int:
    _print(shtab.complete(parser.build(), arguments.shell))
    return 0


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "up": _up, "down": _down, "status": _status, "prune": _prune, "psql": _psql, "init": _init,
    "completion": _completion, "release": _release,
}  # fmt: skip


def _described(server: Running) -> dict[str, object]:
    return {"port": server.port, "url": urls.show(server.url), "pid": server.pid, "directory": str(server.directory)}


def _answer(arguments: argparse.Namespace, data: object, text: list[str]) -> None:
    """Show an answer as it was asked for. No part of it holds a password."""
    _print(json.dumps(data, indent=2) if arguments.json else "\n".join(text))


def _print(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - it is what a command is for
