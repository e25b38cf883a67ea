"""Decides whether two crystals are the same, by laying the atoms of one over the other's.

Both are reduced to the smallest cell that repeats within tolerance, with each site averaged over
its copies, and brought to the same volume per atom. Then every way of laying the smaller lattice
over the larger is tried, and for each every origin, until the atoms of each element fall on atoms
of that element within tolerance. Cell, supercell, origin, orientation, order of the atoms and size
of the crystal therefore do not count, and neither does handedness: mirror images are the same.

The idea is that of pymatgen's StructureMatcher (Ong et al., Comput. Mater. Sci. 68, 314, 2013);
the tolerances here are narrower (its 0.3 of the cube root of the volume per atom is about 0.7
angstrom), and supercells are always tried.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.fingerprints import require_bulk
from materialabs.errors import InputError
from materialabs.threads import chunk_bounds, map_chunks

CATCH: Final = 1.5
"""Atoms are looked for within this multiple of the largest displacement: the first atom that is
laid on another is itself displaced until the mean is taken out."""

COPY_SHARE: Final = 0.9
"""Copies of a site in one crystal may differ by this share of the tolerance between crystals."""

LARGEST_STRAIN: Final = 0.4
"""Strain tolerance above which the lengths of cell vectors no longer bound the search."""

PAIRS_A_CHUNK: Final = 512
"""Pairs handed to one thread at a time."""


@dataclass(frozen=True)
class Tolerance:
    """How far two copies of one crystal may differ.

    The defaults take in displacements of every atom by 0.1 angstrom in both crystals, also when
    that is the standard deviation along each axis in one of them, and strains of 2 % in every
    component of both.

    Parameters
    ----------
    displacement
        Root mean square displacement of the atoms, angstrom.
    largest
        Largest displacement of any atom, angstrom.
    strain
        Frobenius norm of the strain that takes one lattice into the other, once the volumes for
        each atom are equal.
    """

    displacement: float = 0.22
    largest: float = 0.5
    strain: float = 0.08

    def __post_init__(self) -> None:
        if not 0 < self.displacement <= self.largest < np.inf:
            raise InputError(
                "Tolerances in angstrom are above zero, and that of the mean displacement is at "
                f"most that of the largest; {self.displacement} and {self.largest} were given."
            )
        if not 0 < self.strain <= LARGEST_STRAIN:
            raise InputError(
                f"A tolerance of strain lies between 0 and {LARGEST_STRAIN}; "
                f"{self.strain} was given."
            )

    def limits(self) -> NDArray[np.float64]:
        """Displacements, strain and the squared search distance, for the kernels."""
        catch = (CATCH * self.largest) ** 2
        return np.array([self.displacement, self.largest, self.strain, catch])


DEFAULT_TOLERANCE: Final = Tolerance()
"""Used wherever no other tolerance is given."""


@dataclass(frozen=True, eq=False)
class Matches:
    """Which pairs are the same crystal, and how far apart their atoms are.

    Parameters
    ----------
    same
        bool [n].
    displacement, largest
        Root mean square and largest displacement in angstrom of the overlay within tolerance
        whose lattices need the least strain [n]; infinite where there is none.
    strain
        Frobenius norm of the strain between the lattices [n]; infinite where there is none.
    """

    same: NDArray[np.bool_]
    displacement: NDArray[np.float64]
    largest: NDArray[np.float64]
    strain: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.same)


@dataclass(frozen=True, eq=False)
class Primitives:
    """Smallest repeating cells of a batch, sorted by element; see :func:`primitives`.

    Parameters
    ----------
    lattice
        float64 [n, 3, 3], reduced cells, angstrom.
    frac
        float64 [3, M], fractional coordinates as three rows.
    numbers
        uint8 [M], atomic numbers, in each crystal the scarcest element first.
    offsets
        int64 [n+1], where each crystal's atoms start.
    """

    lattice: NDArray[np.float64]
    frac: NDArray[np.float64]
    numbers: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.lattice)

    @classmethod
    def concat(cls, parts: list[Primitives]) -> Primitives:
        """Join batches in order."""
        if len(parts) == 1:
            return parts[0]
        sizes = np.concatenate([np.zeros(1, np.int64), *(np.diff(p.offsets) for p in parts)])
        return cls(
            np.concatenate([np.zeros((0, 3, 3)), *(part.lattice for part in parts)]),
            np.concatenate([np.zeros((3, 0)), *(part.frac for part in parts)], axis=1),
            np.concatenate([np.zeros(0, np.uint8), *(part.numbers for part in parts)]),
            np.cumsum(sizes),
        )

    def as_crystals(self) -> Crystals:
        """The same cells as an ordinary batch."""
        return Crystals(self.lattice, self.frac.T.copy(), self.numbers, self.offsets)


def primitives(
    crystals: Crystals, *, tolerance: Tolerance = DEFAULT_TOLERANCE, threads: int = 1
) -> Primitives:
    """The smallest cell of every crystal that repeats within tolerance, sites averaged.

    Parameters
    ----------
    crystals
        Ordered crystals, periodic in three directions.
    tolerance
        How far copies of a site may be apart.
    threads
        Threads that share the work.
    """
    require_bulk(crystals, "Comparing")
    from materialabs.generation.primitive_kernels import primitive_batch

    limits = tolerance.limits()

    def work(bounds: tuple[int, int]) -> Primitives:
        start, stop = bounds
        return Primitives(
            *primitive_batch(
                crystals.lattice[start:stop],
                crystals.frac,
                crystals.numbers,
                crystals.offsets[start : stop + 1],
                COPY_SHARE * limits[0],
                COPY_SHARE * limits[1],
                limits[3],
            )
        )

    return Primitives.concat(
        map_chunks(work, chunk_bounds(len(crystals), PAIRS_A_CHUNK), threads=threads)
    )


def match(
    first: Crystals,
    second: Crystals,
    *,
    tolerance: Tolerance = DEFAULT_TOLERANCE,
    threads: int = 1,
) -> Matches:
    """Compare crystals pair by pair.

    Parameters
    ----------
    first, second
        Batches of the same length n; crystal i of one is compared with crystal i of the other.
    tolerance
        How far copies of one crystal may differ.
    threads
        Threads that share the work.

    Returns
    -------
    Matches
        Pairs with different reduced formulas are different.
    """
    if len(first) != len(second):
        raise InputError(
            f"Crystals are compared pair by pair: {len(first)} and {len(second)} do not pair up."
        )
    from materialabs.generation.overlay_kernels import compare_pairs

    limits = tolerance.limits()

    def work(bounds: tuple[int, int]) -> NDArray[np.float64]:
        pairs = slice(*bounds)
        one = primitives(first[pairs], tolerance=tolerance)
        two = primitives(second[pairs], tolerance=tolerance)
        both = Primitives.concat([one, two])
        rows = np.arange(len(one))
        return np.asarray(
            compare_pairs(
                both.lattice, both.frac, both.numbers, both.offsets, rows, rows + len(one), limits
            )
        )

    require_bulk(first, "Comparing")
    require_bulk(second, "Comparing")
    parts = map_chunks(work, chunk_bounds(len(first), PAIRS_A_CHUNK), threads=threads)
    figures = np.concatenate([np.zeros((0, 3)), *parts])
    displacement, largest, strain = figures.T.copy()
    return Matches(np.isfinite(displacement), displacement, largest, strain)
