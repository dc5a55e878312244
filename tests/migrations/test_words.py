"""The URL in the line of a step."""

from __future__ import annotations

import configparser

from sqlalchemy.engine import URL, make_url

from pytest_pristine.migrations import words

_SOCKET = URL.create("postgresql+psycopg", "me", "p%/w", database="db", query={"host": "/run/a b"})


def test_url_with_a_socket_can_be_put_into_a_configuration_file() -> None:
    """Applications hand their URL to configparser, to which the percent sign of an escaped slash means something."""
    filled = words.fill("{url:postgresql}", _SOCKET.set(password="word", query={"host": "/run/sockets"}))
    assert filled == "postgresql://me:word@/db?host=/run/sockets"
    parser = configparser.ConfigParser()
    parser.read_dict({"app": {"url": filled}})
    assert parser["app"]["url"] == filled


def test_url_is_the_same_when_it_is_read_again() -> None:
    """Whatever stands in it, an application that reads it has the same database and password."""
    assert make_url(words.render(_SOCKET)) == _SOCKET
