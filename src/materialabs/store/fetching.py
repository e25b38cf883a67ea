"""Fetch from other nodes over HTTP: bounded in size and time, patient with busy servers."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import urlsplit

from materialabs.errors import ExternalError, InputError, NotFound

LARGEST_ANSWER: Final = 40_000_000
"""Bytes of one answer where the caller names no limit."""

CHUNK: Final = 65_536
"""Bytes read at a time, between looks at the clock."""

FIRST_PAUSE: Final = 0.5
"""Seconds before the second try; doubled each time."""

LONGEST_PAUSE: Final = 60.0
"""Seconds that a busy server may ask us to wait."""

LONGEST_REFUSAL: Final = 10_000
"""Bytes kept of what a server says when it refuses."""

BUSY: Final = frozenset({429, 500, 502, 503, 504})
"""Statuses after which asking again makes sense."""


class Fetch(Protocol):
    """Whatever fetches an address."""

    def __call__(self, url: str, body: bytes | None = None, limit: int = LARGEST_ANSWER) -> bytes:
        """The answer's bytes; with a body the request is a POST of JSON."""


class RefusedError(ExternalError):
    """A server's refusal, with what it said.

    Parameters
    ----------
    message
        One sentence.
    status, body
        HTTP status, and the beginning of the answer.
    """

    default_code = "http.refused"

    def __init__(self, message: str, status: int = 0, body: bytes = b"") -> None:
        super().__init__(message)
        self.status = status
        self.body = body


class _TryAgainError(Exception):
    """A failure that may pass, with the pause that the server asks for."""

    def __init__(self, why: str, pause: float = 0.0) -> None:
        super().__init__(why)
        self.pause = pause


def check_address(url: str) -> str:
    """A node's base address without its last slash; anything but plain http(s) is refused."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    plain = (
        parts.scheme in ("http", "https")
        and parts.hostname
        and not (parts.username or parts.password or parts.query or parts.fragment)
        and not any(sign.isspace() or not sign.isprintable() for sign in url)
    )
    if not plain:
        raise InputError(
            f"{url[:80]!r} is not a node's address: write http:// or https://, the host and the "
            "path, without a name, a password or a query."
        )
    return url.rstrip("/")


@dataclass(frozen=True)
class Fetcher:
    """Fetches over HTTP or HTTPS.

    Parameters
    ----------
    timeout
        Seconds without a byte after which a server counts as silent.
    deadline
        Seconds that one answer may take as a whole.
    attempts
        How often a busy or silent server is asked, at least once.
    sleep
        Waits that many seconds.
    """

    timeout: float = 20.0
    deadline: float = 120.0
    attempts: int = 4
    sleep: Callable[[float], None] = time.sleep

    def __call__(self, url: str, body: bytes | None = None, limit: int = LARGEST_ANSWER) -> bytes:
        """The answer's bytes.

        Raises
        ------
        NotFound
            When the server has nothing there.
        ExternalError
            When it fails, answers too much, or stays silent.
        """
        check_address(url)
        pause, attempt = FIRST_PAUSE, 1
        while True:
            try:
                return self._ask(url, body, limit)
            except _TryAgainError as error:
                if attempt >= self.attempts:
                    raise ExternalError(
                        f"{url} does not answer ({error}): try again later."
                    ) from error
                self.sleep(max(pause, min(error.pause, LONGEST_PAUSE)))
            pause, attempt = pause * 2, attempt + 1

    def _ask(self, url: str, body: bytes | None, limit: int) -> bytes:
        headers = {"accept-encoding": "identity"}
        if body is not None:
            headers["content-type"] = "application/json"
        request = urllib.request.Request(url, data=body, headers=headers)
        try:
            with _opener().open(request, timeout=self.timeout) as answer:
                return self._read(url, answer, limit)
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(url, error) from error
        except ExternalError:
            raise
        except (OSError, http.client.HTTPException) as error:
            raise _TryAgainError(str(getattr(error, "reason", "") or error)) from error

    def _read(self, url: str, answer: http.client.HTTPResponse, limit: int) -> bytes:
        end = time.monotonic() + self.deadline
        parts, size = [], 0
        while part := answer.read1(min(CHUNK, limit + 1 - size)):
            parts.append(part)
            size += len(part)
            if size > limit:
                raise ExternalError(f"{url} answers more than {limit} bytes.")
            if time.monotonic() > end:
                raise ExternalError(f"{url} takes more than {self.deadline:.0f} seconds.")
        if answer.length:
            raise _TryAgainError("the answer ended early")
        return b"".join(parts)


def _refusal(url: str, error: urllib.error.HTTPError) -> Exception:
    """What a status other than success means."""
    if error.code in BUSY:
        asked = error.headers.get("retry-after", "")
        return _TryAgainError(f"status {error.code}", float(asked) if asked.isdecimal() else 0.0)
    if error.code == 404:
        return NotFound(f"There is nothing at {url}.")
    message = f"{url} refuses with status {error.code}."
    return RefusedError(message, error.code, error.read(LONGEST_REFUSAL))


def _opener() -> urllib.request.OpenerDirector:
    """Speaks HTTP and HTTPS and nothing else, so that no redirection reaches a file."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener
