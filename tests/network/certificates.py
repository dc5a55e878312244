"""Certificates, made by openssl as an administrator makes them."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_OPENSSL = shutil.which("openssl")
# Days that a certificate is valid; the expired one ended yesterday.
_VALID, _EXPIRED = "30", "-1"


@dataclass(frozen=True)
class Certificates:
    """An authority, and what it and another one have signed.

    Attributes:
        directory: Where they lie, as NAME.crt and NAME.key.
    """

    directory: Path

    def crt(self, name: str) -> Path:
        """The certificate of that name: `authority`, `stranger` (another authority), `server`, `expired`, `client`."""
        return self.directory / f"{name}.crt"

    def key(self, name: str) -> Path:
        """Its private key."""
        return self.directory / f"{name}.key"


def make(directory: Path, client: str) -> Certificates:
    """Make all of them. The server's are for `localhost` alone, the client's for the role `client`."""
    assert _OPENSSL is not None, "these tests make certificates: apt-get install openssl"
    made = Certificates(directory)
    for authority in ("authority", "stranger"):
        _openssl(
            "req", "-x509", "-nodes", *_NEW_KEY, "-days", _VALID, "-subj", f"/CN={authority}",
            "-keyout", str(made.key(authority)), "-out", str(made.crt(authority)),
        )  # fmt: skip
    _sign(made, "server", "localhost", _VALID)
    _sign(made, "expired", "localhost", _EXPIRED)
    _sign(made, "client", client, _VALID)
    for key in directory.glob("*.key"):
        key.chmod(0o600)
    return made


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


def _sign(made: Certificates, name: str, subject: str, days: str) -> None:
    request, extensions = made.directory / f"{name}.csr", made.directory / f"{name}.ext"
    extensions.write_text(f"subjectAltName=DNS:{subject}\n")
    _openssl(
        "req", "-nodes", *_NEW_KEY, "-subj", f"/CN={subject}", "-keyout", str(made.key(name)), "-out", str(request)
    )
    _openssl(
        "x509", "-req", "-in", str(request), "-days", days, "-extfile", str(extensions), "-CAcreateserial",
        "-CA", str(made.crt("authority")), "-CAkey", str(made.key("authority")), "-out", str(made.crt(name)),
    )  # fmt: skip


def _openssl(*arguments: str) -> None:
    done = subprocess.run([str(_OPENSSL), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
