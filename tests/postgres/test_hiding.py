"""Passwords in texts that somebody else wrote."""

from __future__ import annotations

import json
from pprint import pformat

import pytest
from _pytest._io.saferepr import saferepr
from psycopg.conninfo import make_conninfo
from sqlalchemy.engine import URL

from pytest_pristine.postgres import hiding

PASSWORDS = ["Sesam-7", 'it\'s \\ "so" so%20 +:@/?#', "größe ✓'", 'a "b', "a 'b", " blank ", "back\\slash"]


@pytest.mark.parametrize("password", PASSWORDS)
def test_however_it_is_spelt(password: str) -> None:
    """A password is hidden in connection strings and URLs, as such and as Python and JSON write them."""
    conninfo = make_conninfo(user="u", password=password, host="h")
    url = URL.create("postgresql", "u", password, "h", database="d").render_as_string(hide_password=False)
    for text in (f"x: {password};", conninfo, url):
        for written in (text, repr(text), ascii(text), repr(text.encode()), json.dumps(text), repr([text, "'"])):
            hidden = hiding.hide(written, password)
            assert hiding.HIDDEN in hidden, written
            assert password not in hidden
            # Another password in the same place would be shown by what is left.
            assert len(hidden) <= len(written) - len(password) + len(hiding.HIDDEN)


@pytest.mark.parametrize("length", range(10, 70))
def test_however_it_is_cut(length: int) -> None:
    """Where a value is cut in the middle of a password no end of it is left that says more than a few characters."""
    password = "Sesam-oeffne-dich-und-zwar-sofort"  # noqa: S105 - what must not be shown
    shown = hiding.hide(saferepr(f"postgresql://u:{password}@h/d", maxsize=length), password)
    for start in range(len(password) - 3):
        assert password[start : start + 4] not in shown


def test_however_it_is_broken_into_lines() -> None:
    """A password with blanks is hidden where a long text is broken into lines after one."""
    password = " ".join(["Sesam", "oeffne", "dich"] * 10)
    shown = pformat({"password": password, "user": "u"})
    assert shown.count("\n") > 1
    assert "oeffne" not in hiding.hide(shown, password)


def test_a_short_one_in_other_words() -> None:
    """A short password that is part of other words leaves them as they are."""
    assert hiding.hide("test tests attest", "test") == "*** tests attest"
