"""Products of substitution in compact form: one block for each parent cell and way of choosing.

A block holds which slot every site of the cell belongs to, and which element each product puts
into each slot. The crystals are built from it only for products that are wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.compositions import Compositions

KEY_SEED: Final = 0x5A9505
"""Seed of the random words that keys are made of; part of no result."""

MOST_SLOTS: Final = 256
"""Slots of a block that have words of their own."""

KEY_WORDS: Final[NDArray[np.uint64]] = np.random.default_rng(KEY_SEED).integers(
    1, 2**63, size=(MOST_SLOTS, 128), dtype=np.uint64
)
"""Random words by slot or role and element; keys are sums of them."""


@dataclass(frozen=True, eq=False)
class Block:
    """Products that share a cell, its sites, and the elements that stay.

    Parameters
    ----------
    parent
        Position of the parent in its batch.
    lattice
        float64 [3, 3], angstrom, of the parent's volume; products are scaled when built.
    frac
        float64 [n, 3].
    slots
        int16 [c, n]; pattern by pattern the slot of each site.
    pattern
        int64 [m], the pattern of each product.
    elements
        uint8 [m, s], the element in each slot.
    probability
        float64 [m].
    group
        uint64 [m]; equal for products, of whatever parent, that come out as the same crystals.
    member
        uint64 [m]; tells apart the products of one group and parent.
    describe
        Gives a product's substitution and orbit as texts.
    """

    parent: int
    lattice: NDArray[np.float64]
    frac: NDArray[np.float64]
    slots: NDArray[np.int16]
    pattern: NDArray[np.int64]
    elements: NDArray[np.uint8]
    probability: NDArray[np.float64]
    group: NDArray[np.uint64]
    member: NDArray[np.uint64]
    describe: Callable[[int], tuple[str, str]]

    def __len__(self) -> int:
        return len(self.probability)

    def amounts(self) -> NDArray[np.float64]:
        """Atoms in each slot of each product [m, s]."""
        slots = self.elements.shape[1]
        counts = (self.slots[:, :, None] == np.arange(slots)).sum(axis=1)
        return np.asarray(counts[self.pattern], dtype=np.float64)

    def numbers(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Atomic numbers of the chosen products' sites [len(rows), n]."""
        return np.take_along_axis(self.elements[rows], self.slots[self.pattern[rows]], axis=1)


def assignment_keys(family: int, elements: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """A key [m] for elements in the roles of a family [m, roles]; equal only for equal ones.

    Sums of random 64-bit words: two of a million differing rows agree with chance below 1e-7.
    """
    words = KEY_WORDS[np.arange(elements.shape[1]) % MOST_SLOTS, elements]
    return np.asarray(words.sum(axis=1, dtype=np.uint64) + _mixed(family))


def whole_keys(
    family: int, elements: NDArray[np.uint8], renamings: NDArray[np.int64]
) -> NDArray[np.uint64]:
    """A key [m] that also agrees for assignments which a renaming of equal roles exchanges."""
    keys = [assignment_keys(family, elements[:, renaming]) for renaming in renamings]
    return np.asarray(np.min(keys, axis=0))


def _mixed(number: int) -> np.uint64:
    """A whole number spread over 64 bits (Vigna's SplitMix64 finaliser)."""
    word = (number * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) % 2**64
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) % 2**64
    return np.uint64(word ^ (word >> 31))


def pattern_keys(slots: NDArray[np.int16], salt: int) -> NDArray[np.uint64]:
    """A key [c] for each row of slots, different for different salts."""
    sites = np.arange(slots.shape[1])
    words = KEY_WORDS[sites % MOST_SLOTS, (slots + sites // MOST_SLOTS) % 128]
    return np.asarray(words.sum(axis=1, dtype=np.uint64) + _mixed(salt))


def block_compositions(blocks: Sequence[Block]) -> Compositions:
    """Composition of each product's cell, block after block; empty slots are left out."""
    elements = [block.elements.ravel() for block in blocks]
    amounts = [block.amounts().ravel() for block in blocks]
    widths = [np.full(len(block), block.elements.shape[1]) for block in blocks]
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(widths))]).astype(np.int64)
    counted = Compositions.from_atoms(np.concatenate(elements), offsets, np.concatenate(amounts))
    if np.all(counted.amounts > 0):
        return counted
    kept = counted.amounts > 0
    running = np.concatenate([[0], np.cumsum(kept)])
    return Compositions(counted.elements[kept], counted.amounts[kept], running[counted.offsets])


def composition_keys(compositions: Compositions) -> NDArray[np.uint64]:
    """A key for each reduced composition [n]; equal for equal ones whatever the cell."""
    reduced = compositions.reduced()
    amounts = np.rint(reduced.amounts).astype(np.uint64)
    words = KEY_WORDS[0, reduced.elements] * amounts
    running = np.concatenate([np.zeros(1, np.uint64), np.cumsum(words, dtype=np.uint64)])
    return np.asarray(running[reduced.offsets[1:]] - running[reduced.offsets[:-1]])


def built(
    blocks: Sequence[Block],
    owner: NDArray[np.int64],
    row: NDArray[np.int64],
    growth: NDArray[np.float64],
) -> Crystals:
    """Build the crystals of chosen products, in the order given.

    Parameters
    ----------
    blocks
        Where the products are.
    owner, row
        int64 [q], the block of each product and its place in it.
    growth
        float64 [q], volume of the product over its parent's.
    """
    sizes = np.array([len(block.frac) for block in blocks], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(sizes[owner])]).astype(np.int64)
    numbers = np.empty(offsets[-1], dtype=np.uint8)
    frac = np.empty((offsets[-1], 3))
    order = np.argsort(owner, kind="stable")
    starts = np.searchsorted(owner[order], np.arange(len(blocks) + 1))
    for index, block in enumerate(blocks):
        mine = order[starts[index] : starts[index + 1]]
        if len(mine):
            places = offsets[mine][:, None] + np.arange(len(block.frac))
            numbers[places] = block.numbers(row[mine])
            frac[places] = block.frac
    lattices = np.array([block.lattice for block in blocks])
    return Crystals(lattices[owner] * np.cbrt(growth)[:, None, None], frac, numbers, offsets)
