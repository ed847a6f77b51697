"""A web server on this machine that can be made to misbehave, to stand in for the mirrors of MNIST."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BEHAVIOURS = ("good", "truncated", "altered", "missing", "garbage", "hanging")


class Mirror(ThreadingHTTPServer):
    """Serves ``contents`` (bytes by file name); ``behaviour`` says how, for all files or by name."""

    daemon_threads = True

    def __init__(self, contents: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.contents = contents
        self.behaviour: str | dict[str, str] = "good"
        self.requests: list[str] = []
        self.released = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    def handle_error(self, request, client_address) -> None:
        pass  # a client that gave up is part of the play


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server, name = self.server, self.path.lstrip("/")
        server.requests.append(name)
        behaviour = server.behaviour if isinstance(server.behaviour, str) else server.behaviour.get(name, "good")
        content = server.contents.get(name)
        if behaviour == "missing" or content is None:
            return self.send_error(404)
        if behaviour == "hanging":
            return server.released.wait(30)
        if behaviour == "garbage":
            self.wfile.write(b"this is no HTTP\r\n\r\n")
            return None
        sent = content
        if behaviour == "truncated":  # announces all of it, sends half, hangs up
            sent = content[: len(content) // 2]
        elif behaviour == "altered":
            sent = content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(sent)
        return None

    def log_message(self, *_) -> None:
        pass


@contextlib.contextmanager
def serving(contents: dict[str, bytes]) -> Iterator[Mirror]:
    """A :class:`Mirror` that runs while the context is open."""
    with Mirror(contents) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join()
