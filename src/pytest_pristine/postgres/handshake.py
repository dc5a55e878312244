"""What answers at an address, asked as every client of Postgres may begin: whether it speaks TLS.

This is for explanations alone, when there was no connection to be had. No name and no password is sent.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

# Seconds to wait for an answer; a Postgres that is up gives it at once.
_TIMEOUT = 2
# SSLRequest: its length of 8 bytes, and the code 80877103.
_REQUEST = bytes.fromhex("00000008 04d2162f")
# What has a server that reads lines give up and say something.
_END_OF_LINES = b"\r\n\r\n"
# Bytes of an answer that are read.
_MUCH = 200


class Kind(Enum):
    """What answers."""

    TLS = auto()  # a Postgres that speaks TLS
    PLAIN = auto()  # a Postgres that does not
    OTHER = auto()  # it says something that no Postgres says
    SILENT = auto()  # it takes a connection and says nothing
    NOTHING = auto()  # it takes no connection, or the address is a socket's, where there is no TLS


@dataclass(frozen=True, slots=True)
class Answer:
    """What answers, and the first line of what it said, when that is of another program."""

    kind: Kind
    said: str = ""


def ask(host: str, port: str) -> Answer:
    """Ask who is there."""
    try:
        with _connect(host, port) as client:
            first = _receive(client)
            if first[:1] == b"S":
                return Answer(Kind.TLS)
            # E is the beginning of an error.
            if first[:1] in (b"N", b"E"):
                return Answer(Kind.PLAIN)
            if not first:
                client.sendall(_END_OF_LINES)
                first = _receive(client)
            return Answer(Kind.OTHER, _line(first)) if first else Answer(Kind.SILENT)
    except (OSError, ValueError):
        return Answer(Kind.NOTHING)


def _connect(host: str, port: str) -> socket.socket:
    if host.startswith(("/", "@")):
        raise OSError("a socket of the file system")
    client = socket.create_connection((host, int(port)), timeout=_TIMEOUT)
    try:
        client.sendall(_REQUEST)
    except OSError:
        client.close()
        raise
    return client


def _receive(client: socket.socket) -> bytes:
    with suppress(TimeoutError):
        return client.recv(_MUCH)
    return b""


def _line(said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    return "".join(letter for letter in (lines[0] if lines else "")[:60] if letter.isprintable())


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a server's certificate is not to be trusted, and what to do."""

    found: str
    remedy: str


# Codes of OpenSSL, X509_V_ERR_…, which libpq does not pass on.
_OUT_OF_TIME = (9, 10)
_OTHER_NAME = (62, 64)
# The value of sslrootcert that is no file.
_SYSTEM = "system"


def fault_of_certificate(host: str, port: str, parameters: Mapping[str, str]) -> Fault | None:
    """What is wrong with the certificate of a server that speaks TLS; None when nothing is found.

    Args:
        host: The server.
        port: Its port.
        parameters: Those of libpq: `sslmode`, which says what is verified, and `sslrootcert`.
    """
    mode, roots = parameters.get("sslmode", ""), parameters.get("sslrootcert") or str(_default_roots())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = mode == "verify-full"
    try:
        if roots == _SYSTEM:
            context.load_default_certs()
        else:
            context.load_verify_locations(roots)
    except OSError as error:
        if mode not in ("verify-ca", "verify-full"):
            return None
        why = error.strerror or "it holds none" if not isinstance(error, ssl.SSLError) else "it holds none"
        return Fault(
            f"no certificates of authorities to verify it with in {roots}: {why}",
            "name a file that holds the certificate of the server's authority: sslrootcert=… in the URL",
        )
    try:
        with _connect(host, port) as client:
            client.recv(1)
            with context.wrap_socket(client, server_hostname=host):
                return None
    except ssl.SSLCertVerificationError as error:
        return _fault(error, host, roots)
    except OSError:
        return None


def _fault(error: ssl.SSLCertVerificationError, host: str, roots: str) -> Fault:
    if error.verify_code in _OUT_OF_TIME:
        return Fault(
            f"a certificate that is not valid today: {error.verify_message}",
            "renew the server's certificate, or set this machine's clock",
        )
    if error.verify_code in _OTHER_NAME:
        return Fault(
            f"a certificate for another host than {host!r}",
            "name the host as the certificate does; or sslmode=verify-ca, which takes any host of that authority",
        )
    where = "the list of this system" if roots == _SYSTEM else roots
    return Fault(
        f"a certificate that no authority in {where} has signed: {error.verify_message}",
        "name the file with the certificate of the server's authority: sslrootcert=… in the URL",
    )


def _default_roots() -> Path:
    """Where libpq looks for the authorities' certificates, but on Windows."""
    return Path.home() / ".postgresql" / "root.crt"
