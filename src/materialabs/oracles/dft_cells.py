"""The cell that DFT computes: primitive, exactly symmetric, and the way back to the given one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.symmetry import TOLERANCE, operations, refined

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

SAME_PLACE: Final = 1e-5
"""Fraction of a cell vector; an exactly symmetric cell puts equivalent atoms closer than this."""

VACUUM: Final = 6.0
"""Angstrom; atoms that stay this far from all their images are a molecule, not a crystal."""

MOST_TRANSLATIONS: Final = 48
"""Primitive cells in a given cell that are looked for."""


@dataclass(frozen=True, eq=False)
class DftCell:
    """What is computed for one crystal.

    Parameters
    ----------
    lattice
        [3, 3], angstrom: the primitive cell.
    frac
        [m, 3], in that cell.
    numbers
        uint8 [m].
    multiple
        int64 [3, 3]; the given cell's vectors are ``multiple @ lattice``.
    members
        int64 [M], for each given atom the computed atom that it is a copy of.
    shifts
        int64 [M, 3], and the primitive vectors between the two.
    rotations
        float64 [k, 3, 3], symmetry operations on columns of fractional coordinates.
    images
        int64 [k, m], the atom to which each operation takes each atom.
    molecule
        Whether this is a molecule in an empty box, whose cell means nothing.
    """

    lattice: Floats
    frac: Floats
    numbers: NDArray[np.uint8]
    multiple: Indices
    members: Indices
    shifts: Indices
    rotations: Floats
    images: Indices
    molecule: bool

    @classmethod
    def of(cls, crystal: Crystals, tolerance: float = TOLERANCE) -> DftCell:
        """Find the primitive cell of one crystal, in its orientation and with its origin."""
        exact = refined(crystal, tolerance)
        lattice, frac = exact.lattice[0], exact.frac
        found = operations(exact, tolerance)
        rotations, translations = found.of(0)
        pure = translations[(rotations == np.eye(3, dtype=int)).all(axis=(1, 2))]
        small = _generated_lattice(pure[:MOST_TRANSLATIONS]) if len(pure) > 1 else np.eye(3)
        multiple = np.rint(np.linalg.inv(small)).astype(np.int64)
        within = frac @ multiple
        members, representatives = _copies(within, exact.numbers)
        chosen = within[representatives] - np.floor(within[representatives])
        primitive = small @ lattice
        shifts = np.rint(within - chosen[members]).astype(np.int64)
        numbers = exact.numbers[representatives]
        rotated, images = _operations_of(primitive, chosen, numbers, tolerance)
        return cls(
            primitive, chosen, numbers, multiple, members, shifts, rotated, images,
            is_molecule(primitive, chosen),
        )  # fmt: skip

    def given(self, crystal: Crystals, lattice: Floats, frac: Floats) -> Crystals:
        """The given crystal with what its primitive cell has become; atoms in the order given."""
        inverse = np.linalg.inv(self.multiple)
        moved = (frac[self.members] + self.shifts) @ inverse
        whole = np.rint(crystal.frac - moved)
        return crystal.replace(lattice=(self.multiple @ lattice)[None], frac=moved + whole)

    # -- what symmetry leaves -------------------------------------------------------------------

    def symmetric_vectors(self, vectors: Floats, lattice: Floats) -> Floats:
        """Vectors on the atoms [m, 3], such as forces, averaged over the operations."""
        components = vectors @ np.linalg.inv(lattice)
        turned = np.einsum("kij,aj->kai", self.rotations, components)
        total = np.zeros_like(components)
        for turn, image in zip(turned, self.images, strict=True):
            total[image] += turn
        return np.asarray(total / len(self.rotations) @ lattice)

    def symmetric_tensor(self, tensor: Floats, lattice: Floats) -> Floats:
        """A symmetric tensor [3, 3], such as the stress, averaged over the operations."""
        columns = lattice.T
        cartesian = columns @ self.rotations @ np.linalg.inv(columns)
        return np.asarray(np.mean(cartesian @ tensor @ cartesian.transpose(0, 2, 1), axis=0))

    def has_free_positions(self) -> bool:
        """Whether symmetry lets any atom move against the others."""
        probe = np.random.default_rng(0).normal(size=self.frac.shape)
        moved = self.symmetric_vectors(probe - probe.mean(axis=0), self.lattice)
        return bool(np.abs(moved - moved.mean(axis=0)).max() > SAME_PLACE)

    def has_free_shape(self) -> bool:
        """Whether symmetry lets the cell change other than in volume."""
        probe = np.random.default_rng(0).normal(size=(3, 3))
        strain = self.symmetric_tensor(probe + probe.T, self.lattice)
        return bool(np.abs(strain - np.eye(3) * np.trace(strain) / 3).max() > SAME_PLACE)


def is_molecule(lattice: Floats, frac: Floats) -> bool:
    """Whether the atoms stand at least :data:`VACUUM` from all their periodic images."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    gaps = [height * _widest_gap(column) for height, column in zip(heights, frac.T, strict=True)]
    return bool(min(gaps) > VACUUM)


def _widest_gap(places: Floats) -> float:
    """The widest empty interval between fractional coordinates on a circle."""
    ordered = np.sort(places - np.floor(places))
    return float(np.max(np.append(np.diff(ordered), ordered[0] + 1.0 - ordered[-1])))


def _generated_lattice(translations: Floats) -> Floats:
    """Rows that generate the whole vectors and these fractional translations [t, 3]."""
    from moyopy import minkowski_reduce

    scale = len(translations)
    rows = np.vstack([np.eye(3) * scale, translations * scale])
    whole = [[int(value) for value in row] for row in np.rint(rows)]
    basis = np.array(_triangular(whole), dtype=float) / scale
    reduced = np.asarray(minkowski_reduce(basis.tolist())[0], dtype=float)
    return np.asarray(reduced * np.sign(np.linalg.det(reduced)))


def _triangular(rows: list[list[int]]) -> list[list[int]]:
    """A triangular basis of the lattice that these whole vectors generate (Euclid, by columns)."""
    basis = []
    for column in range(3):
        while True:
            live = sorted((r for r in rows if r[column]), key=lambda r: abs(r[column]))
            if len(live) == 1:
                break
            smallest = live[0]
            for row in live[1:]:
                factor = row[column] // smallest[column]
                row[:] = [a - factor * b for a, b in zip(row, smallest, strict=True)]
        basis.append(live[0])
        rows = [row for row in rows if row is not live[0]]
    return basis


def _copies(frac: Floats, numbers: NDArray[np.uint8]) -> tuple[Indices, Indices]:
    """Which atoms coincide modulo one: the class of each [M], and a first atom of each class."""
    members = np.full(len(frac), -1, dtype=np.int64)
    representatives: list[int] = []
    for atom in range(len(frac)):
        if members[atom] >= 0:
            continue
        apart = frac - frac[atom]
        same = (np.abs(apart - np.rint(apart)) < 100 * SAME_PLACE).all(axis=1)
        members[same & (numbers == numbers[atom])] = len(representatives)
        representatives.append(atom)
    return members, np.array(representatives, dtype=np.int64)


def _operations_of(
    lattice: Floats, frac: Floats, numbers: NDArray[np.uint8], tolerance: float
) -> tuple[Floats, Indices]:
    """Rotations [k, 3, 3] and where each takes each atom [k, m]; those that fit exactly."""
    cell = Crystals.from_arrays([lattice], [frac], [numbers])
    found = operations(cell, tolerance)
    rotations, images = [], []
    for rotation, translation in zip(*found.of(0), strict=True):
        moved = frac @ rotation.T + translation
        apart = moved[:, None] - frac[None]
        distance = np.abs(apart - np.rint(apart)).max(axis=2)
        distance[numbers[:, None] != numbers[None]] = np.inf
        nearest = distance.argmin(axis=1)
        if distance.min(axis=1).max() < 100 * SAME_PLACE and len(set(nearest)) == len(frac):
            rotations.append(rotation)
            images.append(nearest)
    return np.array(rotations, dtype=float), np.array(images, dtype=np.int64)
