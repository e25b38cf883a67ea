"""The cell that DFT computes: primitive, exactly symmetric, and the way back to the given one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.symmetry import TOLERANCE, operations, primitive, refined

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

SAME_PLACE: Final = 1e-5
"""Fraction of a cell vector; an exactly symmetric cell puts equivalent atoms closer than this."""

VACUUM: Final = 6.0
"""Angstrom; atoms that stay this far from all their images are a molecule, not a crystal."""

WHOLE: Final = 1e-3
"""Numbers closer than this to whole ones are whole."""


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
    origin
        [3], the place in the given cell, in primitive vectors, that is the origin here.
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
    origin: Floats
    rotations: Floats
    images: Indices
    molecule: bool

    @classmethod
    def of(cls, crystal: Crystals, tolerance: float = TOLERANCE) -> DftCell:
        """Find the primitive cell of one crystal, in its orientation and with its origin."""
        exact = refined(crystal, tolerance)
        lattice, frac = exact.lattice[0], exact.frac
        multiple = _multiple(lattice, exact, tolerance)
        within = frac @ multiple
        members, representatives = _copies(within, exact.numbers)
        numbers = exact.numbers[representatives]
        primitive_lattice = np.linalg.inv(multiple) @ lattice
        found = _operations_of(primitive_lattice, within[representatives], numbers, tolerance)
        origin = _origin(within[representatives], found)
        places = within[representatives] - origin
        chosen = places - np.floor(places)
        shifts = np.rint(within - origin - chosen[members]).astype(np.int64)
        return cls(
            primitive_lattice, chosen, numbers, multiple, members, shifts, origin,
            found.rotations, found.images, is_molecule(primitive_lattice, chosen),
        )  # fmt: skip

    def given(self, crystal: Crystals, lattice: Floats, frac: Floats) -> Crystals:
        """The given crystal with what its primitive cell has become; atoms in the order given."""
        inverse = np.linalg.inv(self.multiple)
        moved = (frac[self.members] + self.shifts + self.origin) @ inverse
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


def _multiple(lattice: Floats, exact: Crystals, tolerance: float) -> Indices:
    """Whole numbers [3, 3] that lead from the standard primitive vectors to the given ones.

    The standard vectors are as alike as the symmetry allows; k-points on a mesh over others
    would be fewer symmetry's worth.
    """
    wanted = lattice @ np.linalg.inv(primitive(exact, tolerance).lattice[0])
    whole = np.rint(wanted)
    if np.abs(wanted - whole).max() > WHOLE or abs(np.linalg.det(whole)) < 1 - WHOLE:
        return np.eye(3, dtype=np.int64)
    return np.asarray(whole * np.sign(np.linalg.det(whole)), dtype=np.int64)


def _origin(frac: Floats, found: _Found) -> Floats:
    """The origin as it is, or the atom, that lets programs reduce the k-points most.

    They use the operations that keep the origin without a translation, each also with k turned
    to minus k (time reversal).
    """
    places = np.vstack([np.zeros(3), frac])
    kept = []
    for place in places:
        left = found.translations + found.rotations @ place - place
        still = (np.abs(left - np.rint(left)) < 100 * SAME_PLACE).all(axis=1)
        turns = np.rint(found.rotations[still]).astype(np.int8)
        kept.append(len({turn.tobytes() for turn in np.concatenate([turns, -turns])}))
    return np.asarray(places[int(np.argmax(kept))])


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


@dataclass(frozen=True, eq=False)
class _Found:
    """Operations of a primitive cell: x -> R x + t, and where each takes each atom [k, m]."""

    rotations: Floats
    translations: Floats
    images: Indices


def _operations_of(
    lattice: Floats, frac: Floats, numbers: NDArray[np.uint8], tolerance: float
) -> _Found:
    """The operations that fit exactly."""
    cell = Crystals.from_arrays([lattice], [frac], [numbers])
    rotations, translations, images = [], [], []
    for rotation, translation in zip(*operations(cell, tolerance).of(0), strict=True):
        moved = frac @ rotation.T + translation
        apart = moved[:, None] - frac[None]
        distance = np.abs(apart - np.rint(apart)).max(axis=2)
        distance[numbers[:, None] != numbers[None]] = np.inf
        nearest = distance.argmin(axis=1)
        if distance.min(axis=1).max() < 100 * SAME_PLACE and len(set(nearest)) == len(frac):
            rotations.append(rotation)
            translations.append(translation)
            images.append(nearest)
    return _Found(
        np.array(rotations, dtype=float), np.array(translations, dtype=float),
        np.array(images, dtype=np.int64),
    )  # fmt: skip
