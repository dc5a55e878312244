"""What a project needs of a server, and what a server lacks of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from pytest_pristine.settings import Settings, Value


@dataclass(frozen=True, slots=True)
class Extension:
    """An extension that must be there to be created.

    Attributes:
        name: Its name.
        wanted_by: Who wants it, for people: "revision 0003 in migrations/versions/0003_users.py".
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
        return version + (f" with {_grouped(self.extensions)}" if self.extensions else "")

    def reason_against_version(self, major: int) -> str | None:
        """Why a server of this major version will not do; None when it will."""
        wanted = self.version.value
        if wanted in (None, major):
            return None
        return f"PostgreSQL {major} is not version {wanted} ({self.version.origin})"

    def any_version_of(self, majors: Iterable[int]) -> bool:
        """Whether servers of one of these major versions could do."""
        return any(self.reason_against_version(major) is None for major in majors)

    def reason_against_extensions(self, major: int, available: Collection[str]) -> str | None:
        """Why a server of this version with these extensions will not do; None when it will."""
        missing = [extension for extension in self.extensions if extension.name not in available]
        return f"PostgreSQL {major} there lacks {_grouped(missing)}" if missing else None


def _grouped(extensions: Collection[Extension]) -> str:
    """The extensions, with each who wants some of them once: "the extension pgcrypto (revision 0003, …)"."""
    names: dict[str, list[str]] = {}
    for extension in extensions:
        names.setdefault(extension.wanted_by, []).append(extension.name)
    return f"the extension{'s' if len(extensions) > 1 else ''} " + ", ".join(
        f"{' and '.join(several)} (for {by})" for by, several in names.items()
    )


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
