"""The URL in the line of a step."""

from __future__ import annotations

import configparser

from sqlalchemy.engine import make_url

from pytest_pristine.migrations import words

_SOCKET = make_url("postgresql+psycopg://me:p%25%2Fw@/db?host=%2Frun%2Fa+b")


def test_url_with_a_socket_can_be_put_into_a_configuration_file() -> None:
    """Applications hand their URL to configparser, to which the percent sign of an escaped slash means something."""
    filled = words.fill("{url:postgresql}", make_url("postgresql+psycopg://me:word@/db?host=%2Frun%2Fsockets"))
    assert filled == "postgresql://me:word@/db?host=/run/sockets"
    parser = configparser.ConfigParser()
    parser.read_dict({"app": {"url": filled}})
    assert parser["app"]["url"] == filled


def test_url_is_the_same_when_it_is_read_again() -> None:
    """Whatever stands in it, an application that reads it has the same database and password."""
    assert make_url(words.render(_SOCKET)) == _SOCKET
