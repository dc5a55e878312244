"""An image like the one the guide names, made of Debian's own packages: nothing is downloaded but those."""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "postgres:15-alpine"
_FULL_NAME = f"docker.io/library/{NAME}"
_ENTRYPOINT = Path(__file__).parent / "start-postgres"
_PROGRAMS = "/usr/lib/postgresql/15/bin"
_CHANGES = (
    f"ENV PATH={_PROGRAMS}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
    "ENV LANG=C.UTF-8",
    f'ENTRYPOINT ["{_ENTRYPOINT.name}"]',
    'CMD ["postgres"]',
    "EXPOSE 5432",
    "VOLUME /var/lib/postgresql/data",
    "STOPSIGNAL SIGINT",
)
# What a server in a container has no use for, and the cluster that the package makes.
_SUPERFLUOUS = (
    "var/cache/apt", "var/lib/apt/lists", "var/log", "usr/share/doc", "usr/share/man", "usr/share/info",
    "usr/share/locale", "etc/postgresql/15", "var/lib/postgresql/15",
)  # fmt: skip


def digest() -> str:
    """Changes whenever another image would be built."""
    parts = (Path(__file__).read_bytes(), _ENTRYPOINT.read_bytes(), platform.machine().encode())
    return hashlib.sha256(b"\n".join(parts)).hexdigest()[:12]


def build(podman: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Build the image and give it the name.

    Args:
        podman: Runs the program with arguments, and raises if it fails.
    """
    with tempfile.TemporaryDirectory(prefix="pristine-image-") as scratch:
        root, archive = Path(scratch) / "root", Path(scratch) / "root.tar"
        _install(root)
        for name in _SUPERFLUOUS:
            shutil.rmtree(root / name, ignore_errors=True)
        (root / "var/log").mkdir()
        shutil.copy(_ENTRYPOINT, root / "usr/local/bin")
        with tarfile.open(archive, "w") as tar:
            tar.add(root, arcname=".", filter=_no_devices)
        changes = [word for change in _CHANGES for word in ("--change", change)]
        podman("import", *changes, str(archive), _FULL_NAME)


def _install(root: Path) -> None:
    """Install Debian and its PostgreSQL in a directory, from where this machine has its own packages."""
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    # In a mount namespace of its own: however it ends, nothing stays mounted in the directory.
    command = ["unshare", "--mount", "--propagation", "private", "debootstrap", "--variant=minbase"]
    _ask(*command, "--include=postgresql-15", release, str(root), _site(release))


def _site(release: str) -> str:
    """Where this machine has the packages of its release from."""
    known = _ask("apt-get", "indextargets", "--format", "$(CODENAME) $(COMPONENT) $(SITE)", "Created-By: Packages")
    sites = [line.split()[2] for line in known.splitlines() if line.startswith(f"{release} main ")]
    if not sites:
        raise RuntimeError(f"apt knows no packages of the release {release or 'that this is'}: apt-get update")
    return sites[0]


def _no_devices(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """A container gets its devices from the engine."""
    return None if member.isdev() else member


def _ask(*command: str) -> str:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout[-2000:]}{done.stderr}")
    return done.stdout
