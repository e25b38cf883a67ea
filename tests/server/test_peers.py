"""What nodes ask of one another over HTTP: entries, keys, mirrored logs, cosignatures."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from materialabs.errors import IntegrityError, NotFound
from materialabs.ledger.entries import signed_entry
from materialabs.ledger.keys import key_id
from materialabs.ledger.notes import COSIGNATURE, Verifier
from materialabs.server.access import new_key
from materialabs.server.app import create_app
from materialabs.server.peers import read_cosign_request
from materialabs.store.fetching import RefusedError
from materialabs.store.mirrors import mirror_add, mirror_sync
from materialabs.store.node import unpack_contents
from materialabs.store.store import Store
from materialabs.store.verify import verify
from materialabs.store.witness import (
    CosignRequest,
    ask_witness,
    cosigned_checkpoint,
    verify_witnessed,
    witness_signer,
    write_request,
)
from tests.store.direct import Direct
from tests.store.lying import with_rewritten_entry
from tests.store.test_query import some_crystals


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """A log, and a node that mirrors it."""
    stores = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        store = Store(tmp_path / name / "lab.db", keys=tmp_path / name / "keys")
        store.add(some_crystals(len(name), 20))
        stores.append(store)
    first, second = stores
    mirror_add(second, "http://first", first.identity.signer.verifier)
    mirror_sync(second, "http://first", fetch=Direct(create_app(first)))
    yield first, second
    for store in stores:
        store.close()


def witness_of(store: Store) -> Verifier:
    text = Direct(create_app(store))("http://node/witness/verifier").decode()
    return Verifier.parse(text)


def read_json(store: Store, path: str) -> Any:
    return json.loads(Direct(create_app(store))(f"http://node{path}"))


def test_a_node_cosigns_the_logs_that_it_mirrors(pair: tuple[Store, Store]) -> None:
    first, second = pair
    fetch, witness = Direct(create_app(second)), witness_of(second)
    ask_witness(first, "http://second/witness", witness, fetch)
    first.add(some_crystals(9, 5))
    ask_witness(first, "http://second/witness", witness, fetch)
    document = Direct(create_app(first))("http://first/log/checkpoint").decode()
    assert document == cosigned_checkpoint(first)
    assert verify_witnessed(document, first.identity.signer.verifier, [witness], 1).size == 26
    assert verify(first, keys=first.keys).good


def test_a_node_witnesses_no_log_that_it_does_not_know(pair: tuple[Store, Store]) -> None:
    first, second = pair
    with pytest.raises(NotFound):
        ask_witness(second, "http://first/witness", witness_of(first), Direct(create_app(first)))


def test_a_node_does_not_cosign_a_rewritten_log(pair: tuple[Store, Store], tmp_path: Path) -> None:
    first, second = pair
    fetch, witness = Direct(create_app(second)), witness_of(second)
    ask_witness(first, "http://second/witness", witness, fetch)
    liar = with_rewritten_entry(first, tmp_path / "liar.db", 5)
    liar.add(some_crystals(9, 5))
    with pytest.raises(RefusedError, match="not what grew out"):
        ask_witness(liar, "http://second/witness", witness, fetch)


def test_another_witnesses_signature_is_not_taken(pair: tuple[Store, Store]) -> None:
    first, second = pair
    other = Verifier("someone", witness_signer(first).verifier.public, COSIGNATURE)
    with pytest.raises(IntegrityError, match="another key"):
        ask_witness(first, "http://second/witness", other, Direct(create_app(second)))


def test_a_request_to_a_witness_keeps_its_form() -> None:
    request = CosignRequest(5, [bytes(32), bytes(range(32))], "origin\n7\nx\n\n— a b\n")
    assert read_cosign_request(write_request(request)) == request


@pytest.mark.parametrize(
    "body", [b"", b"old x\n\nn", b"old 5", b"new 5\n\nn", b"old 5\n!!\n\nn", b"old 5\nAA==\n\nn",
             b"old 5\n" + b"AA==\n" * 99 + b"\nn", b"old 99999999999999999999\n\nn"],
)  # fmt: skip
def test_a_malformed_request_to_a_witness_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_cosign_request(body)


def test_mirrored_logs_are_listed(pair: tuple[Store, Store]) -> None:
    first, second = pair
    (listed,) = read_json(second, "/api/v1/mirrors")
    assert listed["origin"] == first.identity.origin
    assert listed["size"] == 21


def test_a_log_that_is_not_mirrored_is_not_found(pair: tuple[Store, Store]) -> None:
    fetch = Direct(create_app(pair[1]))
    for path in ("log/checkpoint", "log/verifier", "log/tile/0/000"):
        with pytest.raises(NotFound):
            fetch(f"http://second/mirrors/{'0' * 32}/{path}")


def test_a_mirrored_tile_that_does_not_exist_yet_is_not_found(pair: tuple[Store, Store]) -> None:
    first, second = pair
    log = key_id(first.identity.log.public)
    with pytest.raises(NotFound):
        Direct(create_app(second))(f"http://second/mirrors/{log}/log/tile/0/000")


def test_the_keys_of_a_log_are_listed(pair: tuple[Store, Store]) -> None:
    listed = read_json(pair[0], "/api/v1/keys")
    assert [one["id"] for one in listed] == [
        pair[0].identity.log.id, pair[0].identity.contributor.id,
    ]  # fmt: skip


def test_contents_are_given_by_their_hash(pair: tuple[Store, Store]) -> None:
    store = pair[0]
    name = next(entry.record for entry in store.entries() if entry.record)
    body = json.dumps({"hashes": [name, "00" * 32]}).encode()
    answer = Direct(create_app(store))("http://first/api/v1/contents", body)
    assert list(unpack_contents(answer)) == [
        (bytes.fromhex(name), store.record(name).canonical())
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["zz", "00", "../../etc/passwd"])
def test_names_that_are_no_hash_are_refused(pair: tuple[Store, Store], name: str) -> None:
    with pytest.raises(RefusedError) as caught:
        Direct(create_app(pair[0]))(
            "http://first/api/v1/contents", json.dumps({"hashes": [name]}).encode()
        )
    assert caught.value.status == 400


class WithKey(Direct):
    """Asks with an API key."""

    def __init__(self, app: Any, key: str) -> None:
        super().__init__(app)
        self.headers = {"authorization": f"Bearer {key}"}


@pytest.mark.parametrize(("scope", "status"), [("read", 403), ("", 401)])
def test_entries_need_a_key_that_may_write(
    pair: tuple[Store, Store], scope: str, status: int
) -> None:
    key = new_key(pair[0].engine, "mary", scope) if scope else "mlk_nothing"
    body = json.dumps({"leaf": ""}).encode()
    with pytest.raises(RefusedError) as caught:
        WithKey(create_app(pair[0]), key)("http://first/api/v1/entries", body)
    assert caught.value.status == status


def test_a_tombstone_is_taken_from_its_contributor(pair: tuple[Store, Store]) -> None:
    store = pair[0]
    key = new_key(store.engine, "mary", "write")
    name = next(entry.record for entry in store.entries() if entry.record)
    fields = {"reason": "asked for", "record": name}
    leaf = signed_entry("tombstone", fields, store.identity.contributor).to_leaf()
    body = json.dumps({"leaf": base64.b64encode(leaf).decode()}).encode()
    WithKey(create_app(store), key)("http://first/api/v1/entries", body)
    with pytest.raises(IntegrityError, match="withdrawn"):
        store.record(name)
