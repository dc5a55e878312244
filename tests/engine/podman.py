"""A container engine of our own: Podman, with its own storage, serving Docker's API on its own socket."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from filelock import FileLock

from tests.conftest import wait_until
from tests.engine import image

# Outside the directories of tests: the image is kept, it takes a minute to build.
_KEPT = Path(__file__).parents[2] / ".engine"
# What must be installed, and the Debian package that has it.
_PROGRAMS = {"podman": "podman", "runc": "runc", "conmon": "conmon", "iptables": "iptables",
             "debootstrap": "debootstrap"}  # fmt: skip
_LIBRARIES = {"/usr/lib/podman/netavark": "netavark"}
# The limits that Podman would ask for are higher than a sandbox allows.
_CONFIGURATION = """
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


def missing() -> str | None:
    """Why there can be no engine here, and what to type; None when there can be one."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "sought:  root on Linux: the image is made with debootstrap\nfound:   another account or system"
    packages = [package for name, package in _PROGRAMS.items() if shutil.which(name) is None]
    packages += [package for path, package in _LIBRARIES.items() if not Path(path).exists()]
    if packages:
        wanted = " ".join(packages)
        return (
            f"sought:  a container engine, and what makes an image for it\nfound:   no {', '.join(packages)}\n"
            f"to do:   apt-get update && apt-get install --yes --no-install-recommends {wanted}"
        )
    return None


@dataclass(frozen=True)
class Engine:
    """An engine that runs.

    Attributes:
        host: Its address, for DOCKER_HOST.
        image: The name of the image that it has.
    """

    host: str
    image: str
    command: tuple[str, ...]
    environ: dict[str, str]

    def podman(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run podman, and give what it did; an error unless it ends with status 0."""
        done = subprocess.run(
            [*self.command, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            env=self.environ,
        )  # fmt: skip
        assert done.returncode == 0, f"podman {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done

    def containers(self) -> list[str]:
        """The names of all containers, running or not."""
        return self.podman("ps", "--all", "--format", "{{.Names}}").stdout.split()

    def running(self) -> list[str]:
        """The names of the containers that run."""
        return self.podman("ps", "--format", "{{.Names}}").stdout.split()

    def wait_until_empty(self) -> None:
        """Wait until no container is left."""
        wait_until(lambda: not self.containers(), "the container is removed")

    @contextmanager
    def made(self, entrypoint: str) -> Iterator[str]:
        """An image that runs a line of shell instead of a server; gives its name."""
        name = "localhost/made:1"
        with tempfile.TemporaryDirectory() as context:
            words = json.dumps(["sh", "-c", entrypoint])
            (Path(context) / "Containerfile").write_text(f"FROM {self.image}\nENTRYPOINT {words}\n", encoding="utf-8")
            self.podman("build", "--isolation", "chroot", "--pull-never", "--tag", name, context)
        try:
            yield name
        finally:
            self.podman("rmi", "--force", name)

    @contextmanager
    def listening(self, socket: Path) -> Iterator[None]:
        """Serve Docker's API on a socket."""
        with subprocess.Popen(
            [*self.command, "system", "service", "--time=0", f"unix://{socket}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self.environ,
        ) as service:  # fmt: skip
            try:
                wait_until(socket.exists, "the engine listens")
                yield
            finally:
                service.terminate()


@contextmanager
def serve(image_name: str = image.NAME) -> Iterator[Engine]:
    """Run an engine that has the image, and remove its containers at the end."""
    kept = _KEPT / image.digest()
    kept.mkdir(parents=True, exist_ok=True)
    # All containers in the storage are removed at the end: two sessions in one checkout take turns.
    with FileLock(kept / "lock"), tempfile.TemporaryDirectory(prefix="pristine-engine-") as scratch:
        configuration = Path(scratch) / "containers.conf"
        configuration.write_text(_CONFIGURATION, encoding="utf-8")
        environ = {**os.environ, "CONTAINERS_CONF": str(configuration)}
        command = ("podman", "--root", str(kept / "storage"), "--runroot", str(kept / "run"))
        socket = Path(scratch) / "docker.sock"
        engine = Engine(f"unix://{socket}", image_name, command, environ)
        try:
            if not engine.podman("images", "--quiet", image_name).stdout:
                image.build(engine.podman)
            with engine.listening(socket):
                yield engine
        finally:
            engine.podman("rm", "--force", "--all", "--volumes", "--time", "0")


def answers(url: str) -> bool:
    """Whether a server answers at a URL."""
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def main() -> int:
    """Build the image if need be, run an engine and a container; gives 0 when all that works here."""
    reason = missing()
    if reason is None:
        try:
            with serve() as engine:
                engine.podman("run", "--rm", "--publish", "127.0.0.1::5432", engine.image, "true")
                return 0
        except (AssertionError, RuntimeError, OSError) as error:
            reason = f"sought:  an engine that runs a container\nfound:   {error}"
    print(reason, file=sys.stderr)  # noqa: T201 - it is what this is run for
    return 1


if __name__ == "__main__":
    sys.exit(main())
