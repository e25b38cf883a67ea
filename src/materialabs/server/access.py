"""API keys: made once, shown once, stored hashed, each with scopes."""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine, insert, select, update

from materialabs.errors import InputError
from materialabs.store.database import reading, writing
from materialabs.store.schema import access_keys

SCOPES: Final = ("read", "write", "admin")
"""What a key may allow; each includes those before it."""

PREFIX: Final = "mlk_"
"""Begins every API key, so that one in the wrong place is noticed."""


@dataclass(frozen=True)
class Access:
    """Who asks, and what for he may."""

    name: str
    scopes: frozenset[str]


NOBODY: Final = Access("", frozenset())
"""A request without a key."""


def new_key(engine: Engine, name: str, scope: str) -> str:
    """Make an API key and give it; it cannot be read again."""
    if scope not in SCOPES:
        raise InputError(f"A scope is one of {', '.join(SCOPES)}, not {scope!r}.")
    text = PREFIX + secrets.token_urlsafe(32)
    granted = SCOPES[: SCOPES.index(scope) + 1]
    with writing(engine) as connection:
        connection.execute(
            insert(access_keys).values(
                hash=_hash(text), name=name, scopes=" ".join(granted), created=int(time.time())
            )
        )
    return text


def revoke_key(engine: Engine, name: str) -> int:
    """Take all keys of this name back; gives how many."""
    with writing(engine) as connection:
        done = connection.execute(
            update(access_keys)
            .where(access_keys.c.name == name, access_keys.c.revoked.is_(None))
            .values(revoked=int(time.time()))
        )
        return int(done.rowcount)


def access_of(engine: Engine, authorization: str | None) -> Access | None:
    """Who an ``Authorization: Bearer`` header speaks for; ``None`` for a wrong key."""
    if not authorization:
        return NOBODY
    kind, _, text = authorization.partition(" ")
    if kind.lower() != "bearer" or not text.startswith(PREFIX):
        return None
    with reading(engine) as connection:
        row = connection.execute(
            select(access_keys.c.name, access_keys.c.scopes).where(
                access_keys.c.hash == _hash(text), access_keys.c.revoked.is_(None)
            )
        ).one_or_none()
    return None if row is None else Access(row.name, frozenset(row.scopes.split()))


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
