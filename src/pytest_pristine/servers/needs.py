"""What a project needs of a server, and what a server lacks of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pytest_pristine.settings import Settings, Value


@dataclass(frozen=True, slots=True)
class Extension:
    """An extension that must be there to be created.

    Attributes:
        name: Its name.
        wanted_by: Who wants it, for people: "revision 0003 (migrations/versions/0003_users.py)".
    """

    name: str
    wanted_by: str


@dataclass(frozen=True, slots=True)
class Needs:
    """What a server must have.

    Attributes:
        version: The major version; its value is None for any.
        extensions: What the project creates, or says that it uses.
    """

    version: Value[int | None]
    extensions: tuple[Extension, ...] = ()

    def __str__(self) -> str:
        """As it follows the words "a Postgres server"; empty when nothing is needed."""
        version = "" if self.version.value is None else f" of version {self.version.value} ({self.version.origin})"
        wanted = " and ".join(f"{each.name}, wanted by {each.wanted_by}" for each in self.extensions)
        return version + (f" with the extension {wanted}" if wanted else "")

    def reason_against_version(self, major: int) -> str | None:
        """Why a server of this major version will not do; None when it will."""
        wanted = self.version.value
        if wanted in (None, major):
            return None
        return f"it is PostgreSQL {major}, and {wanted} is asked for ({self.version.origin})"

    def reason_against_extensions(self, available: Collection[str]) -> str | None:
        """Why a server that has these extensions will not do; None when it will."""
        missing = [extension for extension in self.extensions if extension.name not in available]
        if not missing:
            return None
        return "; ".join(f"it has no extension {each.name}, which {each.wanted_by} wants" for each in missing)


def read(settings: Settings, created: Collection[Extension] = ()) -> Needs:
    """The needs that the settings state.

    Args:
        settings: The settings.
        created: The extensions that the project's migrations create: what it needs where the settings name none.
    """
    named = settings.extensions
    if named.value is not None:
        return Needs(settings.postgres_version, tuple(Extension(name, named.origin) for name in named.value))
    return Needs(settings.postgres_version, tuple(created))
