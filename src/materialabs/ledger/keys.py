"""Contributors' keys: made on first use, kept in files that only their owner may read."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
import stat
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from materialabs.errors import InputError, IntegrityError, NotFound, ResourceError

KEY_ID_BYTES = 16
"""Bytes of the SHA-256 of a public key that name it."""

LONGEST_NAME = 100
"""Characters of a contributor's name."""

LARGEST_KEY_FILE = 10_000
"""Bytes; a larger file is not a key."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._@-]*")


def key_id(public: bytes) -> str:
    """The short name of a public key: the first 16 bytes of its SHA-256, in hex."""
    return hashlib.sha256(public).digest()[:KEY_ID_BYTES].hex()


def check_name(name: str) -> str:
    """Refuse a contributor's name that could be mistaken for a path or a line of a log."""
    if not _NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise InputError(
            f"The name {name!r} must begin with a letter or digit and hold only letters, digits, "
            "spaces and . _ @ - (100 characters at most)."
        )
    return name


@lru_cache(maxsize=1024)
def _public_key(public: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(public)


def signature_is_valid(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether an Ed25519 signature over a message was made by this key."""
    try:
        _public_key(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


@dataclass(frozen=True)
class ContributorKey:
    """A person's or a node's signing key.

    Parameters
    ----------
    name
        Who it belongs to, for readers.
    private
        The Ed25519 private key; it is shown in no text that this object gives.
    """

    name: str
    private: Ed25519PrivateKey

    def __post_init__(self) -> None:
        check_name(self.name)

    @classmethod
    def new(cls, name: str) -> Self:
        """Make a fresh key."""
        return cls(name, Ed25519PrivateKey.generate())

    @cached_property
    def public(self) -> bytes:
        """The public half, 32 bytes."""
        return self.private.public_key().public_bytes_raw()

    @cached_property
    def id(self) -> str:
        """The key's short name."""
        return key_id(self.public)

    def sign(self, message: bytes) -> bytes:
        """Sign a message; 64 bytes."""
        return self.private.sign(message)

    def __repr__(self) -> str:
        return f"ContributorKey({self.name!r}, {self.id})"

    def public_document(self) -> dict[str, str]:
        """What may be given to anyone."""
        return {"name": self.name, "public": base64.b64encode(self.public).decode()}

    def save(self, path: Path) -> None:
        """Write the key to a new file that only its owner may read; never over another."""
        document = self.public_document() | {
            "private": base64.b64encode(self.private.private_bytes_raw()).decode()
        }
        write_private(path, json.dumps(document, indent=1).encode() + b"\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a key file; one that others may read is refused."""
        document = _read_key_document(path)
        if "private" not in document:
            raise InputError(f"{path} holds a public key only; signing needs the private one.")
        private = Ed25519PrivateKey.from_private_bytes(_raw(document["private"], path))
        key = cls(str(document.get("name", "")), private)
        if base64.b64encode(key.public).decode() != document.get("public"):
            raise IntegrityError(f"The two halves of the key in {path} do not belong together.")
        return key


def write_private(path: Path, content: bytes) -> None:
    """Write a new file readable by its owner alone, whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError as error:
        raise InputError(f"{path} exists; keys are never overwritten.") from error
    except OSError as error:
        raise ResourceError(f"The key {path} cannot be written: {error.strerror}.") from error
    finally:
        if "temporary" in locals():
            temporary.unlink(missing_ok=True)


def _read_key_document(path: Path) -> dict[str, Any]:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        content = path.read_bytes()[: LARGEST_KEY_FILE + 1]
    except FileNotFoundError as error:
        raise NotFound(f"There is no key at {path}.") from error
    except OSError as error:
        raise ResourceError(f"The key {path} cannot be read: {error.strerror}.") from error
    try:
        document = json.loads(content) if len(content) <= LARGEST_KEY_FILE else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise IntegrityError(f"{path} is not a key file.")
    if "private" in document and mode & 0o077:
        raise InputError(f"Others may read the private key {path}: run chmod 600 {path}")
    return document


def _raw(text: object, path: Path) -> bytes:
    try:
        raw = base64.b64decode(str(text), validate=True)
    except (binascii.Error, ValueError) as error:
        raise IntegrityError(f"{path} is not a key file.") from error
    if len(raw) != 32:
        raise IntegrityError(f"{path} is not a key file.")
    return raw
