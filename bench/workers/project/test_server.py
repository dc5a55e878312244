"""Tells the benchmark where the server is; it needs pytest-pristine."""

import json
from collections.abc import Callable
from pathlib import Path

from pytest_pristine import PostgresServer, Workspace


def test_server(postgres_server: PostgresServer, apply_migrations: Workspace, notes: Callable[[str], Path]) -> None:
    """There is one, and it has a template."""
    url = postgres_server.url.render_as_string(hide_password=False)
    notes("server.json").write_text(json.dumps({"url": url, "template": apply_migrations.template}), encoding="utf-8")
