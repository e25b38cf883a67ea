"""Three nodes as three server processes, one of them lying; and what a mirror makes of it."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from materialabs.errors import ExternalError, InputError, IntegrityError, NotFound
from materialabs.ledger.keys import key_id
from materialabs.ledger.notes import Signer, Verifier, open_checkpoint
from materialabs.store.evidence import MirrorError
from materialabs.store.fetching import Fetcher, check_address
from materialabs.store.key_events import rotate_key
from materialabs.store.mirrors import (
    FIRST_USE,
    GIVEN,
    mirror,
    mirror_add,
    mirror_remove,
    mirror_sync,
    mirrors,
)
from materialabs.store.records import Method, Property, Record
from materialabs.store.store import Store
from materialabs.store.verify import verify
from materialabs.store.withdraw import withdraw
from tests.conftest import ROOT
from tests.store.lying import copy_store, with_dropped_entry, with_rewritten_entry
from tests.store.test_query import some_crystals, some_properties

ENTRIES = 300
"""More than a tile of the log holds."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Served:
    url: str
    shown: Path

    def show(self, name: str) -> None:
        self.shown.write_text(name)


@contextmanager
def served(folder: Path, places: dict[str, Path]) -> Iterator[Served]:
    """A server process that shows the first of these stores, until told otherwise."""
    port, shown = free_port(), folder / f"shown-{os.urandom(4).hex()}"
    shown.write_text(next(iter(places)))
    arguments = [f"{name}={place}" for name, place in places.items()]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.store.node_program", str(port), shown, *arguments], cwd=ROOT
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(process, url)
        yield Served(url, shown)
    finally:
        process.terminate()
        process.wait(30)


def wait_for(process: subprocess.Popen[bytes], url: str) -> None:
    for _ in range(600):
        assert process.poll() is None
        try:
            with urllib.request.urlopen(f"{url}/log/verifier", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"no server at {url}")


def filled(folder: Path, name: str, count: int) -> Store:
    """A store with crystals, a spectrum, a correction and a withdrawn record."""
    place = folder / name
    place.mkdir()
    store = Store(place / "lab.db", keys=place / "keys")
    seed = sum(name.encode())
    store.add(some_crystals(seed, count), some_properties(seed, count), doi=f"10.1/{name}")
    spectrum = name.encode() * 2000
    method = Method("dft")
    digest = hashlib.sha256(spectrum).hexdigest()
    dos = Record((Property("dos", "", "", method, blob=digest),), composition="NaCl")
    store.add_records([dos], {bytes.fromhex(digest): spectrum})
    names = [entry.record for entry in store.entries() if entry.record]
    gap = Property("stiffness", 1.0, "GPa", method)
    store.add_records([Record((gap,), composition="NaCl", supersedes=names[1])])
    withdraw(store, names[2], "the sample was mislabelled")
    return store


@dataclass
class Nodes:
    honest: Served
    second: Served
    liar: Served
    stores: dict[str, Store]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """An honest node, a second one that mirrors it, and one that can tell other stories."""
    folder = tmp_path_factory.mktemp("nodes")
    honest, second = filled(folder, "honest", ENTRIES), filled(folder, "second", 20)
    true = filled(folder, "liar", ENTRIES)
    home = folder / "liar"
    others = {
        "rewritten": with_rewritten_entry(true, home / "rewritten.db", 17),
        "dropped": with_dropped_entry(true, home / "dropped.db", 31),
        "left": copy_store(true, home / "left.db"),
        "right": copy_store(true, home / "right.db"),
        "damaged": copy_store(true, home / "damaged.db"),
        "short": copy_store(true, home / "short.db"),
    }
    for name, seed in (("left", 91), ("right", 92), ("dropped", 93), ("rewritten", 94)):
        others[name].add(some_crystals(seed, 5))
    with others["damaged"].engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE log_entries SET leaf = (SELECT leaf FROM log_entries WHERE position = 9) "
            "WHERE position = 8"
        )
    true.add(some_crystals(95, 5))
    places = {"true": home / "lab.db", **{name: home / f"{name}.db" for name in others}}
    with (
        served(folder, {"lab": folder / "honest" / "lab.db"}) as first,
        served(folder, {"lab": folder / "second" / "lab.db"}) as other,
        served(folder, places) as lying,
    ):
        mirror_add(second, first.url)
        mirror_sync(second, first.url)
        yield Nodes(
            first, other, lying, {"honest": honest, "second": second, "liar": true} | others
        )


@pytest.fixture
def here(tmp_path: Path, keys: Path) -> Iterator[Store]:
    with Store(tmp_path / "here.db", keys=keys) as store:
        store.add(some_crystals(1, 5))
        yield store


def contents(store: Store) -> dict[str, list[tuple[object, ...]]]:
    """All that is stored, for comparison."""
    with store.engine.connect() as connection:
        names = ("records", "crystals", "blobs", "mirrored_entries", "mirrored_logs")
        return {
            name: [tuple(row) for row in connection.exec_driver_sql(f"SELECT * FROM {name}")]
            for name in names
        }


def good(store: Store) -> bool:
    verdict = verify(store, keys=store.keys, everything=True, most=3)
    assert verdict.good, verdict.problems
    return verdict.good


# -- honest nodes ---------------------------------------------------------------------------------


def test_a_mirror_holds_every_record_that_stands(nodes: Nodes, here: Store) -> None:
    mirror_add(here, nodes.honest.url)
    done = mirror_sync(here, nodes.honest.url)
    assert done.size == done.entries == ENTRIES + 4
    for entry in nodes.stores["honest"].entries():
        if entry.kind != "record":
            continue
        try:
            theirs = nodes.stores["honest"].record(entry.record)
        except IntegrityError:
            with pytest.raises(IntegrityError, match="withdrawn"):
                here.record(entry.record)
        else:
            assert here.record(entry.record) == theirs


def test_a_mirrored_store_verifies(nodes: Nodes, here: Store) -> None:
    mirror_add(here, nodes.honest.url)
    mirror_sync(here, nodes.honest.url)
    assert good(here)


def test_a_second_pull_brings_nothing(nodes: Nodes, here: Store) -> None:
    mirror_add(here, nodes.honest.url)
    mirror_sync(here, nodes.honest.url)
    assert mirror_sync(here, nodes.honest.url).entries == 0


def test_a_key_from_the_node_itself_is_said_to_be_so(nodes: Nodes, here: Store) -> None:
    assert mirror_add(here, nodes.honest.url).trust == FIRST_USE


def test_a_key_that_was_given_is_said_to_be_so(nodes: Nodes, here: Store) -> None:
    verifier = nodes.stores["honest"].identity.signer.verifier
    assert mirror_add(here, nodes.honest.url, verifier).trust == GIVEN


def test_a_wrong_key_is_refused(nodes: Nodes, here: Store) -> None:
    verifier = nodes.stores["honest"].identity.signer.verifier
    mirror_add(here, nodes.honest.url, Verifier(verifier.name, bytes(32)))
    with pytest.raises(MirrorError, match="has not signed"):
        mirror_sync(here, nodes.honest.url)


def test_a_log_does_not_change_its_key(nodes: Nodes, here: Store) -> None:
    verifier = nodes.stores["honest"].identity.signer.verifier
    mirror_add(here, nodes.honest.url)
    with pytest.raises(IntegrityError, match="another key"):
        mirror_add(here, nodes.second.url, Verifier(verifier.name, bytes(32)))


def test_a_log_is_pulled_from_a_node_that_mirrors_it(nodes: Nodes, here: Store) -> None:
    store = nodes.stores["honest"]
    through = f"{nodes.second.url}/mirrors/{key_id(store.identity.log.public)}"
    mirror_add(here, through, store.identity.signer.verifier)
    assert mirror_sync(here, through).size == ENTRIES + 4
    assert good(here)


def test_contents_come_from_any_peer(nodes: Nodes, here: Store) -> None:
    mirror_add(here, nodes.honest.url)
    mirror_add(here, nodes.second.url)
    reach = Fetcher()

    def fetch(url: str, body: bytes | None = None, limit: int = 1 << 25) -> bytes:
        if url == f"{nodes.honest.url}/api/v1/contents":
            raise ExternalError("silent")
        return reach(url, body, limit)

    assert mirror_sync(here, nodes.honest.url, fetch=fetch).records == ENTRIES + 1
    assert good(here)


def test_later_withdrawals_and_rotations_are_followed(
    tmp_path: Path, here: Store, nodes: Nodes
) -> None:
    del nodes
    there = filled(tmp_path, "there", 30)
    with served(tmp_path, {"lab": tmp_path / "there" / "lab.db"}) as node:
        mirror_add(here, node.url)
        mirror_sync(here, node.url)
        names = [entry.record for entry in there.entries() if entry.record]
        withdraw(there, names[7], "asked for by the author")
        rotate_key(there)
        there.add(some_crystals(77, 5))
        assert mirror_sync(here, node.url).records == 5
    with pytest.raises(IntegrityError, match="withdrawn"):
        here.record(names[7])
    assert good(here)


# -- lies -----------------------------------------------------------------------------------------

LIES = {
    "rewritten": ("rewritten", "entry 17 was rewritten"),
    "dropped": ("dropped", "entry 31 was dropped"),
    "right": ("forked|rewritten", r"is forked"),
    "short": ("shrunken", r"shrank from \d+ to \d+ entries"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_caught_and_named_and_nothing_of_it_stored(
    nodes: Nodes, here: Store, lie: str
) -> None:
    url = nodes.liar.url
    nodes.liar.show("left" if lie == "right" else "true")
    mirror_add(here, url)
    mirror_sync(here, url)
    before = contents(here)
    nodes.liar.show(lie)
    kind, words = LIES[lie]
    with pytest.raises(MirrorError, match=words) as caught:
        mirror_sync(here, url)
    assert caught.value.evidence.kind in kind.split("|")
    assert contents(here) == before
    assert good(here)


def test_the_evidence_is_two_signed_checkpoints_that_contradict_each_other(
    nodes: Nodes, here: Store
) -> None:
    verifier = nodes.stores["liar"].identity.signer.verifier
    nodes.liar.show("left")
    mirror_add(here, nodes.liar.url, verifier)
    mirror_sync(here, nodes.liar.url)
    nodes.liar.show("right")
    with pytest.raises(MirrorError):
        mirror_sync(here, nodes.liar.url)
    (kept,) = mirror(here, nodes.liar.url).evidence
    believed, shown = (
        open_checkpoint(kept.believed, verifier),
        open_checkpoint(kept.shown, verifier),
    )
    assert believed.size == shown.size
    assert believed.root != shown.root


def test_a_convicted_log_is_not_pulled_again(nodes: Nodes, here: Store) -> None:
    nodes.liar.show("true")
    mirror_add(here, nodes.liar.url)
    mirror_sync(here, nodes.liar.url)
    nodes.liar.show("rewritten")
    with pytest.raises(MirrorError):
        mirror_sync(here, nodes.liar.url)
    nodes.liar.show("true")
    with pytest.raises(IntegrityError, match="not pulled any more"):
        mirror_sync(here, nodes.liar.url)


def test_two_futures_shown_to_two_parties_are_found_when_they_compare(
    nodes: Nodes, here: Store, tmp_path: Path
) -> None:
    nodes.liar.show("left")
    place = tmp_path / "friend"
    place.mkdir()
    with Store(place / "lab.db", keys=place / "keys") as friend:
        friend.add(some_crystals(5, 2))
        mirror_add(friend, nodes.liar.url)
        mirror_sync(friend, nodes.liar.url)
        nodes.liar.show("right")
        mirror_add(here, nodes.liar.url)
        mirror_sync(here, nodes.liar.url)
        key = key_id(nodes.stores["liar"].identity.log.public)
        with served(tmp_path, {"lab": place / "lab.db"}) as node:
            through = f"{node.url}/mirrors/{key}"
            mirror_add(here, through)
            with pytest.raises(MirrorError, match="is forked"):
                mirror_sync(here, through)


@pytest.mark.parametrize("lie", ["rewritten", "damaged"])
def test_a_damaged_log_is_refused_at_first_sight(nodes: Nodes, here: Store, lie: str) -> None:
    """A rewritten log that was never seen otherwise is sound in itself; a damaged one is not."""
    nodes.liar.show(lie)
    mirror_add(here, nodes.liar.url)
    if lie == "rewritten":
        assert mirror_sync(here, nodes.liar.url).size
        return
    with pytest.raises(MirrorError) as caught:
        mirror_sync(here, nodes.liar.url)
    assert not mirror(here, nodes.liar.url).size
    assert caught.value.evidence.shown


# -- what a node sends, changed on the way --------------------------------------------------------


def changed(match: str, change: Callable[[bytes], bytes]) -> Callable[..., bytes]:
    reach = Fetcher()

    def fetch(url: str, body: bytes | None = None, limit: int = 1 << 25) -> bytes:
        answer = reach(url, body, limit)
        return change(answer) if match in url else answer

    return fetch


CHANGES: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "entry": ("tile/entries", lambda tile: tile.replace(b'"kind":"record"', b'"kind":"recorb"', 1),
              "Entry 1 "),
    "cut tile": ("tile/entries", lambda tile: tile[:-9], "cut short"),
    "missing entry": ("tile/entries", lambda tile: tile[2 + int.from_bytes(tile[:2]) :],
                      "leaves out entries"),
    "hashes": ("tile/0/", lambda tile: bytes(len(tile)), r"Entry 0 "),
    "checkpoint": ("log/checkpoint", lambda note: note.replace(b"\n3", b"\n4", 1), "forged"),
    "no note": ("log/checkpoint", lambda note: b"<html>", "not a signed note"),
    "contents": ("api/v1/contents", lambda body: body.replace(b'"v":1', b'"v":2'),
                 "another hash"),
    "no contents": ("api/v1/contents", lambda body: b"", "no node gives"),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_on_the_way_is_refused(nodes: Nodes, here: Store, what: str) -> None:
    match, change, words = CHANGES[what]
    mirror_add(here, nodes.honest.url)
    before = contents(here)
    with pytest.raises(MirrorError, match=words):
        mirror_sync(here, nodes.honest.url, fetch=changed(match, change))
    assert contents(here) == before
    assert mirror(here, nodes.honest.url).evidence[-1].message
    assert mirror_sync(here, nodes.honest.url).size == ENTRIES + 4  # no proof of a lie: tried again


def test_a_record_signed_with_a_key_never_added_is_refused(
    nodes: Nodes, here: Store, tmp_path: Path
) -> None:
    del nodes
    there = filled(tmp_path, "stranger", 5)
    from materialabs.ledger.entries import record_entry
    from materialabs.ledger.keys import ContributorKey
    from tests.store.lying import rewrite_log

    entries = list(there.entries())
    entries[3] = record_entry(entries[3].record, ContributorKey.new("stranger"))
    rewrite_log(there, entries)
    with served(tmp_path, {"lab": tmp_path / "stranger" / "lab.db"}) as node:
        mirror_add(here, node.url)
        with pytest.raises(MirrorError, match=r"Entry 3 .* a key never added"):
            mirror_sync(here, node.url)


def test_a_batch_that_is_too_large_is_halved(
    nodes: Nodes, here: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from materialabs.store import mirror_contents

    monkeypatch.setattr(mirror_contents, "MEMORY", 60_000)
    mirror_add(here, nodes.honest.url)
    assert mirror_sync(here, nodes.honest.url).size == ENTRIES + 4
    assert good(here)


def test_content_that_can_never_be_held_ends_the_pull(
    nodes: Nodes, here: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from materialabs.store import mirror_contents

    monkeypatch.setattr(mirror_contents, "MEMORY", 10)
    mirror_add(here, nodes.honest.url)
    with pytest.raises(ExternalError, match="more than can be held"):
        mirror_sync(here, nodes.honest.url)
    assert good(here)


# -- units ----------------------------------------------------------------------------------------


def measured(value: float, unit: str, **more: str) -> Record:
    hardness = Property("hardness", value, unit, Method("experiment"), 0.1)
    return Record((hardness,), composition="Fe2O3", **more)


@pytest.fixture
def other_units(tmp_path: Path) -> Iterator[tuple[Store, str]]:
    """A node that keeps hardness in another unit than this store will."""
    place = tmp_path / "vickers"
    place.mkdir()
    with Store(place / "lab.db", keys=place / "keys") as there:
        there.add_records([measured(80.0, "HV"), measured(90.0, "HV")])
        there.add(some_crystals(3, 5), some_properties(3, 5))
        with served(tmp_path, {"lab": place / "lab.db"}) as node:
            yield there, node.url


def test_a_unit_that_does_not_compare_sets_its_record_aside_and_the_pull_goes_on(
    other_units: tuple[Store, str], here: Store
) -> None:
    there, url = other_units
    here.add_records([measured(8.0, "GPa")])
    before = len(here)
    mirror_add(here, url)
    done = mirror_sync(here, url)
    hard = [measured(value, "HV").id for value in (80.0, 90.0)]
    assert sorted(name for name, _ in done.set_aside) == sorted(hard)
    assert all("HV does not convert" in reason for _, reason in done.set_aside)
    assert here.record(hard[0]) == there.record(hard[0])
    assert len(here) == before + len(there)
    assert good(here)
    assert mirror_sync(here, url).set_aside == ()


def test_what_was_set_aside_counts_once_the_other_unit_is_gone(
    other_units: tuple[Store, str], here: Store
) -> None:
    _, url = other_units
    own = [measured(8.0, "GPa"), measured(9.0, "GPa", source="x")]
    here.add_records(own)
    mirror_add(here, url)
    mirror_sync(here, url)
    for record in own:
        withdraw(here, record.id, "measured in another unit")
        assert good(here)
    with here.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT number FROM property_values WHERE uncertainty>0")
        assert {80.0, 90.0} <= {row[0] for row in rows}


def test_the_own_records_are_still_refused_in_another_unit(here: Store) -> None:
    here.add_records([measured(8.0, "GPa")])
    with pytest.raises(InputError, match="HV does not convert"):
        here.add_records([measured(80.0, "HV")])
    assert good(here)


# -- interruption ---------------------------------------------------------------------------------


class PulledPlugError(Exception):
    """The pull ends here."""


@pytest.mark.parametrize("requests", [1, 4, 5, 7, 8])
def test_a_pull_that_was_cut_short_verifies_and_goes_on(
    nodes: Nodes, here: Store, requests: int
) -> None:
    mirror_add(here, nodes.honest.url)
    reach, left = Fetcher(), [requests]

    def fetch(url: str, body: bytes | None = None, limit: int = 1 << 25) -> bytes:
        if not left[0]:
            raise PulledPlugError
        left[0] -= 1
        return reach(url, body, limit)

    with pytest.raises(PulledPlugError):
        mirror_sync(here, nodes.honest.url, fetch=fetch)
    assert good(here)
    assert mirror_sync(here, nodes.honest.url).size == ENTRIES + 4
    assert good(here)


@pytest.mark.slow
def test_a_pull_survives_kill_9_at_any_moment(nodes: Nodes, tmp_path: Path, keys: Path) -> None:
    place = tmp_path / "here.db"
    with Store(place, keys=keys) as store:
        store.add(some_crystals(1, 5))
        mirror_add(store, nodes.honest.url)
    program = (
        "import sys, pathlib\n"
        "from materialabs.store.store import Store\n"
        "from materialabs.store.mirrors import mirror_sync\n"
        "store = Store(sys.argv[1], keys=pathlib.Path(sys.argv[2]))\n"
        "print('begun', flush=True)\n"
        "mirror_sync(store, sys.argv[3])\n"
    )
    source = random.Random(4)
    for _ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", program, place, keys, nodes.honest.url], cwd=ROOT,
            stdout=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(source.uniform(0, 1.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        with Store(place, keys=keys) as store:
            assert good(store)
    with Store(place, keys=keys) as store:
        assert mirror_sync(store, nodes.honest.url).size == ENTRIES + 4
        assert good(store)


# -- addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://host/x", "http://", "http://user:word@host/", "//host",
            "http://host/?q", "http://host:99999999/", ""],
)  # fmt: skip
def test_only_plain_web_addresses_are_taken(url: str) -> None:
    with pytest.raises(InputError):
        check_address(url)


def test_a_silent_node_is_asked_again_and_then_given_up() -> None:
    pauses: list[float] = []
    fetch = Fetcher(attempts=3, timeout=1, sleep=pauses.append)
    with pytest.raises(ExternalError, match="does not answer"):
        fetch(f"http://127.0.0.1:{free_port()}/log/checkpoint")
    assert pauses == [0.5, 1.0]


def test_an_answer_without_end_is_refused(nodes: Nodes) -> None:
    with pytest.raises(ExternalError, match="more than 10 bytes"):
        Fetcher()(f"{nodes.honest.url}/log/checkpoint", limit=10)


def test_an_address_without_a_log_is_not_found(nodes: Nodes, here: Store) -> None:
    with pytest.raises(NotFound):
        mirror_add(here, f"{nodes.honest.url}/mirrors/{'0' * 32}")


def test_a_store_does_not_mirror_itself(nodes: Nodes) -> None:
    with pytest.raises(InputError, match="own log"):
        mirror_add(nodes.stores["honest"], nodes.honest.url)


def test_a_mirror_that_was_removed_is_not_pulled(nodes: Nodes, here: Store) -> None:
    mirror_add(here, nodes.honest.url)
    mirror_remove(here, nodes.honest.url)
    assert mirrors(here) == []
    with pytest.raises(NotFound, match="mirror add"):
        mirror_sync(here, nodes.honest.url)


def test_any_signer_may_have_cosigned_what_is_pulled(nodes: Nodes, here: Store) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from materialabs.ledger.notes import Note

    witness = Signer("witness.org", Ed25519PrivateKey.generate())

    def cosigned(document: bytes) -> bytes:
        note = Note.parse(document.decode())
        return str(Note(note.text, (*note.signatures, witness.cosign(note.text, 5)))).encode()

    mirror_add(here, nodes.honest.url)
    mirror_sync(here, nodes.honest.url, fetch=changed("log/checkpoint", cosigned))
    assert good(here)
