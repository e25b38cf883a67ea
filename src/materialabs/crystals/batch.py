"""Many crystals as columns: the type that everything else takes and returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from materialabs.crystals.columns import Columns
from materialabs.crystals.compositions import Compositions, chosen_rows, ragged_rows
from materialabs.crystals.occupancy import Occupancy
from materialabs.errors import DisorderError, InputError

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

SMALLEST_VOLUME = 1e-3
"""Cubic angstrom; a periodic cell below this is refused as having no volume."""


@dataclass(frozen=True, eq=False)
class Crystals:
    """A batch of crystals; immutable.

    Parameters
    ----------
    lattice
        float64 [n, 3, 3], rows are the cell vectors in angstrom.
    frac
        float64 [N, 3], fractional coordinates of all atoms, kept as given.
    numbers
        uint8 [N], atomic numbers; on a shared site, the element with the largest share.
    offsets
        int64 [n+1]; crystal i owns atoms ``offsets[i]:offsets[i+1]``.
    pbc
        bool [n, 3], periodic or not along each cell vector; by default everywhere.
    columns, site_columns
        Named values for each crystal and each atom (:mod:`materialabs.crystals.columns`).
    occupancy
        Partial occupancies, or ``None`` when every site is full.
    """

    lattice: NDArray[np.float64]
    frac: NDArray[np.float64]
    numbers: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    pbc: NDArray[np.bool_] = None  # type: ignore[assignment] # filled in __post_init__
    columns: Columns = field(default=None)  # type: ignore[assignment]
    site_columns: Columns = field(default=None)  # type: ignore[assignment]
    occupancy: Occupancy | None = None

    def __post_init__(self) -> None:
        offsets = np.ascontiguousarray(self.offsets, dtype=np.int64)
        count = len(offsets) - 1
        frac = np.ascontiguousarray(self.frac, dtype=np.float64).reshape(-1, 3)
        lattice = np.ascontiguousarray(self.lattice, dtype=np.float64).reshape(-1, 3, 3)
        numbers = _checked_numbers(self.numbers)
        pbc = np.ones((count, 3), bool) if self.pbc is None else np.array(self.pbc, dtype=bool)
        _check_shapes(lattice, frac, numbers, offsets, pbc)
        arrays: dict[str, NDArray[Any]] = {
            "lattice": lattice, "frac": frac, "numbers": numbers, "offsets": offsets, "pbc": pbc,
        }  # fmt: skip
        for name, array in arrays.items():
            frozen = array.view()
            frozen.setflags(write=False)
            object.__setattr__(self, name, frozen)
        for name, length in (("columns", count), ("site_columns", len(frac))):
            given = getattr(self, name)
            table = given if isinstance(given, Columns) else Columns(length, given)
            if table.length != length:
                raise InputError(f"{name} has {table.length} rows where {length} are needed.")
            object.__setattr__(self, name, table)
        if self.occupancy is not None and len(self.occupancy) != len(frac):
            raise InputError("The occupancy table needs one row for each atom.")

    # -- making -----------------------------------------------------------------------------

    @classmethod
    def empty(cls) -> Self:
        """No crystals at all."""
        return cls(np.zeros((0, 3, 3)), np.zeros((0, 3)), np.zeros(0, np.uint8), np.zeros(1, int))

    @classmethod
    def from_arrays(
        cls,
        lattices: Sequence[ArrayLike],
        fracs: Sequence[ArrayLike],
        numbers: Sequence[ArrayLike],
        *,
        columns: Mapping[str, Any] | None = None,
    ) -> Self:
        """Build from one lattice [3,3], coordinates [m,3] and numbers [m] for each crystal."""
        if not lattices:
            return cls.empty()
        offsets = np.concatenate([[0], np.cumsum([len(np.asarray(z)) for z in numbers])])
        return cls(
            np.array([np.asarray(lattice, float) for lattice in lattices]),
            np.concatenate([np.asarray(frac, float).reshape(-1, 3) for frac in fracs]),
            np.concatenate([np.asarray(z) for z in numbers]),
            offsets,
            columns=columns,  # type: ignore[arg-type]
        )

    @classmethod
    def concat(cls, batches: Sequence[Crystals]) -> Crystals:
        """Join batches in order; columns absent from one are missing there."""
        batches = [batch for batch in batches if len(batch)]
        if not batches:
            return cls.empty()
        if len(batches) == 1:
            return batches[0]
        sizes = np.concatenate([batch.counts for batch in batches])
        tables = [batch.occupancy for batch in batches]
        occupancy = None
        if any(table is not None for table in tables):
            occupancy = Occupancy.concat(
                [
                    Occupancy.full(batch.numbers) if batch.occupancy is None else batch.occupancy
                    for batch in batches
                ]
            )
        return cls(
            np.concatenate([batch.lattice for batch in batches]),
            np.concatenate([batch.frac for batch in batches]),
            np.concatenate([batch.numbers for batch in batches]),
            np.concatenate([[0], np.cumsum(sizes)]),
            np.concatenate([batch.pbc for batch in batches]),
            Columns.concat([batch.columns for batch in batches]),
            Columns.concat([batch.site_columns for batch in batches]),
            occupancy,
        )

    @classmethod
    def from_pymatgen(cls, structures: Structure | Sequence[Structure]) -> Crystals:
        """Take one pymatgen ``Structure``, or several."""
        from materialabs.crystals.convert import from_pymatgen

        return from_pymatgen(structures)

    @classmethod
    def from_ase(cls, atoms: Atoms | Sequence[Atoms]) -> Crystals:
        """Take one ASE ``Atoms``, or several; molecules get a cell and no periodicity."""
        from materialabs.crystals.convert import from_ase

        return from_ase(atoms)

    @classmethod
    def from_bytes(cls, data: bytes) -> Crystals:
        """Read what :meth:`to_bytes` wrote."""
        from materialabs.crystals.codec import decode

        return decode(data)

    # -- giving -----------------------------------------------------------------------------

    def to_pymatgen(self) -> list[Structure]:
        """One pymatgen ``Structure`` for each crystal, partial occupancies included."""
        from materialabs.crystals.convert import to_pymatgen

        return to_pymatgen(self)

    def to_ase(self) -> list[Atoms]:
        """One ASE ``Atoms`` for each crystal; partly occupied sites are refused."""
        from materialabs.crystals.convert import to_ase

        return to_ase(self)

    def to_bytes(self) -> bytes:
        """A compact, exact form for storage."""
        from materialabs.crystals.codec import encode

        return encode(self)

    # -- choosing ---------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, selection: int | slice | ArrayLike) -> Crystals:
        if isinstance(selection, (int, np.integer)) and not -len(self) <= selection < len(self):
            raise IndexError(f"crystal {selection} of {len(self)}")
        return self.take(chosen_rows(len(self), selection))

    def __iter__(self) -> Iterator[Crystals]:
        return (self[index] for index in range(len(self)))

    def take(self, rows: ArrayLike) -> Crystals:
        """The crystals at these positions, in this order, with their columns."""
        chosen = np.asarray(rows, dtype=np.int64)
        atoms, offsets = ragged_rows(self.offsets, chosen)
        return Crystals(
            self.lattice[chosen],
            self.frac[atoms],
            self.numbers[atoms],
            offsets,
            self.pbc[chosen],
            self.columns.take(chosen),
            self.site_columns.take(atoms),
            None if self.occupancy is None else self.occupancy.take(atoms),
        )

    def chunks(self, size: int) -> Iterator[Crystals]:
        """Consecutive parts of at most ``size`` crystals."""
        for start in range(0, len(self), size):
            yield self[start : start + size]

    # -- changing (always a new batch) --------------------------------------------------------

    def replace(self, **changes: Any) -> Crystals:
        """A batch with some of the fields replaced."""
        names = (
            "lattice", "frac", "numbers", "offsets", "pbc", "columns", "site_columns", "occupancy",
        )  # fmt: skip
        unknown = set(changes) - set(names)
        if unknown:
            raise InputError(f"Crystals have no field {sorted(unknown)[0]!r}.")
        return Crystals(**{name: getattr(self, name) for name in names} | changes)

    def with_columns(self, **columns: Any) -> Crystals:
        """A batch with these crystal columns added or replaced."""
        return self.replace(columns=self.columns.with_columns(**columns))

    def with_site_columns(self, **columns: Any) -> Crystals:
        """A batch with these site columns added or replaced."""
        return self.replace(site_columns=self.site_columns.with_columns(**columns))

    def wrapped(self) -> Crystals:
        """Coordinates brought into [0, 1) along periodic directions."""
        periodic = np.repeat(self.pbc, self.counts, axis=0)
        inside = self.frac - np.floor(self.frac)
        inside[inside >= 1.0] = 0.0
        return self.replace(frac=np.where(periodic, inside, self.frac))

    def scaled(self, volumes: ArrayLike) -> Crystals:
        """Cells scaled isotropically to these volumes [n] in cubic angstrom."""
        wanted = np.asarray(volumes, dtype=np.float64)
        if not (np.isfinite(wanted) & (wanted > 0)).all():
            raise InputError("Volumes are cubic angstrom above zero.")
        if wanted.shape not in ((), (len(self),)):
            raise InputError(f"{wanted.size} volumes were given for {len(self)} crystals.")
        factors = np.cbrt(wanted / self.volumes)
        return self.replace(lattice=self.lattice * factors[:, None, None])

    def ordered(self) -> Crystals:
        """An ordered approximant of every disordered crystal, ordered ones unchanged."""
        from materialabs.crystals.ordering import ordered

        return ordered(self)

    # -- derived ------------------------------------------------------------------------------

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of atoms (sites) of each crystal [n]."""
        return np.diff(self.offsets)

    @cached_property
    def owners(self) -> NDArray[np.int64]:
        """The crystal that each atom belongs to [N]."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.counts)

    @property
    def volumes(self) -> NDArray[np.float64]:
        """Cell volume of each crystal [n], cubic angstrom."""
        return np.asarray(np.abs(np.linalg.det(self.lattice)))

    @property
    def positions(self) -> NDArray[np.float64]:
        """Cartesian coordinates [N, 3], angstrom."""
        return np.asarray(np.einsum("ij,ijk->ik", self.frac, self.lattice[self.owners]))

    @cached_property
    def compositions(self) -> Compositions:
        """Amounts of the elements, partial occupancies counted as fractions."""
        if self.occupancy is None:
            return Compositions.from_atoms(self.numbers, self.offsets)
        table = self.occupancy
        return Compositions.from_atoms(
            table.occupants, table.offsets[self.offsets], table.fractions
        )

    def formulas(self) -> list[str]:
        """Full formula of each cell."""
        return self.compositions.formulas()

    def reduced_formulas(self) -> list[str]:
        """Conventional reduced formula of each crystal."""
        return self.compositions.reduced_formulas()

    def ids(self) -> list[str]:
        """The ``id`` column, or the position in the batch where an id is missing."""
        given = self.columns.get("id")
        if given is None:
            return [str(index) for index in range(len(self))]
        return [str(index) if name is None else str(name) for index, name in enumerate(given)]

    def disordered(self) -> NDArray[np.bool_]:
        """True for crystals with a shared or partly empty site [n]."""
        if self.occupancy is None:
            return np.zeros(len(self), dtype=bool)
        return np.bincount(self.owners, self.occupancy.partial(), minlength=len(self)) > 0

    def require_order(self, purpose: str) -> None:
        """Refuse disordered crystals, naming the first.

        Parameters
        ----------
        purpose
            What needs full occupancy, to begin the sentence.
        """
        disordered = self.disordered()
        if disordered.any():
            name = self.ids()[int(np.argmax(disordered))]
            raise DisorderError(
                f"{purpose} needs fully occupied sites and crystal {name!r} has partial ones: "
                "take an ordered approximant with .ordered() first."
            )

    # -- looking --------------------------------------------------------------------------------

    def __repr__(self) -> str:
        if len(self) == 0:
            return "Crystals(none)"
        names = self.formulas()[:3] if len(self) > 3 else self.formulas()
        more = ", ..." if len(self) > 3 else ""
        return f"Crystals({len(self)}: {', '.join(names)}{more}; {len(self.frac)} atoms)"

    def _repr_html_(self) -> str:
        from materialabs.crystals.display import table_html

        return table_html(self)


def _checked_numbers(numbers: ArrayLike) -> NDArray[np.uint8]:
    values = np.asarray(numbers)
    whole = values.dtype.kind in "iu" or (
        values.dtype.kind == "f" and bool((values == np.rint(values)).all())
    )
    if values.size and not whole:
        raise InputError(
            "Atomic numbers are whole numbers, 11 for sodium.", code="crystal.unknown_element"
        )
    if values.size and (values.min() < 1 or values.max() > 118):
        raise InputError(
            f"Atomic numbers run from 1 to 118; {values.min()} ... {values.max()} were given.",
            code="crystal.unknown_element",
        )
    return np.ascontiguousarray(values, dtype=np.uint8)


def _check_shapes(
    lattice: NDArray[np.float64],
    frac: NDArray[np.float64],
    numbers: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    pbc: NDArray[np.bool_],
) -> None:
    count, atoms = len(offsets) - 1, len(frac)
    if count < 0 or offsets[0] != 0 or offsets[-1] != atoms or np.any(np.diff(offsets) < 0):
        raise InputError(f"offsets must rise from 0 to the number of atoms, {atoms}.")
    if len(lattice) != count or pbc.shape != (count, 3) or len(numbers) != atoms:
        raise InputError(
            f"{count} crystals with {atoms} atoms need lattice [{count},3,3], pbc [{count},3] and "
            f"numbers [{atoms}]."
        )
    if not np.all(np.isfinite(lattice)):
        raise InputError("A cell has coordinates that are not numbers.", code="crystal.not_finite")
    if not np.all(np.isfinite(frac)):
        raise InputError("An atom has coordinates that are not numbers.", code="crystal.not_finite")
    if count and np.abs(np.linalg.det(lattice)).min() < SMALLEST_VOLUME:
        index = int(np.argmin(np.abs(np.linalg.det(lattice))))
        raise InputError(f"The cell of crystal {index} has no volume.", code="crystal.no_volume")
