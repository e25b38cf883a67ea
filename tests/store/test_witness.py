"""Witnesses cosign what grew out of what they saw, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import update

from materialabs.errors import InputError, IntegrityError
from materialabs.ledger.notes import Signer, Verifier
from materialabs.store.schema import cosignatures
from materialabs.store.store import Store
from materialabs.store.verify import verify
from materialabs.store.witness import (
    CosignRequest,
    StaleError,
    cosign,
    cosigned_checkpoint,
    keep_cosignature,
    make_request,
    verify_witnessed,
    witness_signer,
    witness_verifier,
)
from tests.store.lying import with_rewritten_entry
from tests.store.test_query import some_crystals

NOW = 1_700_000_000


@pytest.fixture
def log(sqlite_store: Store) -> Store:
    sqlite_store.add(some_crystals(3, 20))
    return sqlite_store


def a_witness(folder: Path, name: str) -> tuple[Store, Signer, Verifier]:
    place = folder / name
    place.mkdir()
    store = Store(place / "lab.db", keys=place / "keys")
    signer = witness_signer(store)
    return store, signer, witness_verifier(signer)


def ask(log: Store, witness: tuple[Store, Signer, Verifier], old: int) -> None:
    store, signer, verifier = witness
    request = make_request(log, old)
    signature = cosign(store, signer, log.identity.signer.verifier, request, NOW)
    keep_cosignature(log, request.note, signature, verifier)


def test_a_checkpoint_with_enough_witnesses_is_believed(log: Store, tmp_path: Path) -> None:
    several = [a_witness(tmp_path, f"w{n}") for n in range(3)]
    for one in several[:2]:
        ask(log, one, 0)
    verifiers = [one[2] for one in several]
    own = log.identity.signer.verifier
    assert verify_witnessed(cosigned_checkpoint(log), own, verifiers, 2).size == 21


def test_a_checkpoint_with_too_few_witnesses_is_refused(log: Store, tmp_path: Path) -> None:
    several = [a_witness(tmp_path, f"w{n}") for n in range(3)]
    ask(log, several[0], 0)
    verifiers = [one[2] for one in several]
    with pytest.raises(IntegrityError, match="1 of the trusted witnesses"):
        verify_witnessed(cosigned_checkpoint(log), log.identity.signer.verifier, verifiers, 2)


def test_one_witness_named_twice_counts_once(log: Store, tmp_path: Path) -> None:
    one = a_witness(tmp_path, "w")
    ask(log, one, 0)
    other = Verifier("another-name", one[2].public, one[2].kind)
    with pytest.raises(InputError):
        verify_witnessed(cosigned_checkpoint(log), log.identity.signer.verifier, [one[2], other], 2)


def test_the_witness_follows_the_log(log: Store, tmp_path: Path) -> None:
    one = a_witness(tmp_path, "w")
    ask(log, one, 0)
    log.add(some_crystals(4, 20))
    ask(log, one, 21)
    assert verify_witnessed(
        cosigned_checkpoint(log), log.identity.signer.verifier, [one[2]], 1
    ).size == 41  # fmt: skip
    assert verify(log, keys=log.keys).good


def test_a_proof_from_elsewhere_is_answered_with_what_was_seen(log: Store, tmp_path: Path) -> None:
    one = a_witness(tmp_path, "w")
    ask(log, one, 0)
    log.add(some_crystals(4, 20))
    with pytest.raises(StaleError) as caught:
        ask(log, one, 5)
    assert caught.value.size == 21


def test_a_rewritten_log_is_not_cosigned(log: Store, tmp_path: Path) -> None:
    one = a_witness(tmp_path, "w")
    ask(log, one, 0)
    liar = with_rewritten_entry(log, tmp_path / "liar.db", 7)
    liar.add(some_crystals(4, 5))
    with pytest.raises(IntegrityError, match="not what grew out"):
        ask(liar, one, 21)


def test_a_shrunken_log_is_not_cosigned(log: Store, tmp_path: Path) -> None:
    one = a_witness(tmp_path, "w")
    request = make_request(log, 0)
    log.add(some_crystals(4, 5))
    ask(log, one, 0)
    with pytest.raises(IntegrityError, match="shrank"):
        cosign(
            one[0], one[1], log.identity.signer.verifier, CosignRequest(26, [], request.note), NOW
        )


def test_a_log_of_another_key_is_not_cosigned(log: Store, tmp_path: Path) -> None:
    one = a_witness(tmp_path, "w")
    with pytest.raises(IntegrityError):
        cosign(one[0], one[1], one[1].verifier, make_request(log, 0), NOW)


def test_the_first_time_needs_no_proof(log: Store, tmp_path: Path) -> None:
    one = a_witness(tmp_path, "w")
    request = CosignRequest(0, [bytes(32)], make_request(log, 0).note)
    with pytest.raises(InputError, match="no proof"):
        cosign(one[0], one[1], log.identity.signer.verifier, request, NOW)


def test_a_forged_cosignature_is_not_kept(log: Store, tmp_path: Path) -> None:
    one, other = a_witness(tmp_path, "w"), a_witness(tmp_path, "v")
    request = make_request(log, 0)
    signature = cosign(one[0], one[1], log.identity.signer.verifier, request, NOW)
    with pytest.raises(IntegrityError):
        keep_cosignature(log, request.note, signature, other[2])


def test_a_witness_is_not_asked_about_an_empty_log(sqlite_store: Store) -> None:
    with pytest.raises(InputError, match="empty"):
        make_request(sqlite_store, 0)
    assert cosigned_checkpoint(sqlite_store) == ""


def test_a_witness_that_has_seen_more_than_there_is_is_told(log: Store) -> None:
    with pytest.raises(IntegrityError, match="has seen 50"):
        make_request(log, 50)


@pytest.mark.parametrize("column", ["witness", "note"])
def test_a_changed_cosignature_is_found(log: Store, tmp_path: Path, column: str) -> None:
    ask(log, a_witness(tmp_path, "w"), 0)
    with log.engine.begin() as connection:
        text = connection.execute(cosignatures.select()).mappings().one()[column]
        broken = text[:-6] + ("A" if text[-6] != "A" else "B") + text[-5:]
        connection.execute(update(cosignatures).values({column: broken}))
    (problem,) = verify(log, keys=log.keys).problems
    assert "cosignature of 21" in problem.place
