"""An OPTIMADE provider that misbehaves as it is told, on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Answer = tuple[int, dict[str, str], bytes]


@dataclass
class FakeProvider:
    """What it serves, what it was asked, and how it misbehaves.

    Parameters
    ----------
    structures
        Resources, in order.
    fields
        Its own properties, for ``/info/structures``.
    trouble
        Given the number of the request and its address, an answer instead of the right one; an
        empty body drops the connection.
    """

    structures: list[dict[str, Any]]
    fields: dict[str, Any] = field(default_factory=dict)
    trouble: Callable[[int, str], Answer | None] = lambda _number, _path: None
    info: dict[str, Any] = field(default_factory=dict)
    page: int = 2
    asked: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/optimade"

    def answer(self, path: str) -> Answer:
        self.asked.append(path)
        wrong = self.trouble(len(self.asked), path)
        return wrong if wrong is not None else self.right(path)

    def right(self, path: str) -> Answer:
        parts = urlsplit(path)
        if parts.path.endswith("/info/structures"):
            return _json({"data": {"properties": self.fields}})
        if parts.path.endswith("/info"):
            return _json({"data": {"attributes": self.info}})
        if not parts.path.endswith("/structures"):
            return 404, {}, b"{}"
        start = int(parse_qs(parts.query).get("page_offset", ["0"])[0])
        stop = start + self.page
        following = None
        if stop < len(self.structures):
            following = f"http://127.0.0.1:{self.port}{parts.path}?page_offset={stop}"
        return _json(
            {
                "data": self.structures[start:stop],
                "links": {"next": following},
                "meta": {"data_returned": len(self.structures), "provider": {"name": "Fake"}},
            }
        )

    def pages(self) -> int:
        return sum("/structures" in path and "/info" not in path for path in self.asked)


def _json(document: Any, status: int = 200) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(document).encode()


@contextmanager
def serving(provider: FakeProvider) -> Iterator[FakeProvider]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = provider.answer(self.path)
            if not body:
                self.connection.close()
                return
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def resource(name: str, symbols: list[str], edge: float = 5.0, **attributes: Any) -> dict[str, Any]:
    """A structure with its atoms in a row along the first edge of a cube."""
    count = len(symbols)
    return {
        "id": name,
        "type": "structures",
        "attributes": {
            "lattice_vectors": [[edge * count, 0, 0], [0, edge, 0], [0, 0, edge]],
            "cartesian_site_positions": [[edge * place, 0, 0] for place in range(count)],
            "species": [
                {"name": symbol, "chemical_symbols": [symbol], "concentration": [1.0]}
                for symbol in sorted(set(symbols))
            ],
            "species_at_sites": symbols,
            "dimension_types": [1, 1, 1],
            "nsites": count,
            **attributes,
        },
    }
