"""A model hub of one repository on this machine: as much of the protocol as a download needs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlparse

COMMIT = "c0ffee" + "0" * 34


class Hub:
    """What is served, and what was asked for; `broken` answers every request with an error."""

    def __init__(self, directory: Path, name: str) -> None:
        self.directory = directory
        self.name = name
        self.asked: list[str] = []
        self.broken = False
        self.url = ""

    def questions(self) -> int:
        """How often it was asked what there is."""
        return sum(path.startswith("/api/") for path in self.asked)

    def files(self) -> list[Path]:
        """Every file of the repository."""
        return sorted(path for path in self.directory.rglob("*") if path.is_file())


@contextmanager
def serving(directory: Path, name: str) -> Iterator[Hub]:
    """A hub on a free port of this machine, until the block ends."""
    hub = Hub(directory, name)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def log_message(self, format: str, *args: object) -> None:
            pass

        def _answer(self, body: bool) -> None:
            path = unquote(urlparse(self.path).path)
            hub.asked.append(path)
            if hub.broken:
                self._send(503, b"out of order", {}, body)
            elif path.startswith(f"/api/models/{hub.name}/tree/"):
                entries = [
                    {
                        "type": "file",
                        "path": str(p.relative_to(hub.directory)),
                        "size": 1,
                        "oid": "0",
                    }
                    for p in hub.files()
                ]
                self._send(200, json.dumps(entries).encode(), _JSON, body)
            elif path.startswith(f"/api/models/{hub.name}"):
                names = [{"rfilename": str(p.relative_to(hub.directory))} for p in hub.files()]
                info = {"id": hub.name, "modelId": hub.name, "sha": COMMIT, "siblings": names}
                self._send(200, json.dumps(info).encode(), _JSON, body)
            else:
                self._file(path, body)

        def _file(self, path: str, body: bool) -> None:
            prefix = f"/{hub.name}/resolve/"
            if not path.startswith(prefix):
                missing = {"X-Error-Code": "RepoNotFound", "X-Error-Message": "not found"}
                self._send(404, b"{}", missing, body)
                return
            data = (hub.directory / path.removeprefix(prefix).partition("/")[2]).read_bytes()
            tag = hashlib.sha256(data).hexdigest()
            self._send(200, data, {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT}, body)

        def _send(self, code: int, data: bytes, headers: dict[str, str], body: bool) -> None:
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if body:
                self.wfile.write(data)

    return Handler


_JSON = {"Content-Type": "application/json"}
