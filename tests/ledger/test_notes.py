"""Notes against the example in the C2SP signed-note text, and forgeries of every line."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from materialabs.errors import InputError, IntegrityError
from materialabs.ledger.notes import (
    COSIGNATURE,
    Checkpoint,
    Note,
    Signer,
    Verifier,
    open_checkpoint,
)

# The example of Go's golang.org/x/mod/sumdb/note documentation.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def signer(name: str = "example.org/log") -> Signer:
    return Signer(name, Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


def checkpoint() -> Checkpoint:
    return Checkpoint("example.org/log", 42, bytes(range(32)))


def test_the_published_example_verifies() -> None:
    Note.parse(GO_NOTE).verify(Verifier.parse(GO_KEY))


def test_the_published_key_keeps_its_text() -> None:
    assert Verifier.parse(GO_KEY).to_text() == GO_KEY


def test_a_note_keeps_its_text() -> None:
    assert str(Note.parse(GO_NOTE)) == GO_NOTE


def test_a_signed_checkpoint_opens() -> None:
    document = str(checkpoint().note([signer()]))
    assert open_checkpoint(document, signer().verifier) == checkpoint()


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_any_changed_byte_is_refused(place: int, change: int) -> None:
    document = bytearray(str(checkpoint().note([signer()])).encode())
    document[place % len(document)] ^= change
    with pytest.raises(IntegrityError):
        open_checkpoint(document.decode(errors="replace"), signer().verifier)


def test_a_checkpoint_of_another_log_is_refused() -> None:
    other = Checkpoint("other.org/log", 42, bytes(32)).note([signer()])
    with pytest.raises(IntegrityError, match=r"is of other\.org"):
        open_checkpoint(str(other), signer().verifier)


def test_a_witness_cosigns_with_a_time() -> None:
    witness = Signer("witness.org", Ed25519PrivateKey.from_private_bytes(bytes(32)))
    note = checkpoint().note([signer()])
    cosigned = Note(note.text, (*note.signatures, witness.cosign(note.text, 1_700_000_000)))
    Note.parse(str(cosigned)).verify(Verifier("witness.org", witness.verifier.public, COSIGNATURE))


def test_a_cosignature_does_not_pass_for_a_plain_signature() -> None:
    witness = signer("witness.org")
    note = checkpoint().note([signer()])
    cosigned = Note(note.text, (witness.cosign(note.text, 1),))
    with pytest.raises(IntegrityError, match="has not signed"):
        cosigned.verify(witness.verifier)


@pytest.mark.parametrize("text", ["", "name", "name+00+AA==", "a+b", "name+c74f20a3+ARpc"])
def test_a_damaged_key_is_refused(text: str) -> None:
    with pytest.raises((InputError, IntegrityError)):
        Verifier.parse(text)


def test_a_key_with_a_wrong_hash_is_refused() -> None:
    with pytest.raises(IntegrityError, match="hash"):
        Verifier.parse(GO_KEY.replace("c74f20a3", "c74f20a4"))


@pytest.mark.parametrize(
    "text", ["", "origin\n", "origin\n-1\nAA==\n", "origin\n01\nAA==\n", "origin\n1\nAA==\n"]
)
def test_a_damaged_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(IntegrityError):
        Checkpoint.parse(text)


def test_a_text_that_is_not_unicode_is_refused_as_forged() -> None:
    note = checkpoint().note([signer()])
    damaged = Note(note.text.replace("=", "\udcd3"), note.signatures)
    with pytest.raises(IntegrityError, match="forged"):
        damaged.verify(signer().verifier)
