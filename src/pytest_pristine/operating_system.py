"""All that differs between operating systems, in one place.

Linux, macOS and Windows are told apart here and nowhere else. Three things differ for us: whether a server may be
run by the account we have (Postgres refuses root), whether it can listen on a Unix socket, and how a process is cut
loose from the terminal.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# Bytes of a socket's path that every system takes (104 on macOS and the BSDs, 108 on Linux), closing zero included.
SOCKET_PATH_LIMIT = 103

# Accounts that may run a server when we are root, in order of preference. None is ever created.
_UNPRIVILEGED_ACCOUNTS = ("postgres", "nobody")
# Variables that reach the programs of Postgres when another account runs them.
_NEEDED_BY_SERVERS = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZ", "TZDIR")


@dataclass(frozen=True, slots=True)
class Account:
    """An account of the operating system, other than our own, that runs a server for us."""

    name: str
    uid: int
    gid: int


def server_account() -> Account | None:
    """The account that must run a server; None when our own will do.

    Postgres refuses to run as root, so root borrows an existing account without privileges.

    Raises:
        LookupError: We are root and the system has no such account.
    """
    if sys.platform == "win32" or os.geteuid() != 0:
        return None
    import pwd  # the module does not exist on Windows

    for name in _UNPRIVILEGED_ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise LookupError(f"none of the accounts {', '.join(_UNPRIVILEGED_ACCOUNTS)}")


def account_name() -> str:
    """The name of the account that runs our servers."""
    account = server_account()
    if account is not None:
        return account.name
    import getpass  # needed for messages alone

    return getpass.getuser()


def owner() -> str:
    """Whose this process is, for people on other machines: `alice@build7, process 4711`."""
    import getpass  # needed for messages alone

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "somebody"  # a user id without an account, as in containers
    return f"{user}@{socket.gethostname()}, process {os.getpid()}"


def after_fork_in_child(call: Callable[[], None]) -> None:
    """Have something called in every fork of this process, where the system has forks."""
    if sys.platform != "win32":
        os.register_at_fork(after_in_child=call)


def before_fork(call: Callable[[], None]) -> None:
    """Have something called before every fork of this process, where the system has forks."""
    if sys.platform != "win32":
        os.register_at_fork(before=call)


def cache_home() -> Path:
    """The directory for servers and their data when the user named none.

    Root's own cache lies below a directory that other accounts cannot enter, and the server runs as one of those.
    """
    if sys.platform != "win32" and os.geteuid() == 0:
        return Path("/var/cache/pytest-pristine")
    import platformdirs  # workers of a run do not need it

    return platformdirs.user_cache_path("pytest-pristine", appauthor=False)


def sockets_work(directory: Path) -> bool:
    """Whether a server can listen on a Unix socket in this directory, and only we can reach it.

    Windows has Unix sockets, but no directory modes to guard them with.
    """
    path = directory / ".s.PGSQL.65535"
    return sys.platform != "win32" and len(os.fsencode(path)) <= SOCKET_PATH_LIMIT


def make_passable(directory: Path) -> None:
    """Make a directory, and its parents, that a server's account can pass through; one that is there is left alone."""
    if directory.is_dir():
        return
    make_passable(directory.parent)
    directory.mkdir(exist_ok=True)
    if sys.platform != "win32" and os.geteuid() == 0:
        directory.chmod(0o711)  # whatever our umask says


def make_private(directory: Path, account: Account | None) -> None:
    """Make a directory that only its owner (the account, or we) can enter; the parents exist."""
    directory.mkdir(mode=0o700, exist_ok=True)
    if sys.platform != "win32":
        directory.chmod(0o700)
        if account is not None:
            os.chown(directory, account.uid, account.gid)


def write_private(path: Path, text: str, account: Account | None = None) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mode 0600 from the start
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    if sys.platform != "win32" and account is not None:
        os.chown(name, account.uid, account.gid)
    Path(name).replace(path)


def reason_not_owned(path: Path, account: Account | None) -> str | None:
    """Why an account (None: our own) is not the owner of a file or directory; None when it is."""
    if sys.platform == "win32":
        return None
    owner, wanted = path.stat().st_uid, os.geteuid() if account is None else account.uid
    return None if owner == wanted else f"it belongs to the user id {owner}, and the server would run as {wanted}"


def run_as(account: Account | None, command: Sequence[str], *, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program of Postgres as an account, without input, and return its output whatever its exit status.

    The output goes through a file: a server that the command leaves behind may keep its end of a pipe open for ever.
    The locale is C: on macOS a server whose locale is not set does not start. Another account is given no more of our
    environment than a server needs: it can read what it is given, and there may be secrets in it.

    Raises:
        OSError: The command cannot be executed.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        done = subprocess.run(  # noqa: S603 - the command is ours
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={**_environment_for(account), "LC_ALL": "C"},
            creationflags=_own_group(),
            check=False,
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
            extra_groups=None if account is None else [],
        )
        output.seek(0)
        return subprocess.CompletedProcess(done.args, done.returncode, output.read(), "")


def _environment_for(account: Account | None) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if account is None or name in _NEEDED_BY_SERVERS}


def spawn_detached(command: Sequence[str], *, cwd: Path, log: Path) -> int:
    """Start a process that outlives us, holds none of our files and hears none of our signals; gives its id."""
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - the command is ours
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=cwd,
            start_new_session=sys.platform != "win32",
            creationflags=_own_group(),
            env=_environment(),
        )
    # It is meant to be running still when this object is collected, which subprocess would warn of.
    process.returncode = 0
    return process.pid


def _own_group() -> int:
    """Flags for a process that hears no Ctrl-C of ours on Windows; elsewhere that is not a matter of flags."""
    if sys.platform == "win32":
        return subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    return 0


def _environment() -> dict[str, str]:
    """Our environment for a process that works elsewhere, and is no part of the test run or of its coverage."""
    foreign = ("COV_", "COVERAGE_", "PYTEST_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    if "PYTHONPATH" in kept:
        kept["PYTHONPATH"] = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path if entry)
    return kept


def free_port(host: str) -> int:
    """A TCP port that nobody listens on; another program may take it before we do."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def check_port_free(host: str, port: int) -> None:
    """Check that we could listen on a port now.

    Raises:
        OSError: Somebody does, or we may not.
    """
    with socket.socket() as probe:
        if sys.platform != "win32":
            # Connections of a server that has just stopped do not count. On Windows the option means another thing.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))


def postgres_directories() -> Iterator[Path]:
    """Where packages and installers put Postgres programs on this system, whether or not they are there."""
    patterns = {
        "darwin": (
            "/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin", "/Library/PostgreSQL/*/bin",
            "/Applications/Postgres.app/Contents/Versions/*/bin",
        ),
        "win32": ("C:/Program Files/PostgreSQL/*/bin",),
    }.get(
        sys.platform,
        ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/home/linuxbrew/.linuxbrew/opt/postgresql*/bin"),
    )  # fmt: skip
    for pattern in patterns:
        anchor = Path(pattern).anchor
        yield from sorted(Path(anchor).glob(pattern.removeprefix(anchor)))


def how_to_install_postgres(major: int | None = None) -> str:
    """What to type to have Postgres programs."""
    if sys.platform == "darwin":
        return f"brew install postgresql@{major or 18}"
    if sys.platform == "win32":
        return f"winget install PostgreSQL.PostgreSQL.{major or 18}"
    return f"apt install postgresql{f'-{major}' if major else ''} (on Debian and Ubuntu, as root)"


def container_engines() -> list[str]:
    """The addresses at which container engines listen when nobody says otherwise: Docker's first, then Podman's."""
    if sys.platform == "win32":
        return [f"npipe:////./pipe/{name}" for name in ("docker_engine", "podman-machine-default")]
    home, runtime = Path.home(), Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    sockets = [
        Path("/var/run/docker.sock"), home / ".docker/run/docker.sock", runtime / "docker.sock",
        runtime / "podman/podman.sock", Path("/run/podman/podman.sock"),
        home / ".local/share/containers/podman/machine/podman.sock",
    ]  # fmt: skip
    return [f"unix://{path}" for path in sockets]


def how_to_start_docker() -> str:
    """What to do so that there is a container engine."""
    if sys.platform == "linux":
        return "systemctl start docker, or for Podman: systemctl --user start podman.socket"
    return "start Docker Desktop, or for Podman: podman machine start"


def in_container() -> bool:
    """Whether we run in a container, whose loopback interface is not that of the machine."""
    return any(Path(mark).exists() for mark in ("/.dockerenv", "/run/.containerenv"))


def end_postmaster(pid: int, pg_ctl: Path, data: Path, *, at_once: bool = False) -> None:
    """Ask a server to end its sessions and stop. It may take a while, or refuse.

    A signal is all it takes where there are signals: the programs that started it may have been removed since.

    Args:
        pid: Its main process.
        pg_ctl: The program that tells it where there are no signals.
        data: Its data directory.
        at_once: Without writing anything more; its next start recovers what was committed.
    """
    if sys.platform == "win32":
        mode = "immediate" if at_once else "fast"
        run_as(None, [str(pg_ctl), "stop", "-D", str(data), "-m", mode, "-W", "-s"], cwd=data.parent)
    else:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGQUIT if at_once else signal.SIGINT)


def program(directory: Path, name: str) -> Path:
    """The path of a program in a directory of binaries."""
    return directory / (f"{name}.exe" if sys.platform == "win32" else name)


def closed_parent(path: Path, account: Account | None) -> Path | None:
    """The outermost directory above a path that the account cannot enter; None when it can enter all there are."""
    if sys.platform == "win32" or account is None:
        return None
    for parent in reversed(path.parents):
        if parent.is_dir() and not _can_enter(parent.stat(), account):
            return parent
    return None


def _can_enter(directory: os.stat_result, account: Account) -> bool:
    """Whether the permissions let the account pass: as the owner, as the group, or as anybody."""
    if directory.st_uid == account.uid:
        return bool(directory.st_mode & 0o100)
    if directory.st_gid == account.gid:
        return bool(directory.st_mode & 0o010)
    return bool(directory.st_mode & 0o001)


def open_to_others(path: Path) -> int | None:
    """The permissions of a file or directory that others than its owner can use; None when nobody else can."""
    if sys.platform == "win32" or not path.exists():
        return None
    mode = path.stat().st_mode & 0o777
    return mode if mode & 0o077 else None


def listener(port: int) -> str | None:
    """The program that listens on a TCP port of this machine, for people; None when the system does not tell."""
    import psutil  # workers of a run do not need it

    try:
        found = [entry for entry in psutil.net_connections("tcp") if entry.status == psutil.CONN_LISTEN]
    except psutil.AccessDenied:
        return None  # macOS tells root alone
    for entry in found:
        if entry.pid is not None and entry.laddr and entry.laddr[1] == port:
            try:
                return f"{psutil.Process(entry.pid).name()} (pid {entry.pid})"
            except psutil.Error:
                return f"the process {entry.pid}"
    return None


def shows_colours() -> bool:
    """Whether a terminal understands colours: on Windows only the new one does without being asked."""
    if sys.platform == "win32":
        return "WT_SESSION" in os.environ
    return os.environ.get("TERM", "dumb") != "dumb"
