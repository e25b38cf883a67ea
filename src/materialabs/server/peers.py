"""What other nodes ask for: contents by hash, mirrored logs, entries, keys, cosignatures."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, select

from materialabs.errors import InputError, IntegrityError, NotFound
from materialabs.ledger.keys import key_id
from materialabs.ledger.merkle import HASH_SIZE
from materialabs.ledger.notes import LARGEST_NOTE, Checkpoint, Note, Verifier
from materialabs.ledger.tiles import Tile
from materialabs.store import schema
from materialabs.store.database import reading
from materialabs.store.key_events import accept_entry, contributors
from materialabs.store.log import mirrored
from materialabs.store.mirrors import mirrors
from materialabs.store.node import MOST_WANTED, pack_contents
from materialabs.store.store import Store
from materialabs.store.tile_files import tile_content
from materialabs.store.witness import (
    CosignRequest,
    StaleError,
    cosign,
    witness_signer,
    witness_verifier,
)

LARGEST_ANSWER: Final = 8_000_000
"""Bytes after which an answer with contents stops; the client asks again for the rest."""

MOST_PROOF: Final = 63
"""Hashes of a consistency proof (C2SP tlog-witness)."""


class WantedBody(BaseModel):
    """Names of records, crystals and blobs."""

    model_config = ConfigDict(extra="forbid")

    hashes: list[str] = Field(min_length=1, max_length=MOST_WANTED)


class EntryBody(BaseModel):
    """An entry that its contributor has signed."""

    model_config = ConfigDict(extra="forbid")

    leaf: str = Field(description="The signed entry, base64", max_length=90_000)


def router(store: Store) -> APIRouter:
    """The routes that anyone may ask."""
    routes = APIRouter()

    @routes.post("/api/v1/contents", response_class=Response)
    def contents(body: WantedBody) -> Response:
        """Records, crystals and blobs by their SHA-256: hash, eight bytes of length, bytes."""
        return _contents(store, body)

    @routes.get("/api/v1/keys")
    def keys() -> list[dict[str, Any]]:
        """The keys that the log knows, and between which entries each counts."""
        return [vars(one) for one in contributors(store)]

    _mirror_routes(routes, store)
    _witness_routes(routes, store)
    return routes


def add_writing_routes(routes: APIRouter, store: Store) -> None:
    """The routes that need an API key with the scope write, which ``routes`` looks after."""

    @routes.post("/api/v1/entries", status_code=201)
    def entry(body: EntryBody) -> dict[str, str]:
        """Take a rotation, a revocation or a tombstone that its contributor has signed."""
        return {"kind": accept_entry(store, _decoded(body.leaf)).kind}


def _mirror_routes(routes: APIRouter, store: Store) -> None:
    """Other nodes' logs that are mirrored here, each under an address like a node's own."""

    @routes.get("/api/v1/mirrors")
    def listed() -> list[dict[str, Any]]:
        """Logs that are mirrored here."""
        with reading(store.engine) as connection:
            table = schema.mirrored_logs
            rows = connection.execute(select(table).order_by(table.c.id)).all()
        return [
            {
                "origin": row.origin,
                "verifier": row.verifier,
                "size": row.size,
                "path": f"/mirrors/{key_id(Verifier.parse(row.verifier).public)}",
            }
            for row in rows
        ]

    @routes.post("/mirrors/{log}/api/v1/contents", response_class=Response)
    def contents(log: str, body: WantedBody) -> Response:
        """Contents by their hash, as at the node itself."""
        with reading(store.engine) as connection:
            _mirrored_log(connection, log)
        return _contents(store, body)

    @routes.get("/mirrors/{log}/log/verifier")
    def verifier(log: str) -> PlainTextResponse:
        """The mirrored log's public key."""
        with reading(store.engine) as connection:
            return PlainTextResponse(_mirrored_log(connection, log).verifier + "\n")

    @routes.get("/mirrors/{log}/log/checkpoint")
    def checkpoint(log: str) -> PlainTextResponse:
        """The mirrored log's last checkpoint that is here as a whole."""
        with reading(store.engine) as connection:
            row = _mirrored_log(connection, log)
        if row.proof:
            raise NotFound("This log is still being pulled: ask again later.")
        return PlainTextResponse(row.note, headers={"cache-control": "no-cache"})

    @routes.get("/mirrors/{log}/log/tile/{path:path}")
    def tile(log: str, path: str) -> Response:
        """A tile of the mirrored log."""
        wanted = Tile.parse(f"tile/{path}")
        with reading(store.engine) as connection:
            row = _mirrored_log(connection, log)
            if wanted.number * 256 + wanted.width > row.size >> 8 * max(wanted.level, 0):
                raise NotFound(f"The log has not grown to {wanted.path} yet.")
            content = tile_content(connection, wanted, mirrored(row.id))
        return Response(content, media_type="application/octet-stream")


def _witness_routes(routes: APIRouter, store: Store) -> None:
    """Let the node be a witness of the logs that it mirrors (C2SP tlog-witness)."""

    @routes.get("/witness/verifier")
    def verifier() -> PlainTextResponse:
        """The key that this node cosigns with."""
        return PlainTextResponse(witness_verifier(witness_signer(store)).to_text() + "\n")

    @routes.post("/witness/add-checkpoint", response_class=PlainTextResponse)
    async def add_checkpoint(request: Request) -> Response:
        """Cosign a checkpoint that grew out of what was cosigned before."""
        from starlette.concurrency import run_in_threadpool

        return await run_in_threadpool(_cosigned, store, await request.body())


def _cosigned(store: Store, body: bytes) -> Response:
    wanted = read_cosign_request(body)
    origin = Checkpoint.parse(Note.parse(wanted.note).text).origin
    known = {one.verifier.name: one.verifier for one in mirrors(store)}
    if origin not in known:
        raise NotFound("This node does not witness that log: it would have to mirror it first.")
    try:
        signature = cosign(store, witness_signer(store), known[origin], wanted)
    except StaleError as error:
        return Response(f"{error.size}\n", 409, media_type="text/x.tlog.size")
    return PlainTextResponse(signature.to_line())


def read_cosign_request(body: bytes) -> CosignRequest:
    """Read ``old N``, the proof in base64 lines, an empty line, and the signed checkpoint."""
    text = body[: LARGEST_NOTE + 1].decode(errors="replace")
    head, gap, note = text.partition("\n\n")
    lines = head.split("\n")
    number = lines[0].removeprefix("old ")
    if not gap or not lines[0].startswith("old ") or not (number.isascii() and number.isdecimal()):
        raise InputError("A request reads: old N, proof lines, an empty line, the checkpoint.")
    if len(lines) - 1 > MOST_PROOF or len(number) > 19:
        raise InputError("The proof is longer than any log needs.")
    proof = [_decoded(line) for line in lines[1:]]
    if any(len(one) != HASH_SIZE for one in proof):
        raise IntegrityError("A proof holds hashes of 32 bytes.")
    return CosignRequest(int(number), proof, note)


def _mirrored_log(connection: Connection, log: str) -> Any:
    table = schema.mirrored_logs
    for row in connection.execute(select(table)):
        if key_id(Verifier.parse(row.verifier).public) == log:
            return row
    raise NotFound("No such log is mirrored here.")


def _contents(store: Store, body: WantedBody) -> Response:
    names = [_name(text) for text in dict.fromkeys(body.hashes)]
    found: list[tuple[bytes, bytes]] = []
    size = 0
    with reading(store.engine) as connection:
        for name in names:
            content = _content(connection, name)
            if content is not None:
                found.append((name, content))
                size += len(content)
            if size > LARGEST_ANSWER:
                break
    return Response(pack_contents(found), media_type="application/octet-stream")


def _content(connection: Connection, name: bytes) -> bytes | None:
    for table, column in (
        (schema.records, schema.records.c.body),
        (schema.crystals, schema.crystals.c.content),
        (schema.blobs, schema.blobs.c.content),
    ):
        found = connection.execute(select(column).where(table.c.hash == name)).scalar_one_or_none()
        if found is not None:
            return bytes(found)
    return None


def _name(text: str) -> bytes:
    try:
        name = bytes.fromhex(text)
    except ValueError as error:
        raise InputError(f"{text[:80]!r} is not the SHA-256 of anything.") from error
    if len(name) != HASH_SIZE:
        raise InputError(f"{text[:80]!r} is not the SHA-256 of anything.")
    return name


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError("Entries and hashes are sent in base64.") from error
