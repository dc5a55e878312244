"""What happens to a database: the DDL that made it, and what tests then do, step by step.

A story is all there is to know of an example: played again it takes the same course. The machine makes stories up as
it goes; those that went wrong are kept in `test_found`.
"""

from __future__ import annotations

from dataclasses import dataclass

# Sessions of the role that restores, which live as long as nobody ends them, and one of the superuser.
CLIENTS = ("a", "b", "c")
ROOT = "root"

# In a statement, the quoted name of the database it is run in.
DATABASE = "{database}"


@dataclass(frozen=True, slots=True)
class Step:
    """A statement, or several in one message, run by one session.

    Attributes:
        who: One of `CLIENTS`, `ROOT`; or what `RESTORE`, `PREPARE` and `LEAVE` are.
        sql: The statement; for `LEAVE`, whose session is closed.
        data: What follows a COPY ... FROM STDIN.
        schema: The database may have to be made anew for it.
    """

    who: str
    sql: str = ""
    data: str | None = None
    schema: bool = False

    def __repr__(self) -> str:
        if self in _NAMED:
            return _NAMED[self]
        further = f", data={self.data!r}" if self.data is not None else ""
        return f"Step({self.who!r}, {self.sql!r}{further}{', schema=True' if self.schema else ''})"


# A test begins: what was done until now was done by fixtures of a wider scope, or between tests.
PREPARE = Step("prepare")
# A test ends.
RESTORE = Step("restore")
_NAMED = {PREPARE: "PREPARE", RESTORE: "RESTORE"}


def leave(who: str) -> Step:
    """A session is closed, whatever it had begun."""
    return Step("leave", who)


@dataclass(frozen=True, slots=True)
class Story:
    """All that happens to one database.

    Attributes:
        ddl: The statements that make its template. Those that name the database are run in each copy as well, for
            that is what no copy takes along.
        steps: What happens to the copy.
    """

    ddl: tuple[str, ...]
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        """The story as Python, for `test_found`."""
        ddl = "".join(f"\n        {statement!r}," for statement in self.ddl)
        steps = "".join(f"\n        {step!r}," for step in self.steps)
        return f"Story(\n    ddl=({ddl}\n    ),\n    steps=({steps}\n    ),\n)"
