"""Keys through their life: what counted stays, what was revoked counts no more, names are owned."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from materialabs.errors import InputError, IntegrityError, NotFound
from materialabs.ledger.entries import key_fields, record_entry, signed_entry
from materialabs.ledger.keys import ContributorKey
from materialabs.store.database import writing
from materialabs.store.key_events import (
    accept_entry,
    contributors,
    export_key,
    import_key,
    new_key,
    read_exported,
    replace_key,
    revoke_key,
    rotate_key,
)
from materialabs.store.log import append
from materialabs.store.records import Method, Property, Record
from materialabs.store.store import Store
from materialabs.store.upload import Upload, accept
from materialabs.store.verify import verify
from tests.store.test_query import some_crystals


@pytest.fixture
def full(sqlite_store: Store) -> Store:
    sqlite_store.add(some_crystals(3, 5))
    return sqlite_store


def observation(number: float) -> Record:
    return Record((Property("stiffness", number, "GPa", Method("dft")),), composition="NaCl")


def send(store: Store, key: ContributorKey, number: float) -> None:
    record = observation(number)
    accept(store, Upload([record.document()], [record_entry(record.id, key).to_leaf()], []))


def good(store: Store) -> bool:
    verdict = verify(store, keys=store.keys, everything=True, most=3)
    assert verdict.good, verdict.problems
    return verdict.good


def test_what_a_rotated_key_signed_still_counts(full: Store) -> None:
    rotate_key(full)
    full.add(some_crystals(4, 5))
    assert good(full)


def test_a_rotated_key_signs_no_more(full: Store) -> None:
    old = full.identity.contributor
    rotate_key(full)
    with pytest.raises(IntegrityError, match="did not count"):
        send(full, old, 1.0)


def test_the_fresh_key_stands_in_the_old_ones_place(full: Store) -> None:
    key = rotate_key(full)
    assert ContributorKey.load(full.keys / "contributor.key").id == key.id


def test_the_old_key_is_kept(full: Store) -> None:
    old = full.identity.contributor
    rotate_key(full)
    assert ContributorKey.load(full.keys / f"contributor-{old.id}.key").id == old.id


def test_a_rotation_that_was_cut_short_is_finished(full: Store) -> None:
    old = full.identity.contributor
    key = rotate_key(full)
    path = full.keys / "contributor.key"
    path.unlink()
    old.save(path)  # as if the power had failed before the file was changed
    with Store(full.place, keys=full.keys) as again:
        with pytest.raises(InputError, match="rotate"):
            again.add(some_crystals(6, 1))
        assert rotate_key(again).id == key.id
        again.add(some_crystals(6, 1))
        assert good(again)


def test_a_revoked_key_writes_no_more(full: Store) -> None:
    revoke_key(full, full.identity.contributor.id)
    with pytest.raises(InputError, match="revoked"):
        full.add(some_crystals(6, 1))
    assert good(full)


def test_another_key_takes_the_place_of_a_revoked_one(full: Store) -> None:
    revoke_key(full, full.identity.contributor.id)
    replace_key(full.keys, "my-second-name")
    with Store(full.place, keys=full.keys) as again:
        again.add(some_crystals(6, 1))
        assert good(again)


def test_a_signature_by_a_revoked_key_at_a_later_place_is_found(full: Store) -> None:
    key = full.identity.contributor
    signer = full.identity.signer
    revoke_key(full, key.id)
    with writing(full.engine) as connection:
        append(connection, [record_entry(observation(1.0).id, key)], signer)
    assert verify(full, keys=full.keys).problems[0].kind == "wrong key"


def test_a_revoked_key_is_not_revoked_again(full: Store) -> None:
    revoke_key(full, full.identity.contributor.id)
    with pytest.raises(InputError, match="already"):
        revoke_key(full, full.identity.contributor.id)


def test_the_logs_own_key_is_not_revoked(full: Store) -> None:
    with pytest.raises(IntegrityError, match="cannot be revoked"):
        revoke_key(full, full.identity.log.id)


def test_an_unknown_key_is_not_found(full: Store) -> None:
    with pytest.raises(NotFound):
        revoke_key(full, "0" * 32)


def test_an_imported_key_signs(full: Store, tmp_path: Path) -> None:
    friend = new_key(tmp_path / "friend", "friend")
    export_key(tmp_path / "friend", tmp_path / "friend.json")
    import_key(full, read_exported(tmp_path / "friend.json"))
    send(full, friend, 2.0)
    assert good(full)
    assert [one.name for one in contributors(full)][-1] == "friend"


def test_nothing_secret_is_exported(tmp_path: Path) -> None:
    key = new_key(tmp_path / "k", "friend")
    export_key(tmp_path / "k", tmp_path / "out.json")
    private = base64.b64encode(key.private.private_bytes_raw()).decode()
    assert private not in (tmp_path / "out.json").read_text()


def test_an_export_overwrites_nothing(tmp_path: Path) -> None:
    new_key(tmp_path / "k", "friend")
    (tmp_path / "out.json").write_text("mine")
    with pytest.raises(InputError, match="exists"):
        export_key(tmp_path / "k", tmp_path / "out.json")


def test_a_key_that_was_not_imported_does_not_sign(full: Store) -> None:
    with pytest.raises(IntegrityError, match="never added"):
        send(full, ContributorKey.new("stranger"), 2.0)


def test_a_key_without_its_owners_proof_is_refused(full: Store) -> None:
    mine, theirs = key_fields(ContributorKey.new("a")), key_fields(ContributorKey.new("b"))
    with pytest.raises(IntegrityError, match="proof"):
        import_key(full, theirs | {"proof": mine["proof"]})


@pytest.mark.parametrize("spelled", [str, str.upper])
def test_a_foreign_contributors_name_is_refused(full: Store, spelled: type[str]) -> None:
    name = spelled(full.identity.contributor.name)
    with pytest.raises(IntegrityError, match="stands for the key"):
        import_key(full, dict(key_fields(ContributorKey.new(name))))


def test_a_key_is_admitted_once(full: Store) -> None:
    fields = dict(key_fields(ContributorKey.new("friend")))
    import_key(full, fields)
    with pytest.raises(InputError, match="already"):
        import_key(full, fields)


def test_a_private_key_is_not_imported(full: Store) -> None:
    document = json.loads((full.keys / "contributor.key").read_text())
    with pytest.raises(InputError, match="export"):
        import_key(full, document)


def test_a_foreign_key_is_not_rotated(full: Store) -> None:
    stranger, fresh = ContributorKey.new("stranger"), ContributorKey.new("stranger")
    entry = signed_entry("key-rotate", key_fields(fresh), stranger)
    with pytest.raises(IntegrityError, match="never added"):
        accept_entry(full, entry.to_leaf())


def test_a_rotation_does_not_take_another_name(full: Store) -> None:
    fresh = ContributorKey.new("a-better-name")
    entry = signed_entry("key-rotate", key_fields(fresh), full.identity.contributor)
    with pytest.raises(IntegrityError, match="the name stays"):
        accept_entry(full, entry.to_leaf())


def test_a_contributor_revokes_nobody_elses_key(full: Store) -> None:
    friend = ContributorKey.new("friend")
    import_key(full, dict(key_fields(friend)))
    entry = signed_entry("key-revoke", {"key": full.identity.contributor.id}, friend)
    with pytest.raises(IntegrityError, match="without the log's key"):
        accept_entry(full, entry.to_leaf())


def test_a_friend_rotates_and_revokes_from_afar(full: Store) -> None:
    friend, fresh = ContributorKey.new("friend"), ContributorKey.new("friend")
    import_key(full, dict(key_fields(friend)))
    accept_entry(full, signed_entry("key-rotate", key_fields(fresh), friend).to_leaf())
    send(full, fresh, 3.0)
    accept_entry(full, signed_entry("key-revoke", {"key": fresh.id}, fresh).to_leaf())
    with pytest.raises(IntegrityError, match="did not count"):
        send(full, fresh, 4.0)
    assert good(full)


def test_only_entries_about_keys_and_withdrawals_are_sent_alone(full: Store) -> None:
    entry = record_entry(observation(1.0).id, full.identity.contributor)
    with pytest.raises(InputError, match="not sent alone"):
        accept_entry(full, entry.to_leaf())


@pytest.mark.parametrize("content", [b"", b"[]", b"{" * 2000, b"\xff", b"x" * 20_000])
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "k.json").write_bytes(content)
    with pytest.raises(IntegrityError):
        read_exported(tmp_path / "k.json")


def test_a_key_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_exported(tmp_path / "k.json")


def test_an_empty_store_knows_no_keys(sqlite_store: Store) -> None:
    assert contributors(sqlite_store) == []
