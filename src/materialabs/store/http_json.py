"""Fetch JSON over HTTP from a server that may be slow, busy, broken or hostile.

The standard library alone: only http and https are opened, redirects included; an answer has a
largest size; what passes by itself (429, 5xx, a time-out, a cut-off answer) is tried again after a
growing, random pause.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from materialabs.errors import ExternalError, InputError, NotFound

LARGEST_ANSWER: Final = 128 << 20
"""Bytes of one answer."""

PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses that may be gone a moment later."""

LONGEST_WAIT_S: Final = 300.0
"""Seconds that a server may ask for before it is asked again."""

SHOWN: Final = 200
"""Characters of a server's own words that an error quotes."""


@dataclass(frozen=True)
class Patience:
    """How often and after what pauses a server is asked again.

    Parameters
    ----------
    tries
        In all.
    first_s, most_s
        Seconds: the pause before try n is random, at most ``first_s`` times 2 to the n, and never
        above ``most_s`` (full jitter: Brooker, AWS Architecture Blog, 2015).
    timeout_s
        Seconds without an answer.
    """

    tries: int = 8
    first_s: float = 1.0
    most_s: float = 60.0
    timeout_s: float = 60.0

    def pause(self, attempt: int, source: random.Random) -> float:
        """Seconds to wait before the try after ``attempt``."""
        return source.uniform(0.0, min(self.most_s, self.first_s * 2.0**attempt))


class Refused(NotFound):
    """The server understood and said no: asking again does not help."""

    default_code = "external.refused"

    def __init__(self, message: str, *, code: str | None = None, status: int = 0) -> None:
        super().__init__(message, code=code)
        self.status = status


class _PassingError(Exception):
    """Something that may be gone a moment later."""

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


def _opener() -> OpenerDirector:
    """What opens http and https and nothing else."""
    opener = OpenerDirector()
    for handler in (ProxyHandler(), HTTPHandler(), HTTPSHandler(), HTTPDefaultErrorHandler(),
                    HTTPRedirectHandler(), HTTPErrorProcessor()):  # fmt: skip
        opener.add_handler(handler)
    return opener


@dataclass
class Fetcher:
    """Fetches JSON documents.

    Parameters
    ----------
    patience
        How often a server is asked.
    largest
        Bytes of one answer.
    seed
        Of the random pauses; by default the clock's.
    sleep
        What waits.
    agent
        How the program names itself.
    """

    patience: Patience = field(default_factory=Patience)
    largest: int = LARGEST_ANSWER
    seed: int | None = None
    sleep: Callable[[float], None] = time.sleep
    agent: str = "materialabs"

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._opener = _opener()

    def json(self, url: str) -> Any:
        """The JSON document at a URL.

        Raises
        ------
        Refused
            When the server says that the request itself is wrong.
        ExternalError
            When it does not answer soundly after all tries.
        """
        check_url(url)
        for attempt in range(self.patience.tries):
            try:
                return self._once(url)
            except _PassingError as problem:
                reason, wait = str(problem), problem.wait_s
            if attempt + 1 < self.patience.tries:
                self.sleep(max(wait, self.patience.pause(attempt, self._random)))
        raise ExternalError(
            f"{_host(url)} did not answer after {self.patience.tries} tries ({reason}): run the "
            "same command again later, and it goes on where it stopped."
        )

    def _once(self, url: str) -> Any:
        headers = {"Accept": "application/vnd.api+json, application/json", "User-Agent": self.agent}
        try:
            with self._opener.open(
                Request(url, headers=headers), timeout=self.patience.timeout_s
            ) as answer:
                content = answer.read(self.largest + 1)
                length = answer.headers.get("Content-Length")
        except HTTPError as error:
            with error:
                raise self._of_status(url, error) from error
        except (URLError, TimeoutError, HTTPException, OSError) as error:
            raise _PassingError(str(getattr(error, "reason", error)) or "no answer") from error
        if len(content) > self.largest:
            raise ExternalError(
                f"{_host(url)} sent more than {self.largest:,} bytes: ask for smaller pages."
            )
        if length and length.isdecimal() and int(length) != len(content):
            raise _PassingError("the answer was cut off")
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise _PassingError("the answer is not JSON") from error

    def _of_status(self, url: str, error: HTTPError) -> Exception:
        if error.code in PASSING:
            wait = _asked_wait(error.headers.get("Retry-After", ""))
            return _PassingError(f"HTTP status {error.code}", wait)
        detail = _detail(error.read(1 << 16))
        return Refused(
            f"{_host(url)} refused with HTTP status {error.code}{detail}", status=error.code
        )


def check_url(url: str) -> None:
    """Refuse what is not a plain http or https address."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        sound = False
    if not sound or any(sign.isspace() or ord(sign) < 32 for sign in url):
        raise InputError(f"{url[:100]!r} is not an http or https address.")
    if parts.username or parts.password:
        raise InputError("An address with a password in it is not opened.")


def _host(url: str) -> str:
    return urlsplit(url).netloc


def _asked_wait(text: str) -> float:
    """Seconds that ``Retry-After`` asks for, within reason."""
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, TypeError):
            return 0.0
    return min(max(seconds, 0.0), LONGEST_WAIT_S) if seconds == seconds else 0.0


def _detail(content: bytes) -> str:
    """The first error of an OPTIMADE answer, in the server's words."""
    try:
        first = json.loads(content)["errors"][0]
        words = str(first.get("detail") or first.get("title") or "")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return "."
    return f": {' '.join(words.split())[:SHOWN]}" if words else "."
