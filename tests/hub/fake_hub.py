# SPDX-License-Identifier: MIT
"""A local server that speaks the part of the hub's protocol that downloads use, and can misbehave.

Model info with the hashes of large files; HEAD and GET of files with ETag, X-Repo-Commit and
ranges; redirects of large files to a store under another host name; errors with X-Error-Code.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Faults:
    """What goes wrong.

    Args:
        cut: GETs of a file that end after so many bytes; one entry per GET.
        lie: Names of files whose bytes are not those of their hash.
        status: An answer to everything instead, and its X-Error-Code.
    """

    cut: list[int] = field(default_factory=list)
    lie: set[str] = field(default_factory=set)
    status: tuple[int, str] | None = None


class FakeHub:
    """Serves the files of one repository, "user/model" at revision "main"."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.faults = Faults()
        self.token: str | None = None  # needed if set
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        hub = self

        class Handler(_Handler):
            server_hub = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops the server."""
        self._server.shutdown()
        self._server.server_close()

    def ranges(self) -> list[str]:
        """The Range header of each GET of bytes from the store."""
        return [h.get("range", "") for m, p, h in self.requests if m == "GET" and "/store/" in p]


class _Handler(BaseHTTPRequestHandler):
    server_hub: FakeHub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""

    def _answer(self, body: bool) -> None:
        hub = self.server_hub
        headers = {key.lower(): value for key, value in self.headers.items()}
        hub.requests.append((self.command, self.path, headers))
        path = self.path.split("?")[0]
        if hub.faults.status is not None:
            code, reason = hub.faults.status
            return self._send(code, b"", {"X-Error-Code": reason}, body)
        stored = re.fullmatch(r"/store/(.+)", path)
        if stored:
            return self._bytes(stored[1], headers, body)
        if hub.token is not None and headers.get("authorization") != f"Bearer {hub.token}":
            return self._send(401, b"", {"X-Error-Code": "RepoNotFound"}, body)
        info = re.fullmatch(r"/api/models/user/model(?:/revision/(.+))?", path)
        if info:
            if info[1] not in (None, "main", COMMIT):
                return self._send(404, b"", {"X-Error-Code": "RevisionNotFound"}, body)
            return self._send(200, self._info(), {"Content-Type": "application/json"}, body)
        found = re.fullmatch(rf"/user/model/resolve/(?:main|{COMMIT})/(.+)", path)
        if found and found[1] in hub.files:
            return self._resolve(found[1], body)
        return self._send(404, b"", {"X-Error-Code": "RepoNotFound"}, body)

    def _info(self) -> bytes:
        siblings = []
        for name, data in self.server_hub.files.items():
            sibling: dict[str, Any] = {"rfilename": name, "size": len(data), "blobId": "0" * 40}
            if name.endswith((".gguf", ".safetensors")):
                sha = hashlib.sha256(data).hexdigest()
                sibling["lfs"] = {"sha256": sha, "size": len(data), "pointerSize": 134}
            siblings.append(sibling)
        info = {"id": "user/model", "sha": COMMIT, "siblings": siblings}
        return json.dumps(info).encode()

    def _resolve(self, name: str, body: bool) -> None:
        data = self.server_hub.files[name]
        headers = {"X-Repo-Commit": COMMIT}
        if name.endswith((".gguf", ".safetensors")):
            # Another host as the client sees it: the token must not follow.
            headers |= {
                "X-Linked-Etag": f'"{hashlib.sha256(data).hexdigest()}"',
                "X-Linked-Size": str(len(data)),
                "Location": f"http://localhost:{self.server_hub.port}/store/{name}",
            }
            return self._send(302, b"", headers, body)
        headers["ETag"] = f'"{hashlib.sha1(data).hexdigest()}"'
        return self._send(200, data, headers, body)

    def _bytes(self, name: str, headers: dict[str, str], body: bool) -> None:
        hub = self.server_hub
        data = hub.files[name]
        if name in hub.faults.lie:
            data = bytes(len(data))
        start = int((re.match(r"bytes=(\d+)-", headers.get("range", "")) or ["", "0"])[1])
        extra = {"Accept-Ranges": "bytes"}
        if start:
            extra["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        cut = hub.faults.cut.pop(0) if hub.faults.cut else None
        self._send(206 if start else 200, data[start:], extra, body, cut)

    def _send(
        self, code: int, data: bytes, headers: dict[str, str], body: bool, cut: int | None = None
    ) -> None:
        self.send_response(code)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data if cut is None else data[:cut])
        if cut is not None:
            self.close_connection = True
