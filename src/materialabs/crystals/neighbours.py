"""Neighbours of every atom: the whole batch in one call.

An edge leads from one atom (``first``) to another, or to an image of itself (``second``, moved
by ``image`` cells). Both directions of a pair are there; an atom is not its own neighbour. Any
cell is accepted: skewed, left-handed, much smaller than the cut-off, periodic in some directions
or none. Atoms may lie outside the cell; shifts refer to the coordinates as given.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.compositions import ragged_rows
from materialabs.crystals.edge_rooms import EdgeRoom, Edges, Task, too_many
from materialabs.errors import InputError
from materialabs.threads import map_chunks

LARGEST_GRAPH = 400_000_000
"""Edges that are found unless more are allowed: about 9 GB."""

CHUNK_ATOMS = 2_500
"""Atoms of one part of a stream: its edges at 5 angstrom stay in a processor's cache."""

SPREAD = 1.15
"""Crystals have up to this many times the edges of a uniform gas, for reserving memory."""

CLOSEST_PACKING = float(np.sqrt(2.0))
"""Atoms at distance 1 that a unit of volume holds at most (Hales, Ann. Math. 162, 2005)."""

FIRST_RADIUS = 3.0
"""Angstrom; where a search for the nearest atoms begins when the density does not say."""

GROWTH = 1.4
"""Growth of the radius when it did not hold enough neighbours."""

AMPLE = 1.5
"""Share of neighbours more than asked for that the first radius holds on average."""

TIE = 1e-6
"""Angstrom; distances that round to the same multiple of this are equal."""

CHUNKS_AT_ONCE = 20
"""Parts of a stream that one call of the compiled search takes when all edges are kept."""

LEAST_RESERVED, MOST_RESERVED = 1_000, 2_000_000_000
"""Edges for which memory is reserved at least and at most before it is known how many there are."""


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Pairs of atoms within a cut-off, sorted by the first atom.

    Parameters
    ----------
    first, second
        int32 [E], atoms by their position in the batch.
    image
        int16 [E, 3], cell shift of the second atom: its coordinates are ``frac + image``.
    distance
        float64 [E], angstrom.
    starts
        int64 [N+1]; atom i owns edges ``starts[i]:starts[i+1]``.
    offsets
        int64 [n+1]; crystal c owns edges ``offsets[c]:offsets[c+1]``.
    """

    first: NDArray[np.int32]
    second: NDArray[np.int32]
    image: NDArray[np.int16]
    distance: NDArray[np.float64]
    starts: NDArray[np.int64]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.distance)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of neighbours of each atom [N]."""
        return np.diff(self.starts)

    def vectors(
        self, crystals: Crystals, dtype: DTypeLike = np.float64
    ) -> NDArray[np.floating]:  # fmt: skip
        """Vectors from the first to the second atom of each edge [E, 3], angstrom.

        Parameters
        ----------
        crystals
            The batch that the neighbours were searched in.
        dtype
            ``numpy.float64``, or ``numpy.float32`` for half the memory.
        """
        from materialabs.crystals.edge_kernels import edge_vectors

        if len(crystals) + 1 != len(self.offsets) or len(crystals.frac) + 1 != len(self.starts):
            raise InputError("These neighbours belong to another batch of crystals.")
        vectors = np.empty((len(self), 3), dtype=dtype)
        edge_vectors(
            crystals.lattice, crystals.frac, self.offsets,
            self.first, self.second, self.image, vectors,
        )  # fmt: skip
        return vectors


def neighbours(
    crystals: Crystals,
    cutoff: ArrayLike,
    *,
    threads: int = 1,
    limit: int = LARGEST_GRAPH,
) -> Neighbours:
    """Find all neighbours of all atoms within a cut-off.

    Parameters
    ----------
    crystals
        The batch.
    cutoff
        Angstrom, one for all or one for each crystal [n]; pairs up to 1e-8 beyond it count.
    threads
        Threads to work on; the answer does not depend on it.
    limit
        Most edges to find; more are refused before memory runs out.

    Examples
    --------
    >>> import numpy as np
    >>> from materialabs.crystals.batch import Crystals
    >>> copper = Crystals.from_arrays([np.eye(3) * 3.6 @ [[0, .5, .5], [.5, 0, .5], [.5, .5, 0]]],
    ...                               [[[0, 0, 0]]], [[29]])
    >>> len(neighbours(copper, 2.6))
    12
    """
    cutoffs = checked_cutoffs(crystals, cutoff)
    expected = _expected_edges(crystals, cutoffs)
    if expected[crystals.pbc.all(axis=1)].sum() > limit:
        raise too_many(limit)
    room = EdgeRoom(_reserve(expected), limit)
    degrees = np.zeros(len(crystals.frac), dtype=np.int64)
    tasks = [
        Task(crystals, cutoffs, begin, end, 0)
        for begin, end in _cut_by_atoms(crystals, CHUNK_ATOMS * CHUNKS_AT_ONCE)
    ]

    def search(turn: int) -> None:
        task = tasks[turn]
        own = EdgeRoom(_reserve(expected[task.begin : task.end]), limit)

        def find() -> Edges:
            own.search(task, degrees)
            return own.edges()

        room.append(turn, find)

    if threads == 1:
        for task in tasks:
            room.search(task, degrees)
    else:
        map_chunks(search, range(len(tasks)), threads=threads)
    return _sorted_edges(room.edges(), degrees, crystals.offsets)


def stream_neighbours(
    crystals: Crystals,
    cutoff: ArrayLike,
    *,
    chunk_atoms: int = CHUNK_ATOMS,
    threads: int = 1,
    limit: int = LARGEST_GRAPH,
) -> Iterator[tuple[slice, Neighbours]]:
    """Find neighbours part by part, in bounded memory.

    Parameters
    ----------
    crystals, cutoff, threads
        As for :func:`neighbours`.
    chunk_atoms
        Atoms of one part; a larger crystal is a part by itself.
    limit
        Most edges of one part.

    Yields
    ------
    tuple
        The crystals of the part as a slice of the batch, and their neighbours, whose atoms and
        crystals are counted from the start of the part: ``crystals[rows]`` fits them.
    """
    if chunk_atoms < 1:
        raise InputError("A part of a stream needs at least one atom: give chunk_atoms >= 1.")
    cutoffs = checked_cutoffs(crystals, cutoff)
    expected = _expected_edges(crystals, cutoffs)

    def search(bounds: tuple[int, int]) -> tuple[slice, Neighbours]:
        begin, end = bounds
        offsets = crystals.offsets[begin : end + 1] - crystals.offsets[begin]
        degrees = np.zeros(offsets[-1], dtype=np.int64)
        room = EdgeRoom(_reserve(expected[begin:end]), limit)
        room.search(Task(crystals, cutoffs, begin, end, int(crystals.offsets[begin])), degrees)
        return slice(begin, end), _sorted_edges(room.edges(), degrees, offsets)

    parts = _cut_by_atoms(crystals, chunk_atoms)
    for start in range(0, len(parts), threads):
        yield from map_chunks(search, parts[start : start + threads], threads=threads)


def nearest(
    crystals: Crystals, k: int, *, threads: int = 1, limit: int = LARGEST_GRAPH
) -> Neighbours:
    """Find the k nearest neighbours of every atom, whatever their distance.

    Equal distances (to 1e-6 angstrom) are taken in the order of atom and cell shift, and the
    edges of an atom come in that order. A molecule without periods has at most as many
    neighbours as other atoms; its atoms get those.

    Parameters
    ----------
    crystals
        The batch.
    k
        Neighbours of each atom.
    threads, limit
        As for :func:`neighbours`.
    """
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise InputError(f"The number of nearest neighbours is a whole number from 1, not {k!r}.")
    if len(crystals.frac) * int(k) > limit:
        raise too_many(limit)
    wanted = _reachable(crystals, int(k))
    chosen: list[tuple[NDArray[np.int64], Neighbours]] = []
    rows = np.flatnonzero(crystals.counts > 0)
    radii = _first_radii(crystals, int(k))
    while len(rows):
        done = np.zeros(len(rows), dtype=bool)
        pending = crystals.take(rows)
        for part, found in stream_neighbours(pending, radii[rows], threads=threads, limit=limit):
            good, kept = _nearest_of(found, pending[part], wanted[rows[part]], radii[rows[part]])
            done[part] = good
            chosen.append((rows[part][good], kept))
        rows = rows[~done]
        radii[rows] *= GROWTH
    return _in_order(crystals, chosen)


def shortest_distance(
    crystals: Crystals, *, threads: int = 1, limit: int = LARGEST_GRAPH
) -> NDArray[np.float64]:
    """Smallest distance between two atoms of each crystal [n], images included, in angstrom.

    Infinite for a single atom without periods. In a fully periodic crystal no search is
    repeated: spheres of that diameter cannot be packed more densely than the closest packing.

    Parameters
    ----------
    crystals
        The batch.
    threads, limit
        As for :func:`neighbours`.
    """
    shortest = np.full(len(crystals), np.inf)
    alone = (crystals.counts < 2) & ~crystals.pbc.any(axis=1)
    rows = np.flatnonzero((crystals.counts > 0) & ~alone)
    radii = np.full(len(crystals), FIRST_RADIUS)
    full = crystals.pbc.all(axis=1) & (crystals.counts > 0)
    radii[full] = np.cbrt(CLOSEST_PACKING * crystals.volumes[full] / crystals.counts[full])
    radii *= 1.0 + TIE
    while len(rows):
        pending = crystals.take(rows)
        for part, found in stream_neighbours(pending, radii[rows], threads=threads, limit=limit):
            some = np.diff(found.offsets) > 0
            if some.any():
                least = np.minimum.reduceat(found.distance, found.offsets[:-1][some])
                shortest[rows[part][some]] = least
        rows = rows[np.isinf(shortest[rows])]
        radii[rows] *= GROWTH
    return shortest


def _reachable(crystals: Crystals, k: int) -> NDArray[np.int64]:
    """How many of k neighbours the atoms of each crystal have [n]."""
    periodic = crystals.pbc.any(axis=1)
    return np.where(periodic, k, np.minimum(k, np.maximum(crystals.counts - 1, 0)))


def _first_radii(crystals: Crystals, k: int) -> NDArray[np.float64]:
    """Radii that hold somewhat more than k neighbours in most crystals [n], angstrom."""
    radii = np.full(len(crystals), FIRST_RADIUS)
    full = crystals.pbc.all(axis=1) & (crystals.counts > 0)
    share = crystals.volumes[full] / crystals.counts[full]
    radii[full] = np.cbrt(AMPLE * (k + 1) * share / (4.0 / 3.0 * np.pi))
    return radii


def _nearest_of(
    found: Neighbours, part: Crystals, wanted: NDArray[np.int64], radii: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], Neighbours]:
    """Which crystals of a part have all their neighbours, and the nearest in those crystals."""
    from materialabs.crystals.edge_kernels import choose_nearest

    owners = part.owners
    # A tie with the last one may lie just beyond the radius, unless there is nothing beyond.
    sure = np.bincount(
        np.repeat(np.arange(len(owners)), found.counts),
        found.distance < np.repeat(radii[owners] - 2 * TIE, found.counts),
        minlength=len(owners),
    )
    all_found = ~part.pbc.any(axis=1) & (wanted == part.counts - 1)
    have = np.where(all_found[owners], found.counts, sure)
    good = np.bincount(owners, have < wanted[owners], minlength=len(part)) == 0
    amounts = np.where(good[owners], wanted[owners], 0)
    table = np.empty((len(owners), int(wanted.max(initial=0))), dtype=np.int64)
    choose_nearest(
        found.starts, found.second, found.image, found.distance, amounts, TIE, table
    )  # fmt: skip
    picked = table[np.arange(table.shape[1]) < amounts[:, None]]
    atoms = np.cumsum(good[owners]) - 1
    return good, _sorted_edges(
        Edges(
            atoms[found.first[picked]].astype(np.int32),
            atoms[found.second[picked]].astype(np.int32),
            found.image[picked],
            found.distance[picked],
        ),
        amounts[good[owners]],
        np.concatenate([[0], np.cumsum(part.counts[good])]),
    )


def _in_order(crystals: Crystals, parts: list[tuple[NDArray[np.int64], Neighbours]]) -> Neighbours:
    """Put the edges of crystals that were found in any order into the order of the batch."""
    degrees = np.zeros(len(crystals.frac), dtype=np.int64)
    places = [ragged_rows(crystals.offsets, rows)[0] for rows, _ in parts]
    for atoms, (_, found) in zip(places, parts, strict=True):
        degrees[atoms] = found.counts
    starts = np.concatenate([[0], np.cumsum(degrees)])
    edges = Edges.empty(int(starts[-1]))
    for atoms, (_, found) in zip(places, parts, strict=True):
        target, _ = ragged_rows(starts, atoms)
        edges.first[target] = atoms[found.first]
        edges.second[target] = atoms[found.second]
        edges.image[target] = found.image
        edges.distance[target] = found.distance
    return _sorted_edges(edges, degrees, crystals.offsets)


def checked_cutoffs(crystals: Crystals, cutoff: ArrayLike) -> NDArray[np.float64]:
    """One cut-off for each crystal [n], angstrom; what is no positive number is refused."""
    try:
        given = np.asarray(cutoff, dtype=np.float64)
        cutoffs = np.ascontiguousarray(np.broadcast_to(given, (len(crystals),)))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"A cut-off is one distance in angstrom, or one for each of the {len(crystals)} "
            "crystals."
        ) from error
    if not np.all(np.isfinite(given)) or not np.all(given > 0.0):
        raise InputError("A cut-off is a distance above zero, in angstrom.")
    return cutoffs


def _expected_edges(
    crystals: Crystals, cutoffs: NDArray[np.float64]
) -> NDArray[np.float64]:  # fmt: skip
    """Edges of each crystal if its atoms were spread evenly over the cell [n]."""
    counts = crystals.counts.astype(np.float64)
    return np.asarray(counts**2 / crystals.volumes * (4.0 / 3.0 * np.pi) * cutoffs**3)


def _reserve(expected: NDArray[np.float64]) -> int:
    return int(min(expected.sum() * SPREAD, MOST_RESERVED)) + LEAST_RESERVED


def _cut_by_atoms(crystals: Crystals, atoms: int) -> list[tuple[int, int]]:
    """Cut a batch into consecutive parts of at most this many atoms, one crystal at least."""
    offsets = crystals.offsets
    bounds: list[tuple[int, int]] = []
    begin = 0
    while begin < len(crystals):
        end = int(np.searchsorted(offsets, offsets[begin] + atoms, side="right")) - 1
        end = max(end, begin + 1)
        bounds.append((begin, end))
        begin = end
    return bounds


def _sorted_edges(
    edges: Edges, degrees: NDArray[np.int64], offsets: NDArray[np.int64]
) -> Neighbours:
    starts = np.zeros(len(degrees) + 1, dtype=np.int64)
    np.cumsum(degrees, out=starts[1:])
    return Neighbours(*edges, starts, starts[offsets])
