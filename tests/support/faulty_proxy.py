"""An HTTP proxy before a real server that fails as told: closed, silent, answering 503, or losing the answer to a request it passed on."""

from __future__ import annotations

import http.client
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

from finflow.flows.servers.server import free_port

Action = Literal["drop", "swallow", "unavailable", "silent"]


@dataclass
class Fault:
    """What happens to requests whose `METHOD /path` holds `where`.

    Attributes:
        action: drop: the connection is closed, and the server never asked; swallow: the server is asked, and its answer lost;
            unavailable: 503; silent: no answer for `seconds`, and the server never asked.
        times: how many of them; the rest pass.
    """

    where: str
    action: Action
    times: int = 10**9
    seconds: float = 30.0
    met: int = 0


@dataclass
class FaultyProxy:
    """Listens on a port of its own, which stays the same when it is closed and opened again."""

    upstream: int
    faults: list[Fault] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    port: int = field(default_factory=free_port)
    _server: ThreadingHTTPServer | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        self._server = _Server(("127.0.0.1", self.port), self._handler())
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Connections are refused from now on."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _fault(self, request: str) -> Fault | None:
        with self._lock:
            self.asked.append(request)
            for fault in self.faults:
                if fault.where in request and fault.met < fault.times:
                    fault.met += 1
                    return fault
        return None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                self.close_connection = True
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                fault = proxy._fault(f"{self.command} {self.path}")
                if fault is not None and fault.action == "silent":
                    time.sleep(fault.seconds)
                if fault is not None and fault.action in ("drop", "silent"):
                    return
                if fault is not None and fault.action == "unavailable":
                    self.wfile.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    return
                status, reason, headers, content = proxy._pass_on(self.command, self.path, dict(self.headers.items()), body)
                if fault is not None:
                    return
                lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers), f"Content-Length: {len(content)}"]
                self.wfile.write("\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1") + content)

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        return Handler

    def _pass_on(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, str, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=60)
        try:
            connection.request(method, path, body, {**headers, "Connection": "close", "Accept-Encoding": "identity"})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        left_out = ("content-length", "transfer-encoding", "connection", "keep-alive")
        return answer.status, answer.reason, [(n, v) for n, v in answer.getheaders() if n.lower() not in left_out], content


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # the client has gone: that is what is being tested
