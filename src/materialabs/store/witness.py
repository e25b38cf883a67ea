"""Witnesses: other parties who see a log grow, and sign that it never showed them two pasts.

The exchange is that of C2SP tlog-witness: the log sends its checkpoint, the size that the witness
has seen last and the proof that the log grew out of it; the witness answers with a signature line
(C2SP tlog-cosignature) that carries the time.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, delete, insert, select

from materialabs.errors import InputError, IntegrityError
from materialabs.ledger.keys import ContributorKey
from materialabs.ledger.merkle import consistency_proof, verify_consistency
from materialabs.ledger.notes import (
    COSIGNATURE,
    Checkpoint,
    Note,
    Signature,
    Signer,
    Verifier,
    open_checkpoint,
)
from materialabs.store.database import reading, writing
from materialabs.store.fetching import Fetch, RefusedError, check_address
from materialabs.store.identity import log_verifier
from materialabs.store.log import DatabaseHashes, read_state
from materialabs.store.schema import cosignatures, witnessed_logs
from materialabs.store.store import Store

LARGEST_COSIGNATURE: Final = 10_000
"""Bytes of a witness's answer."""

STALE_STATUS: Final = 409
"""HTTP status with which a witness says what it has seen last (C2SP tlog-witness)."""


class StaleError(InputError):
    """A proof from another size than the one that the witness has seen last.

    Parameters
    ----------
    size
        What the witness has seen.
    """

    default_code = "witness.stale"

    def __init__(self, size: int) -> None:
        super().__init__(f"The proof must begin at the {size} entries that were witnessed last.")
        self.size = size


@dataclass(frozen=True)
class CosignRequest:
    """What a log asks a witness to cosign.

    Parameters
    ----------
    old
        Entries that the witness has seen before; 0 at the first time.
    proof
        That the log of now grew out of the log of then.
    note
        The signed checkpoint of now.
    """

    old: int
    proof: Sequence[bytes]
    note: str


def witness_signer(store: Store) -> Signer:
    """The key that this node witnesses with: made on first use, apart from all others."""
    path = store.keys / "witness.key"
    if not path.exists():
        ContributorKey.new("witness").save(path)
    key = ContributorKey.load(path)
    return Signer(f"materialabs-witness/{key.id}", key.private)


def witness_verifier(signer: Signer) -> Verifier:
    """What a witness's cosignatures are checked with."""
    return Verifier(signer.name, signer.verifier.public, COSIGNATURE)


def cosign(
    store: Store, signer: Signer, verifier: Verifier, request: CosignRequest, now: int | None = None
) -> Signature:
    """Cosign a checkpoint of a log that grew out of what was cosigned before.

    Parameters
    ----------
    store
        Remembers what was cosigned.
    signer
        The witness's key.
    verifier
        The log's public key, known to the witness beforehand.
    request
        What the log asks for.
    now
        POSIX seconds; the clock's by default.

    Raises
    ------
    StaleError
        When the proof begins elsewhere than at what was cosigned last; ask again from there.
    IntegrityError
        When the log is not its former self; nothing is signed.
    """
    checkpoint = open_checkpoint(request.note, verifier)
    with writing(store.engine) as connection:
        before = _seen(connection, verifier)
        _require_growth(before, checkpoint, request)
        signature = signer.cosign(checkpoint_text(request.note), now or int(time.time()))
        connection.execute(delete(witnessed_logs).where(witnessed_logs.c.origin == verifier.name))
        connection.execute(insert(witnessed_logs).values(origin=verifier.name, note=request.note))
    return signature


def checkpoint_text(note: str) -> str:
    """The signed text of a note."""
    return Note.parse(note).text


def _seen(connection: Connection, verifier: Verifier) -> Checkpoint | None:
    note = connection.execute(
        select(witnessed_logs.c.note).where(witnessed_logs.c.origin == verifier.name)
    ).scalar_one_or_none()
    return None if note is None else open_checkpoint(note, verifier)


def _require_growth(before: Checkpoint | None, now: Checkpoint, request: CosignRequest) -> None:
    size = 0 if before is None else before.size
    if request.old != size:
        raise StaleError(size)
    if before is None:
        if request.proof:
            raise InputError("A log that is witnessed for the first time needs no proof.")
        return
    try:
        verify_consistency(before.size, now.size, request.proof, before.root, now.root)
    except IntegrityError as error:
        raise IntegrityError(
            f"The log {now.origin} with {now.size} entries is not what grew out of the "
            f"{before.size} that were witnessed: {error}"
        ) from error


def make_request(store: Store, old: int) -> CosignRequest:
    """What this store's log sends to a witness that has seen ``old`` entries of it."""
    with reading(store.engine) as connection:
        state = read_state(connection)
        if not state.note:
            raise InputError("The log is empty: there is nothing to witness yet.")
        if not 0 <= old <= state.frontier.size:
            raise IntegrityError(
                f"The witness has seen {old} entries of a log of {state.frontier.size}."
            )
        proof = consistency_proof(DatabaseHashes(connection), old, state.frontier.size)
    return CosignRequest(old, proof, state.note)


def write_request(request: CosignRequest) -> bytes:
    """A request as C2SP tlog-witness sends it: ``old N``, proof lines, an empty line, the note."""
    lines = [f"old {request.old}", *(base64.b64encode(one).decode() for one in request.proof)]
    return ("\n".join(lines) + "\n\n" + request.note).encode()


def ask_witness(store: Store, url: str, witness: Verifier, fetch: Fetch) -> Signature:
    """Have the last checkpoint cosigned by a witness, and keep its signature.

    Parameters
    ----------
    store
        Whose log.
    url
        The witness's address; for another node ``ADDRESS/witness``.
    witness
        Its public key, known beforehand.
    fetch
        What fetches.
    """
    request = make_request(store, 0)
    address = f"{check_address(url)}/add-checkpoint"
    try:
        answer = fetch(address, write_request(request), LARGEST_COSIGNATURE)
    except RefusedError as error:
        if error.status != STALE_STATUS or not error.body.strip().isdigit():
            raise
        request = make_request(store, int(error.body))
        answer = fetch(address, write_request(request), LARGEST_COSIGNATURE)
    lines = answer.decode(errors="replace")
    for one in Note.parse(checkpoint_text(request.note) + "\n" + lines).signatures:
        if (one.name, one.key_hash) == (witness.name, witness.key_hash):
            keep_cosignature(store, request.note, one, witness)
            return one
    raise IntegrityError(f"{url} answers with another key's signature than {witness.name}'s.")


def keep_cosignature(store: Store, note: str, signature: Signature, witness: Verifier) -> None:
    """Keep a witness's signature beside the log, if it is what it claims to be."""
    cosigned = Note(checkpoint_text(note), (*Note.parse(note).signatures, signature))
    cosigned.verify(witness)
    verifier = log_verifier(store.engine)
    if verifier is None:
        raise InputError("The log is empty: there is nothing to witness yet.")
    size = open_checkpoint(note, verifier).size
    table = cosignatures
    with writing(store.engine) as connection:
        text = witness.to_text()
        connection.execute(delete(table).where(table.c.size == size, table.c.witness == text))
        connection.execute(insert(table).values(size=size, witness=text, note=str(cosigned)))


def cosigned_checkpoint(store: Store) -> str:
    """The last checkpoint with all the cosignatures that it has; empty for an empty log."""
    with reading(store.engine) as connection:
        state = read_state(connection)
        if not state.note:
            return ""
        note = Note.parse(state.note)
        rows = connection.execute(
            select(cosignatures.c.note)
            .where(cosignatures.c.size == state.frontier.size)
            .order_by(cosignatures.c.witness)
        )
        added = [Note.parse(row.note) for row in rows]
    lines = [one.signatures[-1] for one in added if one.text == note.text]
    return str(Note(note.text, (*note.signatures, *lines)))


def verify_witnessed(
    document: str, verifier: Verifier, witnesses: Sequence[Verifier], needed: int
) -> Checkpoint:
    """Read a checkpoint, believed only with the log's signature and enough witnesses'.

    Parameters
    ----------
    document
        The signed and cosigned checkpoint.
    verifier
        The log's public key.
    witnesses
        Public keys of the witnesses that you trust.
    needed
        How many of them must have cosigned.
    """
    checkpoint = open_checkpoint(document, verifier)
    note = Note.parse(document)
    trusted = {witness.public: witness for witness in witnesses if witness.kind == COSIGNATURE}
    if not 0 <= needed <= len(trusted):
        raise InputError(f"{needed} of {len(trusted)} different witnesses cannot be asked for.")
    found = sum(_has_cosigned(note, witness) for witness in trusted.values())
    if found < needed:
        raise IntegrityError(
            f"{found} of the trusted witnesses have cosigned this checkpoint; {needed} must."
        )
    return checkpoint


def _has_cosigned(note: Note, witness: Verifier) -> bool:
    try:
        note.verify(witness)
    except IntegrityError:
        return False
    return True


def cosignature_problems(connection: Connection, verifier: Verifier) -> Iterator[tuple[str, str]]:
    """(place, sentence) for every kept cosignature that is not one of this log."""
    state = read_state(connection)
    reader = DatabaseHashes(connection)
    for row in connection.execute(select(cosignatures).order_by(cosignatures.c.size)).all():
        place = f"cosignature of {row.size} entries by {row.witness[:60]}"
        try:
            witness = Verifier.parse(row.witness)
            checkpoint = open_checkpoint(row.note, verifier)
            note = Note.parse(row.note)
            note.verify(witness)
            if witness.to_text() != row.witness or checkpoint.size != row.size:
                raise IntegrityError("The row does not say what the note says.")
            if len(note.signatures) != 2:
                raise IntegrityError("The note has a signature too many.")
            size = state.frontier.size
            proof = consistency_proof(reader, row.size, size)
            verify_consistency(row.size, size, proof, checkpoint.root, state.frontier.root())
        except (IntegrityError, InputError, UnicodeError) as error:
            yield place, f"The {place} is wrong: {error}"
