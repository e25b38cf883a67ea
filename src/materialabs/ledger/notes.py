"""Signed notes and checkpoints as C2SP writes them (signed-note, tlog-checkpoint, cosignature).

A note is a text that ends in a newline, an empty line, and one line for each signature::

    example.org/log
    42
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

    — example.org/log Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+Z...

A checkpoint is a note whose text is origin, size and root. A witness cosigns it with a time.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from materialabs.errors import InputError, IntegrityError
from materialabs.ledger.merkle import HASH_SIZE

ED25519 = 0x01
"""Signature type of a plain Ed25519 note signature."""

COSIGNATURE = 0x04
"""Signature type of a timestamped witness cosignature."""

SIGNATURE_SIZE = 64
"""Bytes of an Ed25519 signature."""

LARGEST_NOTE = 1_000_000
"""Bytes; a longer note is refused unread."""

MOST_SIGNATURES = 100
"""Signature lines read from one note."""

LARGEST_SIZE = 1 << 63
"""Entries; a checkpoint that claims more is refused."""


@dataclass(frozen=True)
class Verifier:
    """A name and a public key that notes can be checked with.

    Parameters
    ----------
    name
        Key name as it stands in signature lines; no spaces or plus signs.
    public
        32 bytes, Ed25519.
    kind
        :data:`ED25519`, or :data:`COSIGNATURE` for a witness.
    """

    name: str
    public: bytes
    kind: int = ED25519

    def __post_init__(self) -> None:
        if not self.name or any(sign in self.name for sign in " +\n\t"):
            raise InputError(f"The key name {self.name!r} must have no spaces or plus signs.")
        if len(self.public) != HASH_SIZE:
            raise InputError("An Ed25519 public key has 32 bytes.")

    @property
    def key_hash(self) -> bytes:
        """The four bytes that point a signature line to its key."""
        text = self.name.encode() + b"\n" + bytes([self.kind]) + self.public
        return hashlib.sha256(text).digest()[:4]

    def to_text(self) -> str:
        """The key as ``name+hash+base64``."""
        key = base64.b64encode(bytes([self.kind]) + self.public).decode()
        return f"{self.name}+{self.key_hash.hex()}+{key}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``name+hash+base64``."""
        parts = text.strip().split("+", 2)
        if len(parts) != 3:
            raise InputError("A verifier key reads name+hash+base64.")
        raw = _decode(parts[2])
        if len(raw) != HASH_SIZE + 1 or raw[0] not in (ED25519, COSIGNATURE):
            raise InputError("This verifier key is not an Ed25519 key.")
        verifier = cls(parts[0], raw[1:], raw[0])
        if verifier.key_hash.hex() != parts[1]:
            raise IntegrityError(f"The key of {parts[0]!r} does not have the hash that it claims.")
        return verifier

    def accepts(self, text: str, signature: bytes) -> bool:
        """Whether the bytes behind the key hash of a signature line sign this text."""
        key = Ed25519PublicKey.from_public_bytes(self.public)
        try:
            if self.kind == ED25519:
                key.verify(signature, text.encode())
            else:
                if len(signature) != SIGNATURE_SIZE + 8:
                    return False
                time = int.from_bytes(signature[:8], "big")
                key.verify(signature[8:], _cosigned(text, time))
        except (InvalidSignature, UnicodeEncodeError):  # a damaged text may not even be one
            return False
        return True


@dataclass(frozen=True)
class Signature:
    """One signature line: who, which key, and the bytes."""

    name: str
    key_hash: bytes
    signature: bytes

    def to_line(self) -> str:
        """The line as it stands in a note."""
        return f"— {self.name} {base64.b64encode(self.key_hash + self.signature).decode()}\n"


@dataclass(frozen=True)
class Note:
    """A text with its signatures."""

    text: str
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        return self.text + "\n" + "".join(one.to_line() for one in self.signatures)

    @classmethod
    def parse(cls, document: str) -> Self:
        """Read a note; nothing is believed until :meth:`verify`."""
        if len(document) > LARGEST_NOTE:
            raise IntegrityError("This note is too large to be one.")
        text, gap, tail = document.rpartition("\n\n")
        lines = tail.splitlines()
        if not gap or not lines or not document.endswith("\n"):
            raise IntegrityError("This is not a signed note: a text, an empty line, signatures.")
        if len(lines) > MOST_SIGNATURES:
            raise IntegrityError(f"A note with more than {MOST_SIGNATURES} signatures is refused.")
        note = cls(text + "\n", tuple(_signature_line(line) for line in lines))
        if str(note) != document:
            raise IntegrityError("This note is not in the one form that notes have.")
        return note

    def verify(self, verifier: Verifier) -> None:
        """Refuse the note unless this key signed it."""
        for one in self.signatures:
            if (one.name, one.key_hash) == (verifier.name, verifier.key_hash):
                if verifier.accepts(self.text, one.signature):
                    return
                raise IntegrityError(f"The signature of {verifier.name} on this note is forged.")
        raise IntegrityError(f"{verifier.name} has not signed this note.")

    def signed(self, signer: Signer) -> Note:
        """The note with one more signature."""
        return Note(self.text, (*self.signatures, signer.sign(self.text)))


@dataclass(frozen=True)
class Signer:
    """A name and a private key that notes are signed with."""

    name: str
    private: Ed25519PrivateKey

    @property
    def verifier(self) -> Verifier:
        """The public half."""
        return Verifier(self.name, self.private.public_key().public_bytes_raw())

    def sign(self, text: str) -> Signature:
        """Sign a note's text."""
        return Signature(self.name, self.verifier.key_hash, self.private.sign(text.encode()))

    def cosign(self, text: str, time: int) -> Signature:
        """Cosign a checkpoint as a witness, with POSIX seconds."""
        verifier = Verifier(self.name, self.verifier.public, COSIGNATURE)
        signature = self.private.sign(_cosigned(text, time))
        return Signature(self.name, verifier.key_hash, time.to_bytes(8, "big") + signature)


@dataclass(frozen=True)
class Checkpoint:
    """What a log commits to: its name, its size and its root.

    Parameters
    ----------
    origin
        The log's name, unique in the world.
    size
        Number of entries.
    root
        32 bytes, the root of the tree of that size.
    """

    origin: str
    size: int
    root: bytes

    def to_text(self) -> str:
        """The text of the note."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text of a note as a checkpoint."""
        lines = text.split("\n")
        if len(lines) < 4 or not lines[0]:
            raise IntegrityError("A checkpoint has origin, size and root.")
        if not (lines[1].isascii() and lines[1].isdecimal()) or str(int(lines[1])) != lines[1]:
            raise IntegrityError(f"The size of a checkpoint is a whole number, not {lines[1]!r}.")
        root = _decode(lines[2])
        if len(root) != HASH_SIZE or int(lines[1]) >= LARGEST_SIZE:
            raise IntegrityError("The root of a checkpoint has 32 bytes.")
        return cls(lines[0], int(lines[1]), root)

    def note(self, signers: Sequence[Signer]) -> Note:
        """The checkpoint signed by the log, and by whoever else signs."""
        text = self.to_text()
        return Note(text, tuple(signer.sign(text) for signer in signers))


def open_checkpoint(document: str, verifier: Verifier) -> Checkpoint:
    """Read a signed checkpoint, believed only with this log's signature and name."""
    note = Note.parse(document)
    note.verify(verifier)
    checkpoint = Checkpoint.parse(note.text)
    if checkpoint.origin != verifier.name:
        raise IntegrityError(f"This checkpoint is of {checkpoint.origin}, not {verifier.name}.")
    return checkpoint


def _cosigned(text: str, time: int) -> bytes:
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def _signature_line(line: str) -> Signature:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "—":
        raise IntegrityError(f"This is not a signature line: {line[:60]!r}.")
    raw = _decode(parts[2])
    if len(raw) <= 4:
        raise IntegrityError("A signature line is too short.")
    return Signature(parts[1], raw[:4], raw[4:])


def _decode(text: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise IntegrityError(f"{text[:40]!r} is not base64.") from error
    if base64.b64encode(raw).decode() != text:
        raise IntegrityError(f"{text[:40]!r} is not base64 in its one form.")
    return raw
