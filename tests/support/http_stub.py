# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An HTTP server on this machine that answers what a function says, for what no well-behaved server does.

with stub(lambda request: (200, {"projects": []})) as server:
    NeonApi("key", server.url).get("/projects")
assert server.requests == [...]

And a clock that goes as fast as somebody sleeps by it.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

# In place of an answer: the connection is closed without one.
LOST = None


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: object

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


# Status, JSON or text, and headers if any.
Reply = tuple[int, object] | tuple[int, object, dict[str, str]] | None


@dataclass
class Stub:
    url: str
    requests: list[Request] = field(default_factory=list)

    @property
    def asked(self) -> list[str]:
        return [str(request) for request in self.requests]


@contextlib.contextmanager
def stub(reply: Callable[[Request], Reply]) -> Iterator[Stub]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(
                self.command, parts.path, dict(parse_qsl(parts.query)), headers, json.loads(body) if body else None
            )
            seen.requests.append(request)
            said = reply(request)
            if said is LOST:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            status, told, *more = said
            text = (told if isinstance(told, str) else json.dumps(told)).encode()
            kind = "text/html" if isinstance(told, str) else "application/json"
            usual = {"Content-Length": str(len(text)), "Content-Type": kind}
            self.send_response(status)
            for name, value in {**usual, **(more[0] if more else {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

        def log_message(self, *_arguments: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        # As many may knock at once as an inventory asks side by side, and more.
        request_queue_size = 128

    with Server(("127.0.0.1", 0), Handler) as server:
        seen = Stub(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield seen
        finally:
            server.shutdown()
            thread.join()


class Clock:
    """A time of its own, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
