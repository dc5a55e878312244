"""Warnings about tests. A project makes errors of them with pytest's `filterwarnings`."""

from __future__ import annotations


class PristineWarning(UserWarning):
    """The base of all warnings of ours."""


class SchemaChangedWarning(PristineWarning):
    """A test committed what cannot be undone row by row, a change of the schema as a rule: the database was made anew.

    That takes some hundred times as long as a restore.
    """


class LeftoverWarning(PristineWarning):
    """A test left something that outlives it: a prepared transaction, a session that holds an advisory lock."""


class EscapedWarning(PristineWarning):
    """A test committed something past the session whose transactions are rolled back.

    It was put back as `clean_database` does it, which takes longer.
    """
