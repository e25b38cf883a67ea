"""The bytes form is exact, and bytes that were tampered with are refused and nothing else."""

from __future__ import annotations

import json
import struct
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from materialabs.crystals.batch import Crystals
from materialabs.crystals.codec import MAGIC, decode, encode
from materialabs.crystals.occupancy import Occupancy
from materialabs.errors import IntegrityError


def sample(seed: int = 0, count: int = 3) -> Crystals:
    random = np.random.default_rng(seed)
    sizes = random.integers(1, 5, count)
    atoms = int(sizes.sum())
    gaps = np.ma.MaskedArray(np.arange(count), mask=np.arange(count) % 2 == 1)
    moves = np.ma.MaskedArray(random.random((atoms, 3)) > 0.5, mask=random.random((atoms, 3)) > 0.7)
    full = Occupancy.full(random.integers(1, 95, atoms).astype(np.uint8))
    return Crystals.from_arrays(
        [np.eye(3) * 4 + random.normal(0, 0.4, (3, 3)) for _ in sizes],
        [random.normal(size=(size, 3)) for size in sizes],
        np.split(full.occupants, np.cumsum(sizes)[:-1]),
        columns={
            "id": [None, *[f"α{i}" for i in range(1, count)]],
            "energy": np.where(np.arange(count) == 0, np.nan, -1.5),
            "space_group": gaps,
            "notes": [{"a": [1, None, 2.5], "b": "x"}] * count,
        },
    ).replace(
        occupancy=Occupancy(full.offsets, full.occupants, np.full(atoms, 0.75)),
        site_columns={"fixed": moves, "force": random.normal(size=(atoms, 3))},
        pbc=random.random((count, 3)) > 0.3,
    )


def unpacked(data: bytes) -> tuple[dict[str, Any], bytes]:
    body = zlib.decompress(data[len(MAGIC) :])
    (length,) = struct.unpack_from("<I", body)
    return json.loads(body[4 : 4 + length]), body[4 + length :]


def packed(header: Any, arrays: bytes) -> bytes:
    text = json.dumps(header).encode()
    return MAGIC + zlib.compress(struct.pack("<I", len(text)) + text + arrays)


@given(st.integers(0, 1000), st.integers(1, 5))
def test_every_array_and_column_survives_exactly(seed: int, count: int) -> None:
    batch = sample(seed, count)
    again = decode(encode(batch))
    for name in ("lattice", "frac", "numbers", "offsets", "pbc"):
        assert np.array_equal(getattr(again, name), getattr(batch, name))
    for ours, theirs in (
        (batch.columns, again.columns),
        (batch.site_columns, again.site_columns),
    ):
        assert set(ours) == set(theirs)
        for name in ours:
            assert ours[name].dtype == theirs[name].dtype
            mask = np.ma.getmaskarray(ours[name])
            assert np.array_equal(mask, np.ma.getmaskarray(theirs[name]))
            kept = np.asarray(ours[name])[~mask], np.asarray(theirs[name])[~mask]
            assert kept[0].tobytes() == kept[1].tobytes() or kept[0].tolist() == kept[1].tolist()
    assert again.occupancy is not None and batch.occupancy is not None
    assert np.array_equal(again.occupancy.fractions, batch.occupancy.fractions)


def test_the_same_batch_gives_the_same_bytes() -> None:
    assert encode(sample()) == encode(sample())


@pytest.mark.parametrize("batch", [Crystals.empty(), sample(1, 1)[[]]])
def test_an_empty_batch_survives(batch: Crystals) -> None:
    assert len(decode(encode(batch))) == 0


def test_objects_are_kept_as_json_holds_them() -> None:
    values = [np.float64(1.5), np.arange(2), {"a": (1, 2)}, True, complex(1, 2)]
    column = np.empty(5, dtype=object)
    column[:] = values
    batch = sample(0, 5).with_columns(x=column)
    expected = [1.5, [0, 1], {"a": [1, 2]}, True, "(1+2j)"]
    assert decode(encode(batch)).columns["x"].tolist() == expected


@pytest.mark.parametrize("data", [b"", b"CIF", MAGIC, MAGIC + b"x", MAGIC[:-1]])
def test_foreign_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        decode(data)


@settings(max_examples=300)
@given(st.data())
def test_flipped_bytes_are_refused(data: st.DataObject) -> None:
    written = bytearray(encode(sample()))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(written) - 1))
        written[place] ^= data.draw(st.integers(1, 255))
    assume(bytes(written) != encode(sample()))
    with pytest.raises(IntegrityError):
        decode(bytes(written))


@given(st.data())
def test_cut_or_lengthened_bytes_are_refused(data: st.DataObject) -> None:
    written = encode(sample())
    cut = data.draw(st.integers(0, len(written) - 1))
    for broken in (written[:cut], written + b"x"):
        with pytest.raises(IntegrityError):
            decode(broken)


@settings(max_examples=300)
@given(st.data())
def test_a_tampered_body_is_read_or_refused_but_never_breaks(data: st.DataObject) -> None:
    body = bytearray(zlib.decompress(encode(sample())[len(MAGIC) :]))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place] = data.draw(st.integers(0, 255))
    try:
        with np.errstate(all="ignore"):
            decode(MAGIC + zlib.compress(bytes(body)))
    except IntegrityError:
        return


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["<f8", "|b1", "dtype", "shape"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def places_in(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    keys = node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    for key in keys:
        found += places_in(node[key], (*path, key))
    return found


@settings(max_examples=400)
@given(st.data())
def test_a_tampered_header_is_read_or_refused_but_never_breaks(data: st.DataObject) -> None:
    header, arrays = unpacked(encode(sample()))
    path = data.draw(st.sampled_from(places_in(header)))
    node = header
    for key in path[:-1]:
        node = node[key]
    if data.draw(st.booleans()) and isinstance(node, dict):
        del node[path[-1]]
    else:
        node[path[-1]] = data.draw(json_values)
    try:
        with np.errstate(all="ignore"):
            decode(packed(header, arrays))
    except IntegrityError:
        return


@pytest.mark.parametrize("header", [None, [], 3, "x", {}, {"fields": []}])
def test_a_header_of_the_wrong_form_is_refused(header: Any) -> None:
    with pytest.raises(IntegrityError):
        decode(packed(header, b""))


def test_a_header_nested_without_end_is_refused() -> None:
    text = b"[" * 100_000
    with pytest.raises(IntegrityError):
        decode(MAGIC + zlib.compress(struct.pack("<I", len(text)) + text))


def test_a_missing_value_outside_its_column_is_refused() -> None:
    for place in (-1, 1000):
        header, arrays = unpacked(encode(sample()))
        header["columns"]["space_group"]["missing"] = [place]
        with pytest.raises(IntegrityError):
            decode(packed(header, arrays))


def test_a_truth_value_of_two_is_refused() -> None:
    header, arrays = unpacked(encode(sample(0, 1).replace(columns=None, site_columns=None)))
    del header["occupancy"]
    flags = arrays[: -int(np.prod(header["fields"]["pbc"]["shape"]))]
    fields = {name: entry for name, entry in header["fields"].items() if name != "pbc"}
    size = sum(int(np.prod(e["shape"])) * np.dtype(e["dtype"]).itemsize for e in fields.values())
    with pytest.raises(IntegrityError, match="neither true nor false"):
        decode(packed(header, flags[:size] + b"\x02\x01\x01"))


@pytest.mark.parametrize("extent", [2**31, 2**62, 2**80])
def test_a_promise_of_huge_arrays_takes_no_memory(extent: int) -> None:
    header, arrays = unpacked(encode(sample()))
    header["fields"]["frac"]["shape"] = [extent, 3]
    tracemalloc.start()
    with pytest.raises(IntegrityError, match="more than these can hold"):
        decode(packed(header, arrays))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000


def test_a_stream_that_unpacks_to_more_than_its_header_says_is_cut_off() -> None:
    header, arrays = unpacked(encode(sample()))
    bomb = packed(header, arrays + b"\0" * 50_000_000)
    tracemalloc.start()
    with pytest.raises(IntegrityError, match="too long"):
        decode(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000


def test_a_header_that_claims_to_be_huge_takes_no_memory() -> None:
    body = struct.pack("<I", 2**32 - 1) + b" " * 1000
    tracemalloc.start()
    with pytest.raises(IntegrityError):
        decode(MAGIC + zlib.compress(body))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000


@pytest.mark.full
def test_ten_thousand_batches_survive_exactly() -> None:
    for seed in range(10_000):
        batch = sample(seed, 1 + seed % 5)
        assert encode(decode(encode(batch))) == encode(batch)
