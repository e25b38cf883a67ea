"""The log's folder: whole after every write, the same whenever it is made, and any change found."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from materialabs.errors import IntegrityError
from materialabs.ledger.merkle import LeafHashes, leaf_hash, tree_root
from materialabs.ledger.notes import open_checkpoint
from materialabs.ledger.tiles import Tile, tiles_between, unpack_entries, unpack_hashes
from materialabs.store.records import Method, Property, Record
from materialabs.store.store import Store
from materialabs.store.tile_files import write_tiles
from materialabs.store.verify import verify


def grow(store: Store, first: int, count: int) -> None:
    store.add_records(
        [
            Record((Property("stiffness", float(n), "GPa", Method("dft")),), composition="NaCl")
            for n in range(first, first + count)
        ]
    )


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def tiled(tmp_path: Path, keys: Path) -> tuple[Store, Path]:
    folder = tmp_path / "log"
    store = Store(tmp_path / "lab.db", keys=keys, tiles=folder)
    for first, count in ((0, 3), (3, 240), (243, 20), (263, 400)):
        grow(store, first, count)
    return store, folder


def test_the_entries_in_the_folder_are_the_logs(tiled: tuple[Store, Path]) -> None:
    store, folder = tiled
    leaves = []
    for tile in tiles_between(0, 664):
        if tile.level < 0:
            leaves += unpack_entries((folder / tile.path).read_bytes())
    assert leaves == [entry.to_leaf() for entry in store.entries()]


def test_the_hashes_in_the_folder_are_those_of_the_entries(tiled: tuple[Store, Path]) -> None:
    store, folder = tiled
    leaves = [leaf_hash(entry.to_leaf()) for entry in store.entries()]
    reader = LeafHashes(leaves)
    for tile in tiles_between(0, 664):
        if tile.level >= 0:
            first = tile.number * 256
            expected = list(reader.read(tile.level * 8, first, first + tile.width))
            assert unpack_hashes((folder / tile.path).read_bytes()) == expected
    checkpoint = open_checkpoint(
        (folder / "checkpoint").read_text(), store.identity.signer.verifier
    )
    assert checkpoint.root == tree_root(leaves)


def test_a_folder_made_at_once_holds_what_one_that_grew_does(
    tiled: tuple[Store, Path], tmp_path: Path
) -> None:
    store, folder = tiled
    write_tiles(store, tmp_path / "other")
    grown = files(folder)
    assert files(tmp_path / "other").items() <= grown.items()


def test_partial_tiles_go_when_their_full_tile_stands(tiled: tuple[Store, Path]) -> None:
    _, folder = tiled
    assert not (folder / "tile/0/000.p").exists()
    assert not (folder / "tile/entries/000.p").exists()


def test_writing_again_changes_nothing(tiled: tuple[Store, Path]) -> None:
    store, folder = tiled
    before = files(folder)
    assert write_tiles(store, folder) == 664
    assert files(folder) == before


def test_a_write_that_was_cut_short_is_completed(tiled: tuple[Store, Path]) -> None:
    store, folder = tiled
    note = (folder / "checkpoint").read_bytes()
    with Store(store.place, keys=store.keys) as silent:
        grow(silent, 700, 100)
    write_tiles(store, folder)
    after = files(folder)
    (folder / "checkpoint").write_bytes(note)  # as if killed before the checkpoint came
    (folder / Tile(0, 2, 252).path).unlink()
    (folder / ".checkpoint.part").write_bytes(b"half")
    write_tiles(store, folder)
    (folder / ".checkpoint.part").unlink(missing_ok=True)
    assert files(folder) == after


def test_a_sound_folder_verifies(tiled: tuple[Store, Path]) -> None:
    store, folder = tiled
    assert verify(store, keys=store.keys, tiles=folder).good


def test_a_folder_of_another_log_is_refused(tiled: tuple[Store, Path], tmp_path: Path) -> None:
    _, folder = tiled
    with Store(tmp_path / "other.db", keys=tmp_path / "others") as other:
        grow(other, 0, 3)
        with pytest.raises(IntegrityError, match="another log"):
            write_tiles(other, folder)


def test_an_empty_log_writes_nothing(sqlite_store: Store, tmp_path: Path) -> None:
    assert write_tiles(sqlite_store, tmp_path / "log") == 0
    assert not (tmp_path / "log").exists()


def test_any_change_in_the_folder_is_found(tiled: tuple[Store, Path], tmp_path: Path) -> None:
    store, folder = tiled
    source = random.Random(5)
    names = sorted(files(folder))
    for trial in range(12):
        copy = tmp_path / f"copy{trial}"
        shutil.copytree(folder, copy)
        path = copy / source.choice(names)
        content = bytearray(path.read_bytes())
        content[source.randrange(len(content))] ^= 1 << source.randrange(8)
        path.write_bytes(bytes(content))
        verdict = verify(store, keys=store.keys, tiles=copy)
        assert not verdict.good, path


@pytest.mark.parametrize("name", ["checkpoint", "tile/0/000", "tile/entries/002.p/152"])
def test_a_missing_file_is_named(tiled: tuple[Store, Path], name: str) -> None:
    store, folder = tiled
    (folder / name).unlink()
    (problem,) = verify(store, keys=store.keys, tiles=folder).problems
    assert (problem.kind, problem.place) == ("missing", name)


@pytest.mark.parametrize("name", ["tile/0/007", "note.txt"])
def test_a_file_too_many_is_named(tiled: tuple[Store, Path], name: str) -> None:
    store, folder = tiled
    (folder / name).write_bytes(b"x")
    (problem,) = verify(store, keys=store.keys, tiles=folder).problems
    assert (problem.kind, problem.place) == ("added", name)
