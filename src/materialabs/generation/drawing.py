"""From lists of what is wanted to the compiled drawing of random crystals, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.compositions import ragged_rows
from materialabs.elements import SYMBOLS
from materialabs.generation.site_choices import why_impossible
from materialabs.generation.wyckoff import GROUPS, group_arrays, space_group
from materialabs.threads import chunk_bounds, map_chunks

ATTEMPTS: Final = 100
"""Draws of positions, cell and parameters for one crystal before it is given up."""

CHUNK: Final = 256
"""Crystals that one thread draws at a time."""

DONE, IMPOSSIBLE, CLASHING, UNFINISHED = 0, 1, 2, 3
"""How a wish ended: drawn; no choice of positions; atoms that symmetry does not let move apart
were too close in the best attempt; the push-off ended with an overlap in the best attempt."""


@dataclass(frozen=True, eq=False)
class Content:
    """What a primitive cell holds.

    Parameters
    ----------
    numbers, counts
        Atomic numbers, and atoms of each.
    nearest
        [e, e], smallest distances in angstrom.
    volume
        Cubic angstrom, what the volume factors multiply.
    """

    numbers: tuple[int, ...]
    counts: tuple[int, ...]
    nearest: NDArray[np.float64]
    volume: float

    @property
    def contents(self) -> dict[int, int]:
        """{atomic number: count}."""
        return dict(zip(self.numbers, self.counts, strict=True))


@dataclass(frozen=True, eq=False)
class Drawing:
    """What was drawn: crystals, the wish that each answers, and why the others failed."""

    crystals: Crystals
    rows: NDArray[np.int64]
    reasons: list[str | None]


@dataclass(frozen=True, eq=False)
class _Wishes:
    """Ragged arrays of what is wanted, as the kernel takes them."""

    seeds: NDArray[np.uint64]
    groups: NDArray[np.int64]
    atoms: NDArray[np.int64]
    element_starts: NDArray[np.int64]
    nearest: NDArray[np.float64]
    nearest_starts: NDArray[np.int64]
    volumes: NDArray[np.float64]
    offsets: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Drawn:
    """What the kernel writes for a chunk."""

    lattices: NDArray[np.float64]
    frac: NDArray[np.float64]
    site_of: NDArray[np.int64]
    element_of: NDArray[np.int64]
    worst: NDArray[np.float64]
    outcomes: NDArray[np.int64]
    attempts: NDArray[np.int64]


def draw(
    contents: Sequence[Content],
    which: NDArray[np.int64],
    groups: NDArray[np.int64],
    seeds: NDArray[np.uint64],
    factors: ArrayLike,
    *,
    attempts: int = ATTEMPTS,
    threads: int = 1,
) -> Drawing:
    """Draw one crystal for each wish.

    Parameters
    ----------
    contents
        The distinct cells that are wanted.
    which, groups, seeds
        [n], for each wish its cell, its space-group number and its seed.
    factors
        [2] or [n, 2], range of the volume over that of the cell.
    attempts
        Draws for each wish.
    threads
        Threads of the kernel; the answer does not depend on it.
    """
    if not len(which):
        return Drawing(Crystals.empty(), np.zeros(0, np.int64), [])
    limits = np.broadcast_to(np.asarray(factors, dtype=np.float64), (len(which), 2))
    volumes = np.array([content.volume for content in contents])[which]
    bounds = chunk_bounds(len(which), CHUNK)

    def one(bound: tuple[int, int]) -> _Drawn:
        part = slice(*bound)
        wishes = _wishes(
            contents, which[part], groups[part], seeds[part], limits[part] * volumes[part, None]
        )
        return _draw_chunk(wishes, attempts)

    parts = map_chunks(one, bounds, threads=threads)
    drawn = _Drawn(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in _Drawn.__dataclass_fields__
        )
    )
    rows = np.nonzero(drawn.outcomes == DONE)[0]
    reasons: list[str | None] = [None] * len(which)
    for row in np.nonzero(drawn.outcomes != DONE)[0]:
        content = contents[which[row]]
        reasons[row] = _reason(
            content, int(groups[row]), int(drawn.outcomes[row]), drawn.worst[row]
        )
    return Drawing(_crystals(contents, which, groups, volumes, drawn, rows), rows, reasons)


def _wishes(
    contents: Sequence[Content],
    which: NDArray[np.int64],
    groups: NDArray[np.int64],
    seeds: NDArray[np.uint64],
    volumes: NDArray[np.float64],
) -> _Wishes:
    atoms, element_starts = _gathered([content.counts for content in contents], which)
    nearest, nearest_starts = _gathered([content.nearest.ravel() for content in contents], which)
    sizes = np.array([sum(content.counts) for content in contents])[which]
    return _Wishes(
        np.ascontiguousarray(seeds),
        groups - 1,
        atoms.astype(np.int64),
        element_starts,
        nearest.astype(np.float64),
        nearest_starts,
        np.ascontiguousarray(volumes),
        np.concatenate([[0], np.cumsum(sizes)]),
    )


def _gathered(
    rows: Sequence[ArrayLike], which: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Chosen rows of a ragged table, one after another, and where each starts."""
    tables = [np.asarray(row, dtype=np.float64) for row in rows]
    offsets = np.concatenate([[0], np.cumsum([len(table) for table in tables])]).astype(np.int64)
    members, starts = ragged_rows(offsets, which)
    return np.concatenate(tables)[members], starts


def _draw_chunk(wishes: _Wishes, attempts: int) -> _Drawn:
    from materialabs.generation.airss_kernels import draw_crystals

    count, atoms = len(wishes.groups), int(wishes.offsets[-1])
    drawn = _Drawn(
        np.zeros((count, 3, 3)),
        np.zeros((atoms, 3)),
        np.zeros(atoms, np.int64),
        np.zeros(atoms, np.int64),
        np.zeros((count, 3)),
        np.zeros(count, np.int64),
        np.zeros(count, np.int64),
    )
    draw_crystals(
        wishes.seeds, attempts, wishes.groups, wishes.atoms, wishes.element_starts,
        wishes.nearest, wishes.nearest_starts, wishes.volumes, wishes.offsets, group_arrays(),
        drawn.lattices, drawn.frac, drawn.site_of, drawn.element_of, drawn.worst, drawn.outcomes,
        drawn.attempts,
    )  # fmt: skip
    return drawn


@lru_cache(maxsize=1)
def _letters() -> NDArray[np.object_]:
    """Wyckoff letters of all groups, one after another."""
    groups = (space_group(number) for number in range(1, GROUPS + 1))
    return np.array([p.letter for group in groups for p in group.positions], dtype=object)


def _crystals(
    contents: Sequence[Content],
    which: NDArray[np.int64],
    groups: NDArray[np.int64],
    volumes: NDArray[np.float64],
    drawn: _Drawn,
    rows: NDArray[np.int64],
) -> Crystals:
    """The chosen rows as crystals with their columns."""
    sizes = np.array([sum(content.counts) for content in contents])[which]
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    members, chosen = ragged_rows(offsets, rows)
    owners = np.repeat(rows, sizes[rows])
    numbers, starts = _gathered([content.numbers for content in contents], which)
    first_position = group_arrays().position_starts[groups[owners] - 1]
    frac = drawn.frac[members]
    lattices = drawn.lattices[rows]
    return Crystals(
        lattices,
        frac,
        numbers[starts[owners] + drawn.element_of[members]].astype(np.uint8),
        chosen,
        columns={  # type: ignore[arg-type]
            "space_group": groups[rows],
            "volume_factor": np.abs(np.linalg.det(lattices)) / volumes[rows],
            "attempts": drawn.attempts[rows],
        },
        site_columns={  # type: ignore[arg-type]
            "wyckoff": _letters()[first_position + drawn.site_of[members]]
        },
    ).wrapped()


def _reason(content: Content, group: int, outcome: int, worst: NDArray[np.float64]) -> str:
    """Why a wish failed, in one sentence."""
    if outcome == IMPOSSIBLE:
        return str(why_impossible(content.contents, group))
    first, second = (SYMBOLS[content.numbers[int(kind)]] for kind in sorted(worst[1:]))
    symbol = space_group(group).symbol
    atoms = sum(content.counts)
    if outcome == CLASHING:
        return (
            f"{symbol} ({group}) with {atoms} atoms: symmetry holds {first} and {second} too "
            "close in this volume"
        )
    return (
        f"{symbol} ({group}) with {atoms} atoms: the push-off did not end, {first} and {second} "
        "stayed too close"
    )
