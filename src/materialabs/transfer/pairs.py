"""What calculated crystals tell of an alloy or a dopant: by the pairs of its elements.

A source has learned ordered compounds of a few elements. An alloy of six, or a compound with a
trace of a seventh, is far from all of them, and what the source says of it as a whole means little.
Any two of its elements, however, form compounds of the kind that the source knows. It is asked of
these, and what it says is summed as often as the two meet, as in a regular solution.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.compositions import Compositions
from materialabs.crystals.descriptors import CHUNK, Descriptors, padded
from materialabs.elements import SYMBOLS
from materialabs.transfer.sources import Source

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

RATIOS: Final = ((1.0, 1.0), (1.0, 3.0), (3.0, 1.0))
"""Amounts of the two elements in the compounds that sources are asked of."""

NO_PAIR: Final = 0
"""Stands where two places of a composition hold the same element, or none."""

OF_COMPOUNDS: Final = "compounds of its pairs"
OF_LOWEST: Final = "lowest compounds of its pairs"

TOLD: Final = ("sum", "mean", "minimum", "maximum", "average deviation")
"""Of what a pair's compounds have on average; of the lowest of them, the first two are told."""


def pair_descriptors(compositions: Compositions, sources: Sequence[Source]) -> Descriptors:
    """Describe compositions by what sources say of compounds of any two of their elements.

    Sources that tell the same quantity are averaged. A pure element has no pairs, and gets zeros.

    Parameters
    ----------
    compositions
        n compositions, each with at least one element.
    sources
        One or more.

    Returns
    -------
    Descriptors
        [n, 1 + 7 q] for q quantities; the first column is the chance that two atoms differ.
    """
    quantities = tuple(dict.fromkeys(one for source in sources for one in source.quantities))
    names = ("chance that two atoms differ", *(
        f"{quantity}, {what}: {statistic}"
        for what, told in ((OF_COMPOUNDS, TOLD), (OF_LOWEST, TOLD[:2]))
        for quantity in quantities for statistic in told
    ))  # fmt: skip
    numbers, fractions = padded(compositions)
    codes = np.union1d(_codes(numbers, fractions), [NO_PAIR])
    told = _told_of_pairs(codes, sources, quantities)
    parts = [
        _described(numbers[start : start + CHUNK], fractions[start : start + CHUNK], codes, told)
        for start in range(0, len(compositions), CHUNK)
    ]
    return Descriptors(np.concatenate(parts) if parts else np.zeros((0, len(names))), names)


def _codes(numbers: Whole, fractions: Floats) -> Whole:
    """A number for each two places of a composition [n, k, k], the same in either order."""
    low = np.minimum(numbers[:, :, None], numbers[:, None, :])
    high = np.maximum(numbers[:, :, None], numbers[:, None, :])
    present = (fractions[:, :, None] > 0) & (fractions[:, None, :] > 0)
    return np.where(present & (low < high), low * len(SYMBOLS) + high, NO_PAIR)


def _told_of_pairs(codes: Whole, sources: Sequence[Source], quantities: Sequence[str]) -> Floats:
    """Mean over, and least of, the compounds of each pair [codes, 2, quantities]; zeros of none."""
    compounds = Compositions.from_dicts([
        dict(zip(divmod(code, len(SYMBOLS)), amounts, strict=True))
        for code in codes[codes != NO_PAIR].tolist() for amounts in RATIOS
    ])  # fmt: skip
    total, voices = np.zeros((len(compounds), len(quantities))), np.zeros(len(quantities))
    for source in sources if len(compounds) else ():
        columns = [quantities.index(one) for one in source.quantities]
        total[:, columns] += source.ensemble.answers(compounds).values.mean(axis=0)
        voices[columns] += 1
    values = (total / np.maximum(voices, 1)).reshape(-1, len(RATIOS), len(quantities))
    told = np.zeros((len(codes), 2, len(quantities)))
    told[codes != NO_PAIR] = np.stack([values.mean(axis=1), values.min(axis=1)], axis=1)
    return told


def _described(numbers: Whole, fractions: Floats, codes: Whole, told: Floats) -> Floats:
    """The descriptors of some compositions from what is known of pairs."""
    own = _codes(numbers, fractions)
    meets = own != NO_PAIR
    weights = np.where(meets, fractions[:, :, None] * fractions[:, None, :], 0.0)
    often = weights.sum(axis=(1, 2))
    share = weights / np.where(often > 0, often, 1.0)[:, None, None]
    place = np.searchsorted(codes, own)
    columns = [often]
    for kind in range(told.shape[1]):
        for quantity in range(told.shape[2]):
            values = told[place, kind, quantity]
            mean = np.sum(share * values, axis=(1, 2))
            columns += [often * mean, mean]
            if kind == 0:
                columns += _range(values, share, mean, meets)
    return np.stack(columns, axis=1)


def _range(values: Floats, share: Floats, mean: Floats, meets: NDArray[np.bool_]) -> list[Floats]:
    """Least, largest, and average deviation over the pairs of each composition."""
    some = meets.any(axis=(1, 2))
    least = np.where(meets, values, np.inf).min(axis=(1, 2))
    largest = np.where(meets, values, -np.inf).max(axis=(1, 2))
    away = np.sum(share * np.abs(values - mean[:, None, None]), axis=(1, 2))
    return [np.where(some, least, 0.0), np.where(some, largest, 0.0), away]
