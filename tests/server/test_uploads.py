"""Uploads: the right ones are stored whole, all others are refused whole."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from materialabs.crystals.batch import Crystals
from materialabs.crystals.blobs import to_blobs
from materialabs.errors import ExternalError, InputError, IntegrityError, MaterialabsError
from materialabs.ledger.entries import record_entry, signed_entry
from materialabs.ledger.keys import ContributorKey
from materialabs.store.canonical import canonical_json
from materialabs.store.client import PATH, send, upload, upload_body
from materialabs.store.observations import records_of
from materialabs.store.records import Method, Property, Record, record_id
from materialabs.store.upload import ReplayError
from tests.server.conftest import CRYSTALS, Node
from tests.store.made_crystals import made_crystals, made_properties
from tests.store.wholeness import assert_whole

CLIENTS = 8
TOO_LARGE = 21_000_000
"""Bytes; the server's limit is 20 million."""

Document = dict[str, Any]


def some(seed: int, count: int = 3) -> tuple[Crystals, list[Record]]:
    crystals = made_crystals(count, seed)
    return crystals, records_of(crystals, made_properties(count, seed))


def body_of(node: Node, seed: int, key: ContributorKey | None = None) -> Document:
    crystals, records = some(seed)
    found: Document = json.loads(upload_body(records, key or node.contributor, crystals=crystals))
    return found


def post(node: Node, body: Document | bytes, key: str | None = None) -> int:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"content-type": "application/json"}
    if key != "":
        sent["authorization"] = f"Bearer {node.write_key if key is None else key}"
    answer = httpx.post(node.url + PATH, content=content, headers=sent, timeout=120)
    if answer.status_code >= 400:
        assert answer.json()["errors"][0]["detail"]
    return answer.status_code


def size(node: Node) -> int:
    return int(httpx.get(node.url + "/log/checkpoint").text.split("\n")[1])


@pytest.fixture
def unchanged(node: Node) -> Iterator[Node]:
    """A node whose log must be as long after the test as before."""
    before = size(node)
    yield node
    assert size(node) == before


def test_a_signed_upload_is_stored_proved_and_found(node: Node) -> None:
    crystals, records = some(1)
    before = size(node)
    done = upload(node.url, records, node.contributor, node.write_key, crystals=crystals)
    assert (done.records, done.crystals, done.size) == (3, 3, before + 3)
    for record in records:
        proof = httpx.get(f"{node.url}/api/v1/proofs/{record.id}").json()
        assert node.contributor.id.encode() in base64.b64decode(proof["leaf"])
        assert httpx.get(f"{node.url}/api/v1/records/{record.id}").json() == json.loads(
            record.canonical()
        )
    answer = httpx.get(
        f"{node.url}/optimade/v1/structures", params={"filter": '_materialabs_source="made-1-0"'}
    ).json()
    assert len(answer["data"]) == 1


def test_a_composition_alone_and_a_spectrum_are_stored(node: Node) -> None:
    blob = json.dumps([0.1, 0.2]).encode()
    method = Method("experiment")
    spectrum = Property("dos", "", "", method, blob=hashlib.sha256(blob).hexdigest())
    records = [
        Record((Property("band_gap", 1.5, "eV", method),), composition="GaN"),
        Record((spectrum,), composition="ZnO"),
    ]
    done = upload(node.url, records, node.contributor, node.write_key, blobs=[blob])
    assert (done.records, done.crystals) == (2, 0)


def test_a_replayed_upload_is_refused(node: Node) -> None:
    body = body_of(node, 2)
    assert post(node, body) == 201
    before = size(node)
    assert post(node, body) == 409
    assert size(node) == before


def test_the_client_tells_a_replay_from_its_own_repetition(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    crystals, records = some(3)
    upload(node.url, records, node.contributor, node.write_key, crystals=crystals)
    with pytest.raises(ReplayError):
        upload(node.url, records, node.contributor, node.write_key, crystals=crystals)


def test_the_same_record_by_another_contributor_is_his_word_too(node: Node) -> None:
    assert post(node, body_of(node, 4)) == 201
    assert post(node, body_of(node, 4, node.other)) in (201, 409)


def resigned(body: Document, change: Callable[[bytes], bytes]) -> Document:
    first = body["records"][0]
    leaf = change(base64.b64decode(first["leaf"]))
    return body | {
        "records": [first | {"leaf": base64.b64encode(leaf).decode()}, *body["records"][1:]]
    }


def flip_signature(leaf: bytes) -> bytes:
    return leaf[:-1] + bytes([leaf[-1] ^ 1])


def test_a_wrong_signature_is_refused(unchanged: Node) -> None:
    assert post(unchanged, resigned(body_of(unchanged, 5), flip_signature)) == 422


def test_a_foreign_contributors_name_is_refused(unchanged: Node) -> None:
    own, other = unchanged.contributor.id.encode(), unchanged.other.id.encode()
    body = resigned(body_of(unchanged, 5), lambda leaf: leaf.replace(own, other))
    assert post(unchanged, body) == 422


def test_a_key_that_the_log_never_admitted_is_refused(unchanged: Node) -> None:
    assert post(unchanged, body_of(unchanged, 5, ContributorKey.new("stranger"))) == 422


def test_a_signature_for_another_record_is_refused(unchanged: Node) -> None:
    body, other = body_of(unchanged, 5), body_of(unchanged, 6)
    body["records"][0]["leaf"] = other["records"][0]["leaf"]
    assert post(unchanged, body) == 422


def test_an_entry_that_speaks_of_keys_is_no_upload(unchanged: Node) -> None:
    body = body_of(unchanged, 5)
    entry = signed_entry("key-revoke", {"key": unchanged.other.id}, unchanged.contributor)
    body["records"][0]["leaf"] = base64.b64encode(entry.to_leaf()).decode()
    assert post(unchanged, body) == 422


def test_a_crystal_with_other_bytes_is_refused(unchanged: Node) -> None:
    body = body_of(unchanged, 5)
    content = bytearray(base64.b64decode(body["crystals"][0]))
    content[20] ^= 1
    body["crystals"][0] = base64.b64encode(bytes(content)).decode()
    assert post(unchanged, body) in (400, 422)


def test_a_record_without_its_crystal_is_refused(unchanged: Node) -> None:
    assert post(unchanged, body_of(unchanged, 5) | {"crystals": []}) == 400


def test_bytes_that_are_no_crystal_are_refused(unchanged: Node) -> None:
    for content in (b"", b"MX1", b"\0" * 500, b"MX1\xff" + b"\xff" * 400):
        body = body_of(unchanged, 5) | {"crystals": [base64.b64encode(content).decode()]}
        assert post(unchanged, body) == 422


def test_a_crystal_of_too_many_sites_is_refused_quickly(unchanged: Node) -> None:
    import numpy as np

    sites = 20_000
    source = np.random.default_rng(0)
    crystal = Crystals(
        np.eye(3)[None] * 60, source.random((sites, 3)), np.full(sites, 6, np.uint8),
        np.array([0, sites]), np.ones((1, 3), bool),
    )  # fmt: skip
    body = body_of(unchanged, 5)
    body["crystals"] = [base64.b64encode(one).decode() for one in to_blobs(crystal)]
    start = time.monotonic()
    assert post(unchanged, body) == 400
    assert time.monotonic() - start < 5


def test_a_body_that_is_not_json_is_refused(unchanged: Node) -> None:
    for body in (b"", b"{", b"[]", b"nul", b"\xff\xfe", b"[" * 100_000, b'{"records": []}',
                 b'{"records": [{"record": {}, "leaf": "!"}]}'):  # fmt: skip
        assert post(unchanged, body) in (400, 422)


def test_a_body_that_says_it_is_too_large_is_refused(unchanged: Node) -> None:
    assert post(unchanged, b" " * TOO_LARGE) == 413


def test_a_body_that_grows_too_large_is_refused(unchanged: Node) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(TOO_LARGE // 100_000):
            yield b" " * 100_000

    bearer = {"authorization": f"Bearer {unchanged.write_key}"}
    answer = httpx.post(unchanged.url + PATH, content=chunks(), headers=bearer, timeout=120)
    assert answer.status_code == 413


def test_too_many_records_are_refused(unchanged: Node) -> None:
    body = body_of(unchanged, 5)
    assert post(unchanged, body | {"records": body["records"] * 1700}) == 413


@pytest.mark.parametrize(
    ("key", "status"),
    [("", 401), ("mlk_wrong", 401), ("not a key", 401), ("revoked", 401), ("read", 403)],
)
def test_an_api_key_that_does_not_allow_it_is_refused(
    key: str, status: int, unchanged: Node
) -> None:
    known = {"revoked": unchanged.revoked_key, "read": unchanged.read_key}
    assert post(unchanged, body_of(unchanged, 5), known.get(key, key)) == status


def test_the_key_is_asked_for_before_the_body_is_read(unchanged: Node) -> None:
    assert post(unchanged, b"[" * 100_000, "mlk_wrong") == 401


NAMES = ["v", "crystal", "composition", "doi", "source", "supersedes", "parents", "properties"]
odd = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "a\0b", "\ud800", "GaN", "Xx9", "0" * 64, "x" * 5000, 10**400]),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=3), st.integers()),
)  # fmt: skip


@settings(max_examples=60)
@given(data=st.data())
def test_nonsense_with_a_right_signature_is_refused_or_stored_and_never_an_error(
    node: Node, data: st.DataObject
) -> None:
    record: Document = {
        "v": 1, "composition": "GaN",
        "properties": [{"name": "band_gap", "unit": "eV", "value": data.draw(st.floats(0, 9)),
                        "method": {"kind": "dft", "level": {"functional": "PBE"}}}],
    }  # fmt: skip
    places = [record, record["properties"][0], record["properties"][0]["method"]]
    chosen = data.draw(st.sampled_from(places))
    chosen[data.draw(st.sampled_from(sorted({*NAMES, *chosen, "conditions", "uncertainty"})))] = (
        data.draw(odd)
    )
    try:
        identity = record_id(canonical_json(record))
    except (MaterialabsError, ValueError):
        identity = "0" * 64
    leaf = record_entry(identity, node.contributor).to_leaf()
    body = {"records": [{"record": record, "leaf": base64.b64encode(leaf).decode()}]}
    assert post(node, body) in (201, 400, 409, 422)


def test_the_log_of_requests_holds_no_secret(node: Node) -> None:
    post(node, body_of(node, 8))
    httpx.get(node.url + "/optimade/v1/info", params={"api_key": node.read_key})
    said = node.log
    assert '"path": "/api/v1/records"' in said
    for secret in (node.write_key, node.read_key, node.revoked_key, "Bearer", "leaf"):
        assert secret not in said


def test_the_client_says_what_the_node_refused(unchanged: Node) -> None:
    crystals, records = some(5)
    stranger = ContributorKey.new("stranger")
    with pytest.raises(IntegrityError, match="never added"):
        upload(unchanged.url, records, stranger, unchanged.write_key, crystals=crystals)
    with pytest.raises(InputError, match="not known"):
        upload(unchanged.url, records, unchanged.contributor, "mlk_no", crystals=crystals)
    with pytest.raises(InputError, match="http"):
        send("file:///etc/passwd", b"", 0, "")


def test_the_client_gives_up_on_a_node_that_is_not_there() -> None:
    with pytest.raises(ExternalError, match="no answer in 1 tries"):
        send("http://127.0.0.1:9", b"{}", 0, "", tries=1)


@dataclass
class Clients:
    """Eight clients that upload at once, each its own crystals, and repeat what was not stored."""

    node: Node
    uploads: int
    stored: list[set[int]] = field(default_factory=lambda: [set() for _ in range(CLIENTS)])
    refused: list[str] = field(default_factory=list)

    def run(self) -> list[threading.Thread]:
        threads = [threading.Thread(target=self._one, args=(who,)) for who in range(CLIENTS)]
        for thread in threads:
            thread.start()
        return threads

    def _one(self, who: int) -> None:
        for place in range(self.uploads):
            if place in self.stored[who]:
                continue
            crystals, records = some(1000 + who * self.uploads + place)
            body = upload_body(records, self.node.contributor, crystals=crystals)
            try:
                send(self.node.url, body, len(records), self.node.write_key, tries=1)
                self.stored[who].add(place)
            except ReplayError:
                self.stored[who].add(place)
            except ExternalError:
                continue
            except MaterialabsError as error:
                self.refused.append(str(error))

    @property
    def count(self) -> int:
        return sum(len(found) for found in self.stored)


def disturb(node: Node, uploads: int, times: int, how: signal.Signals, codes: set[int]) -> None:
    """Stop or kill a server again and again while eight clients upload; then let them finish."""
    source = random.Random(uploads)
    clients = Clients(node, uploads)
    for _ in range(times):
        threads = clients.run()
        time.sleep(source.uniform(0.05, 1.5))
        assert clients.count < CLIENTS * uploads
        assert node.stop(how) in codes
        for thread in threads:
            thread.join()
        records = assert_whole(node.place, node.keys, values=2)
        assert records >= CRYSTALS + 3 * clients.count
        node.start()
    for thread in clients.run():
        thread.join()
    assert clients.refused == []
    assert clients.count == CLIENTS * uploads
    assert node.stop() == 0
    assert assert_whole(node.place, node.keys, values=2) == CRYSTALS + 3 * CLIENTS * uploads


def test_a_server_that_is_stopped_amid_uploads_leaves_nothing_half_there(own_node: Node) -> None:
    disturb(own_node, 10, 1, signal.SIGTERM, {0})
    assert "Traceback" not in own_node.log


def test_a_server_that_is_killed_amid_uploads_leaves_nothing_half_there(own_node: Node) -> None:
    disturb(own_node, 11, 1, signal.SIGKILL, {-signal.SIGKILL})


@pytest.mark.slow
def test_a_server_that_is_killed_often_loses_nothing_that_it_had_acknowledged(
    own_node: Node,
) -> None:
    disturb(own_node, 40, 5, signal.SIGKILL, {-signal.SIGKILL})


@pytest.mark.full
def test_a_server_that_is_killed_ten_times_loses_nothing(own_node: Node) -> None:
    disturb(own_node, 150, 10, signal.SIGKILL, {-signal.SIGKILL})
