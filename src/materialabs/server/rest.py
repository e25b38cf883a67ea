"""Uploads, records, proofs, and the log's tiles."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import PlainTextResponse, Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from materialabs.errors import InputError, NotFound
from materialabs.ledger.merkle import consistency_proof, inclusion_proof
from materialabs.ledger.tiles import Tile
from materialabs.server import peers
from materialabs.server.access import NOBODY, access_of
from materialabs.server.limits import Limits
from materialabs.server.parsing import ParsingPool
from materialabs.store.database import reading
from materialabs.store.identity import log_verifier
from materialabs.store.log import DatabaseHashes, positions_of, read_leaves, read_state
from materialabs.store.store import Store
from materialabs.store.tile_files import tile_content
from materialabs.store.upload import Upload, accept
from materialabs.store.witness import cosigned_checkpoint

TILE_AGE = 31_536_000
"""Seconds for which a full tile may be cached: it never changes."""


BEARER: Final = HTTPBearer(auto_error=False, description="API key of the store's owner")
"""Names the scheme in the OpenAPI document; the key itself is checked before the body is read."""


class SignedRecord(BaseModel):
    """A record and its contributor's signed entry."""

    model_config = ConfigDict(extra="forbid")

    record: dict[str, Any]
    leaf: str = Field(description="The signed entry, base64", max_length=90_000)


class UploadBody(BaseModel):
    """Records with the crystals that they speak of."""

    model_config = ConfigDict(extra="forbid")

    records: list[SignedRecord] = Field(min_length=1)
    crystals: list[str] = Field(default_factory=list, description="Crystals, base64")
    blobs: list[str] = Field(default_factory=list, description="Large values, base64")


class AccessError(InputError):
    """No API key, or one that is not known."""

    default_code = "access"


class ScopeError(InputError):
    """An API key that does not allow this."""

    default_code = "access.scope"


class TooManyError(InputError):
    """An upload with more records than one may hold."""

    default_code = "upload.too_many"


def _writing_route(store: Store) -> type[APIRoute]:
    """Routes that look at the API key before they read a body."""

    class WritingRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            answer = super().get_route_handler()

            async def guarded(request: Request) -> Response:
                key = request.headers.get("authorization")
                await run_in_threadpool(_require_scope, store, key, "write")
                return await answer(request)

            return guarded

    return WritingRoute


def _require_scope(store: Store, authorization: str | None, scope: str) -> None:
    found = access_of(store.engine, authorization)
    if found is None:
        raise AccessError("This API key is not known here, or was revoked.")
    if found is NOBODY:
        raise AccessError(f"This needs an API key with the scope {scope}.")
    if scope not in found.scopes:
        raise ScopeError(f"This needs an API key with the scope {scope}; {found.name} has not.")


def router(store: Store, limits: Limits, pool: ParsingPool) -> APIRouter:
    """The routes over a store."""
    routes = APIRouter()

    writing = APIRouter(route_class=_writing_route(store), dependencies=[Depends(BEARER)])

    @writing.post("/api/v1/records", status_code=201)
    def upload(body: UploadBody) -> dict[str, int]:
        """Store records that their contributor has signed."""
        if max(len(body.records), len(body.crystals), len(body.blobs)) > limits.crystals:
            raise TooManyError(f"An upload holds at most {limits.crystals} records: send several.")
        done = accept(
            store,
            Upload(
                [one.record for one in body.records],
                [_decoded(one.leaf) for one in body.records],
                [_decoded(text) for text in body.crystals],
                [_decoded(text) for text in body.blobs],
            ),
            pool.contents,
        )
        return {"crystals": done.crystals, "records": done.records, "size": done.size}

    peers.add_writing_routes(writing, store)
    routes.include_router(writing)
    routes.include_router(peers.router(store))

    @routes.get("/api/v1/records/{record}")
    def record(record: str) -> dict[str, Any]:
        """A record by its id."""
        return store.record(record).document()

    @routes.get("/api/v1/proofs/{record}")
    def proof(record: str) -> dict[str, Any]:
        """What proves that a record is in the log: its entry, its place, the path, the root."""
        name = _hexadecimal(record)
        with reading(store.engine) as connection:
            state = read_state(connection)
            index = positions_of(connection, name)[0]
            leaf = read_leaves(connection, index, index + 1)[0]
            path = inclusion_proof(DatabaseHashes(connection), index, state.frontier.size)
        return {
            "record": record,
            "index": index,
            "size": state.frontier.size,
            "leaf": base64.b64encode(leaf).decode(),
            "path": [base64.b64encode(one).decode() for one in path],
            "checkpoint": state.note,
        }

    @routes.get("/api/v1/consistency")
    def consistency(old: int, new: int) -> dict[str, Any]:
        """What proves that the log of ``new`` entries grew out of that of ``old``."""
        with reading(store.engine) as connection:
            size = read_state(connection).frontier.size
            if not 0 <= old <= new <= size:
                raise InputError(f"The log has {size} entries: give 0 <= old <= new <= {size}.")
            path = consistency_proof(DatabaseHashes(connection), old, new)
        return {"path": [base64.b64encode(one).decode() for one in path]}

    @routes.get("/api/v1/crystals/{name}")
    def crystal(name: str) -> Response:
        """A crystal's bytes by the SHA-256 that records name it with."""
        return Response(store.content(_hexadecimal(name)), media_type="application/octet-stream")

    @routes.get("/log/verifier")
    def verifier() -> PlainTextResponse:
        """The log's public key; trust it only from a source of your own."""
        found = log_verifier(store.engine)
        if found is None:
            raise NotFound("The log is empty.")
        return PlainTextResponse(found.to_text() + "\n")

    @routes.get("/log/checkpoint")
    def checkpoint() -> PlainTextResponse:
        """The last signed checkpoint."""
        note = cosigned_checkpoint(store)
        if not note:
            raise NotFound("The log is empty.")
        return PlainTextResponse(note, headers={"cache-control": "no-cache"})

    @routes.get("/log/tile/{path:path}")
    def tile(path: str) -> Response:
        """A tile of the log's tree, or of its entries."""
        wanted = Tile.parse(f"tile/{path}")
        with reading(store.engine) as connection:
            size = read_state(connection).frontier.size >> (8 * max(wanted.level, 0))
            if wanted.number * 256 + wanted.width > size:
                raise NotFound(f"The log has not grown to {wanted.path} yet.")
            content = tile_content(connection, wanted)
        headers = {"cache-control": f"max-age={TILE_AGE}, immutable"}
        return Response(content, media_type="application/octet-stream", headers=headers)

    return routes


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError("Entries and crystals are sent in base64.") from error


def _hexadecimal(text: str) -> bytes:
    try:
        name = bytes.fromhex(text)
    except ValueError as error:
        raise NotFound(f"{text[:80]!r} is not the SHA-256 of anything.") from error
    if len(name) != 32:
        raise NotFound(f"{text[:80]!r} is not the SHA-256 of anything.")
    return name
