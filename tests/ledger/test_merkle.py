"""The tree against RFC 6962's definition, written out recursively, and published vectors."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from materialabs.errors import InputError, IntegrityError
from materialabs.ledger.merkle import (
    EMPTY_ROOT,
    Frontier,
    LeafHashes,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    tree_root,
    verify_consistency,
    verify_inclusion,
)

# Test vectors of the Certificate Transparency reference implementation (eight leaves).
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def defined_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962, 2.1, as written there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    left, right = defined_root(leaves[:k]), defined_root(leaves[k:])
    return hashlib.sha256(b"\x01" + left + right).digest()


def some_leaves(count: int) -> list[bytes]:
    return [index.to_bytes(4, "big") for index in range(count)]


@pytest.mark.parametrize("count", range(1, 9))
def test_roots_are_the_published_ones(count: int) -> None:
    root = tree_root([leaf_hash(leaf) for leaf in LEAVES[:count]])
    assert root.hex() == ROOTS[count - 1]


def test_root_of_an_empty_tree_is_the_hash_of_nothing() -> None:
    assert Frontier().root() == EMPTY_ROOT == hashlib.sha256().digest()


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 255, 256, 257, 511, 513, 700])
def test_root_follows_the_definition(count: int) -> None:
    leaves = some_leaves(count)
    assert tree_root([leaf_hash(leaf) for leaf in leaves]) == defined_root(leaves)


@given(st.integers(1, 1200), st.data())
def test_every_leaf_has_an_inclusion_proof(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    hashes = [leaf_hash(leaf) for leaf in some_leaves(size)]
    proof = inclusion_proof(LeafHashes(hashes), index, size)
    verify_inclusion(hashes[index], index, size, proof, tree_root(hashes))


@given(st.integers(0, 1200), st.data())
def test_every_earlier_size_has_a_consistency_proof(new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(0, new))
    hashes = [leaf_hash(leaf) for leaf in some_leaves(new)]
    proof = consistency_proof(LeafHashes(hashes), old, new)
    verify_consistency(old, new, proof, tree_root(hashes[:old]), tree_root(hashes))


@given(st.integers(2, 600), st.data())
def test_a_changed_inclusion_proof_is_refused(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    hashes = [leaf_hash(leaf) for leaf in some_leaves(size)]
    proof = inclusion_proof(LeafHashes(hashes), index, size)
    place = data.draw(st.integers(0, len(proof) - 1))
    proof[place] = bytes(32)
    with pytest.raises(IntegrityError):
        verify_inclusion(hashes[index], index, size, proof, tree_root(hashes))


@given(st.integers(3, 600), st.data())
def test_a_rewritten_past_is_refused(new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, new - 1))
    hashes = [leaf_hash(leaf) for leaf in some_leaves(new)]
    lied = [bytes(32), *hashes[1:]]
    proof = consistency_proof(LeafHashes(lied), old, new)
    with pytest.raises(IntegrityError):
        verify_consistency(old, new, proof, tree_root(hashes[:old]), tree_root(lied))


@given(st.integers(2, 300), st.data())
def test_a_proof_with_a_hash_too_many_or_too_few_is_refused(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    hashes = [leaf_hash(leaf) for leaf in some_leaves(size)]
    proof = inclusion_proof(LeafHashes(hashes), index, size)
    for wrong in (proof[:-1], [*proof, bytes(32)]):
        with pytest.raises(IntegrityError):
            verify_inclusion(hashes[index], index, size, wrong, tree_root(hashes))


def test_a_log_that_shrank_is_refused() -> None:
    with pytest.raises(IntegrityError, match="shrank"):
        verify_consistency(3, 2, [], bytes(32), bytes(32))


def test_a_leaf_beyond_the_log_has_no_proof() -> None:
    with pytest.raises(InputError, match="not in a log"):
        inclusion_proof(LeafHashes([bytes(32)]), 1, 1)


def test_a_frontier_continues_where_it_stopped() -> None:
    hashes = [leaf_hash(leaf) for leaf in some_leaves(300)]
    first = Frontier()
    first.extend(hashes[:123])
    again = Frontier(first.size, list(first.peaks))
    again.extend(hashes[123:])
    assert again.root() == tree_root(hashes)
