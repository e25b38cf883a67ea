"""What one client may ask of the server: size of a body, requests a second."""

from __future__ import annotations

import contextlib
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

TOO_MANY = 429
"""HTTP status of a client that asks too often."""

RETRY_SECONDS = 1
"""After which a client that asked too often may ask again."""

MOST_CLIENTS = 10_000
"""Clients whose requests are counted; the longest silent is forgotten first."""


@dataclass(frozen=True)
class Limits:
    """Limits of the server.

    Parameters
    ----------
    body_bytes
        Of one request.
    requests_per_second, burst
        Of one client: the steady rate, and how many at once.
    crystals
        In one upload.
    page
        Entries on one page.
    parse_seconds
        That one upload may take to be read (:mod:`materialabs.server.parsing`).
    """

    body_bytes: int = 20_000_000
    requests_per_second: float = 200.0
    burst: int = 1000
    crystals: int = 5000
    page: int = 500
    parse_seconds: float = 60.0


@dataclass
class Buckets:
    """A token bucket for each client."""

    rate: float
    burst: float
    clients: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def admit(self, client: str, now: float | None = None) -> bool:
        """Whether one more request of this client is within its rate."""
        moment = time.monotonic() if now is None else now
        tokens, last = self.clients.pop(client, (self.burst, moment))
        tokens = min(self.burst, tokens + (moment - last) * self.rate)
        allowed = tokens >= 1.0
        self.clients[client] = (tokens - 1.0 if allowed else tokens, moment)
        while len(self.clients) > MOST_CLIENTS:
            self.clients.popitem(last=False)
        return allowed


class LimitMiddleware:
    """Refuse bodies that are too large and clients that ask too often, before any work."""

    def __init__(self, app: App, limits: Limits) -> None:
        self.app = app
        self.limits = limits
        self.buckets = Buckets(limits.requests_per_second, float(limits.burst))

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 413 or 429."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        client = scope.get("client") or ("unknown", 0)
        if not self.buckets.admit(str(client[0])):
            await _refuse(
                send, TOO_MANY, "Too Many Requests", "Ask less often; try again in a second."
            )
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > self.limits.body_bytes:
            await _refuse(send, 413, "Content Too Large", self._too_large())
            return
        await self._count_body(scope, receive, send)

    async def _count_body(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send
    ) -> None:
        seen = 0
        started = refused = False

        async def counted() -> Message:
            nonlocal seen, refused
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.limits.body_bytes:
                refused = True
                raise _TooLargeError
            return message

        async def noted(message: Message) -> None:
            nonlocal started
            if refused and not started:
                return  # what the application says of a body that it did not get
            started = True
            await send(message)

        with contextlib.suppress(_TooLargeError):
            await self.app(scope, counted, noted)
        if refused and not started:
            await _refuse(send, 413, "Content Too Large", self._too_large())

    def _too_large(self) -> str:
        return f"A request holds at most {self.limits.body_bytes} bytes: send several."


class _TooLargeError(Exception):
    """A body grew over the limit while it was read."""


async def _refuse(send: Send, status: int, title: str, detail: str) -> None:
    document = {"errors": [{"status": str(status), "title": title, "detail": detail}]}
    body = json.dumps(document).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if status == TOO_MANY:
        headers.append((b"retry-after", b"%d" % RETRY_SECONDS))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
