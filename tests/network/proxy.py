"""A TCP proxy as firewalls and load balancers are: it passes everything on, until it cuts what is idle."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from typing import Self

from sqlalchemy.engine import URL

# Seconds between two looks at whether it is to end.
_INTERVAL = 0.1
_MUCH = 65536
# What a project's code does to have the connections cut that are idle at that moment.
CUT = """
    import socket

    def cut(keep):
        with socket.create_connection(("127.0.0.1", {port})) as control:
            control.sendall(bytes([keep]))
            assert control.recv(1) == b"!"
"""


class Proxy:
    """Listens on free ports of loopback.

    Attributes:
        port: What clients of the server connect to.
        control: Who sends a byte here has all connections cut but so many of the newest.
        cut: How many were cut so far.
    """

    def __init__(self, url: URL) -> None:
        """Listen for a server."""
        self._server = (str(url.host), url.port or 5432)
        self._listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        self.port, self.control = (int(listener.getsockname()[1]) for listener in self._listeners)
        self.cut = 0
        self._ended = threading.Event()
        self._clients: list[socket.socket] = []
        self._threads = [
            threading.Thread(target=self._accept, args=[listener, what])
            for listener, what in zip(self._listeners, (self._pass_on, self._obey), strict=True)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        for listener in self._listeners:
            listener.close()

    def _accept(self, listener: socket.socket, what: object) -> None:
        listener.settimeout(_INTERVAL)
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                client, _ = listener.accept()
                client.settimeout(None)
                thread = threading.Thread(target=what, args=[client])  # type: ignore[arg-type] # a method
                self._threads.append(thread)
                thread.start()

    def _obey(self, client: socket.socket) -> None:
        with client:
            keep = client.recv(1)[0]
            for each in self._clients[: len(self._clients) - keep]:
                with contextlib.suppress(OSError):  # it has ended by itself
                    each.shutdown(socket.SHUT_RDWR)
                    self.cut += 1
            client.sendall(b"!")

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._server) as server, selectors.DefaultSelector() as selector:
            self._clients.append(client)
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            with contextlib.suppress(OSError):
                while not self._ended.is_set():
                    for key, _ in selector.select(_INTERVAL):
                        said = key.fileobj.recv(_MUCH)  # type: ignore[union-attr] # a socket
                        if not said:
                            return
                        key.data.sendall(said)
