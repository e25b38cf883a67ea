"""Send records to another node's store: signed here with the contributor's key, posted over HTTP.

Only the standard library's ``urllib`` is used, so that a cluster node needs nothing more.
"""

from __future__ import annotations

import base64
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from materialabs.crystals.batch import Crystals
from materialabs.crystals.blobs import to_blobs
from materialabs.errors import ExternalError, InputError, IntegrityError, MaterialabsError
from materialabs.ledger.entries import EntrySigner, record_entry
from materialabs.store.records import Record, record_id
from materialabs.store.upload import ReplayError
from materialabs.store.writer import Written

PATH: Final = "/api/v1/records"
"""Where a node takes records."""

TIMEOUT_SECONDS: Final = 120.0
"""How long an answer is waited for: a busy node stores one upload after another."""

TRIES: Final = 5
"""How often an upload is sent while no answer comes."""

FIRST_PAUSE_SECONDS: Final = 0.5
"""Before the second try; doubled each time."""

REPLAYED, TOO_MANY, UNAVAILABLE = 409, 429, 503

_ERRORS: Final[dict[int, type[MaterialabsError]]] = {
    400: InputError,
    401: InputError,
    403: InputError,
    413: InputError,
    422: IntegrityError,
    REPLAYED: ReplayError,
}


def upload_body(
    records: Sequence[Record],
    signer: EntrySigner,
    *,
    crystals: Crystals | None = None,
    blobs: Sequence[bytes] = (),
    licence: str = "",
) -> bytes:
    """Sign records and write them as the body of one upload.

    Parameters
    ----------
    records
        What was observed.
    signer
        The contributor's key, which the node's log must have admitted.
    crystals
        Those that the records speak of and the node may not have.
    blobs
        Large values that the records speak of.
    licence
        Under which the records are given.
    """
    signed = []
    for record in records:
        leaf = record_entry(record_id(record.canonical()), signer, None, licence).to_leaf()
        signed.append({"record": record.document(), "leaf": _base64(leaf)})
    contents = [] if crystals is None else list(dict.fromkeys(to_blobs(crystals)))
    document: dict[str, Any] = {"records": signed, "crystals": [_base64(one) for one in contents]}
    if blobs:
        document["blobs"] = [_base64(one) for one in blobs]
    return json.dumps(document, separators=(",", ":")).encode()


def upload(
    url: str,
    records: Sequence[Record],
    signer: EntrySigner,
    api_key: str,
    *,
    crystals: Crystals | None = None,
    blobs: Sequence[bytes] = (),
    licence: str = "",
    tries: int = TRIES,
) -> Written:
    """Sign records and store them on another node, all of them or none.

    An upload whose answer was lost is sent again as it was; when the node then says that it holds
    these records already, the first had arrived.

    Parameters
    ----------
    url
        Of the node, such as ``http://127.0.0.1:5000``.
    records, signer, crystals, blobs, licence
        As for :func:`upload_body`.
    api_key
        Made by the node's owner with the scope ``write``.
    tries
        How often to send while no answer comes.

    Raises
    ------
    ReplayError
        The node held one of these records from this contributor before.
    """
    body = upload_body(records, signer, crystals=crystals, blobs=blobs, licence=licence)
    return send(url, body, len(records), api_key, tries=tries)


def send(url: str, body: bytes, count: int, api_key: str, *, tries: int = TRIES) -> Written:
    """Post a body of :func:`upload_body` with ``count`` records; safe to repeat."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise InputError(f"A node's address begins with http:// or https://, not {url[:80]!r}.")
    request = urllib.request.Request(
        url.rstrip("/") + PATH,
        data=body,
        headers={"content-type": "application/json", "authorization": f"Bearer {api_key}"},
    )
    return _repeated(lambda: _post(request), count, tries, url)


def _repeated(post: Callable[[], dict[str, int]], count: int, tries: int, url: str) -> Written:
    pause, lost, reason = FIRST_PAUSE_SECONDS, False, ""
    for attempt in range(tries):
        if attempt:
            time.sleep(pause)
            pause *= 2
        try:
            found = post()
            return Written(found["crystals"], found["records"], 0, found["size"])
        except ReplayError:
            if not lost:
                raise
            return Written(0, 0, count, 0)
        except _BusyError as error:
            reason = str(error)
        except (OSError, http.client.HTTPException) as error:
            lost, reason = True, str(error) or type(error).__name__
    raise ExternalError(
        f"{url} gave no answer in {tries} tries ({reason}). Send the same upload again later: "
        "nothing is stored twice."
    )


class _BusyError(Exception):
    """The node took the request and refused it for now."""


def _post(request: urllib.request.Request) -> dict[str, int]:
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            found: dict[str, int] = json.load(answer)
            return found
    except urllib.error.HTTPError as error:
        with error:
            detail = _detail(error)
        if error.code in (TOO_MANY, UNAVAILABLE):
            raise _BusyError(detail) from error
        raise _ERRORS.get(error.code, ExternalError)(
            f"The node refused the upload: {detail}"
        ) from error


def _detail(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["errors"][0]["detail"])
    except (ValueError, KeyError, IndexError, TypeError, OSError):
        return f"{error.code} {error.reason}"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
