"""Ordered approximants: a supercell with whole atoms in place of partly occupied sites.

The smallest supercell that states the occupancies closely enough is taken, in its most compact
shape. Its atoms are then placed so that every element, and every vacancy, is spread as evenly as
the sites allow: the sum over wave vectors G of the squared composition waves |S(G)|^2, weighted
by exp(-(G s)^2) / G^2, is made small. That sum is the electrostatic energy of like atoms repelling
one another, each smeared over the width s, so fluctuations over long distances cost most; at equal
shares it yields rock salt on a simple cubic lattice and caesium chloride on a body-centred one.
Atoms are kept off one another where a site is split.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.columns import Column, missing_like
from materialabs.crystals.placement import CLASH, GAIN, VACANCY, Sites, improved
from materialabs.crystals.supercells import compact_supercell
from materialabs.elements import COVALENT_RADIUS
from materialabs.errors import DisorderError, InputError

LARGEST: Final = 200
"""Sites of the largest supercell that is tried by default."""

TOLERANCE: Final = 0.05
"""Largest difference between a site's occupancy and the share of atoms that stands for it."""

STARTS: Final = 12
"""Random arrangements that are improved until no exchange helps; the best is kept."""

CONTACT: Final = 0.6
"""Atoms closer than this share of their summed covalent radii cannot both be there."""

SHARE_DIGITS: Final = 4
"""Occupancies that agree to this many digits make one kind of site."""

RESULTS: Final = (
    "energy", "formation_energy", "correction", "band_gap", "stress", "magnetization",
    "space_group",
)  # fmt: skip
"""Columns that describe the disordered crystal alone; missing for its approximant."""

Array = NDArray[np.float64]
Whole = NDArray[np.int64]


def ordered(
    crystals: Crystals, *, largest: int = LARGEST, tolerance: float = TOLERANCE, seed: int = 0
) -> Crystals:
    """An ordered approximant of every disordered crystal; ordered crystals are unchanged.

    Parameters
    ----------
    crystals
        The batch; its order is kept.
    largest
        Sites, empty ones included, of the largest supercell that may be made.
    tolerance
        Largest difference allowed between an occupancy and the share of sites that stands for it.
    seed
        Of the random starts of the placement; the same seed gives the same crystals.

    Returns
    -------
    Crystals
        Fully occupied. An approximant has the disordered crystal's id as ``parent``, and in
        ``ordering_error`` the largest difference between an occupancy and its stand-in (0 for
        crystals that were ordered). Columns with results of the disordered crystal are missing.

    Raises
    ------
    DisorderError
        Naming a crystal that no supercell within the limit can stand for, or whose occupancies
        put atoms on one another in every arrangement.
    """
    if largest < 1 or not 0 < tolerance < 1:
        raise InputError("An approximant needs a site at least, and a tolerance between 0 and 1.")
    disordered = crystals.disordered()
    if not disordered.any():
        return crystals
    names, rows = crystals.ids(), np.flatnonzero(disordered)
    made = [_approximant(crystals[int(row)], names[row], largest, tolerance, seed) for row in rows]
    kept = np.flatnonzero(~disordered)
    joined = Crystals.concat([crystals[kept].replace(occupancy=None), *(one for one, _ in made)])
    parents = np.array(crystals.columns.get("parent", [None] * len(crystals)), dtype=object)
    errors = np.zeros(len(crystals))
    parents[rows] = [names[row] for row in rows]
    errors[rows] = [error for _, error in made]
    return joined.take(np.argsort(np.concatenate([kept, rows]))).with_columns(
        parent=parents, ordering_error=errors
    )


@dataclass(frozen=True)
class _Mixture:
    """Sites of one kind of occupancy.

    ``sites`` are their places in the crystal; ``occupants`` atomic numbers with 0 for a vacancy,
    and ``shares`` sum to one.
    """

    sites: Whole
    occupants: Whole
    shares: Array


def _approximant(
    crystal: Crystals, name: str, largest: int, tolerance: float, seed: int
) -> tuple[Crystals, float]:
    mixtures = _mixtures(crystal)
    copies = _copies(mixtures, crystal, name, largest, tolerance)
    matrix, points = compact_supercell(crystal.lattice[0], copies, tuple(crystal.pbc[0].tolist()))
    lattice = matrix @ crystal.lattice[0]
    frac = ((crystal.frac[:, None] + points[None]) @ np.linalg.inv(matrix)).reshape(-1, 3)
    blocks, error = [], 0.0
    for mixture in mixtures:
        places = (mixture.sites[:, None] * copies + np.arange(copies)).ravel()
        counts = _apportioned(mixture.shares, len(places))
        error = max(error, float(np.abs(counts / len(places) - mixture.shares).max()))
        blocks.append((places, np.repeat(mixture.occupants, counts)))
    reach = CONTACT * np.repeat(_smallest_radii(crystal), copies)
    occupants = _placed(lattice, frac, blocks, reach, crystal.pbc[0], name, seed)
    placed = np.concatenate([places for places, _ in blocks])
    return _built(crystal, name, lattice, frac, placed, occupants), error


def _mixtures(crystal: Crystals) -> list[_Mixture]:
    """Group the disordered sites by what occupies them, vacancies written as element 0."""
    table = crystal.occupancy
    assert table is not None
    kinds: dict[tuple[tuple[int, float], ...], list[int]] = {}
    for site in np.flatnonzero(table.partial()).tolist():
        part = slice(table.offsets[site], table.offsets[site + 1])
        shares = np.round(table.fractions[part], SHARE_DIGITS).tolist()
        key = tuple(sorted(zip(table.occupants[part].tolist(), shares, strict=True)))
        kinds.setdefault(key, []).append(site)
    mixtures = []
    for key, sites in kinds.items():
        occupants = [number for number, _ in key]
        shares = [share for _, share in key]
        empty = 1.0 - sum(shares)
        if empty > 10.0**-SHARE_DIGITS:
            occupants, shares = [0, *occupants], [empty, *shares]
        total = sum(shares)
        mixtures.append(_Mixture(np.array(sites), np.array(occupants), np.array(shares) / total))
    return mixtures


def _copies(
    mixtures: list[_Mixture], crystal: Crystals, name: str, largest: int, tolerance: float
) -> int:
    """The smallest number of cells in which all shares are met within the tolerance."""
    most = largest // len(crystal.frac) if crystal.pbc[0].any() else 1
    for copies in range(1, most + 1):
        if all(_error(mixture, copies) <= tolerance for mixture in mixtures):
            return copies
    best = min(
        (max(_error(mixture, copies) for mixture in mixtures) for copies in range(1, most + 1)),
        default=1.0,
    )
    raise DisorderError(
        f"Crystal {name!r} has no ordered approximant of at most {largest} sites within "
        f"{tolerance:g} of its occupancies (the nearest is {best:.3f} off): raise 'largest' or "
        "'tolerance'.",
        code="ordering.limit",
    )


def _error(mixture: _Mixture, copies: int) -> float:
    sites = len(mixture.sites) * copies
    return float(np.abs(_apportioned(mixture.shares, sites) / sites - mixture.shares).max())


def _apportioned(shares: Array, sites: int) -> Whole:
    """Whole numbers that sum to the sites and follow the shares (largest remainders)."""
    exact = shares * sites
    counts = np.floor(exact + 1e-9).astype(np.int64)
    order = np.argsort(-(exact - counts), kind="stable")
    counts[order[: sites - counts.sum()]] += 1
    return counts


# -- placing --------------------------------------------------------------------------------------


def _placed(
    lattice: Array,
    frac: Array,
    blocks: list[tuple[Whole, Whole]],
    reach: Array,
    pbc: NDArray[np.bool_],
    name: str,
    seed: int,
) -> Whole:
    """Atomic numbers on the sites of all blocks, 0 for empty, arranged to the least cost."""
    chosen = np.concatenate([places for places, _ in blocks])
    pool = np.concatenate([occupants for _, occupants in blocks])
    block = np.repeat(np.arange(len(blocks)), [len(places) for places, _ in blocks])
    sites = Sites.in_crystal(lattice, frac, chosen, block, reach, pbc)
    random = np.random.default_rng(seed)
    best, least = pool, np.inf
    for _ in range(STARTS):
        order = np.lexsort((random.random(len(pool)), block))
        occupants, cost = improved(sites, pool[order])
        if cost < least - GAIN:
            best, least = occupants, cost
    if least >= CLASH / 2:
        raise DisorderError(
            f"The occupancies of crystal {name!r} put atoms on one another in every arrangement "
            "tried: correct its split sites.",
            code="ordering.contact",
        )
    return best


def _smallest_radii(crystal: Crystals) -> Array:
    """Covalent radius of the smallest occupant of each site [N], angstrom."""
    table = crystal.occupancy
    assert table is not None
    radii = np.nan_to_num(COVALENT_RADIUS[table.occupants], nan=0.0)
    return np.asarray(np.minimum.reduceat(radii, table.offsets[:-1]))


def _built(
    crystal: Crystals, name: str, lattice: Array, frac: Array, placed: Whole, occupants: Whole
) -> Crystals:
    """The supercell without its empty sites, columns carried as far as they still hold."""
    copies = len(frac) // len(crystal.frac)
    source = np.repeat(np.arange(len(crystal.frac)), copies)
    numbers = crystal.numbers[source].astype(np.int64)
    numbers[placed] = occupants
    mixed = np.zeros(len(frac), bool)
    mixed[placed] = True
    kept = np.flatnonzero(numbers != VACANCY)
    if not len(kept):
        raise DisorderError(
            f"Crystal {name!r} is so sparsely occupied that an ordered cell of it holds no atoms: "
            "allow a larger cell.",
            code="ordering.empty",
        )
    site_columns = crystal.site_columns.take(source[kept])
    if "oxidation_state" in site_columns:
        states = np.where(mixed[kept], np.nan, site_columns["oxidation_state"])
        site_columns = site_columns.with_columns(oxidation_state=states)
    made = Crystals(
        lattice[None],
        frac[kept],
        numbers[kept].astype(np.uint8),
        np.array([0, len(kept)]),
        crystal.pbc,
        crystal.columns.with_columns(**_changed_columns(crystal, name, copies)),
        site_columns,
    )
    return made.wrapped() if copies > 1 else made


def _changed_columns(crystal: Crystals, name: str, copies: int) -> dict[str, Column]:
    """Results go missing, the cell's charge grows with it, and the id tells it apart."""
    columns = crystal.columns
    changed = {result: missing_like(columns[result], 1) for result in RESULTS if result in columns}
    if "charge" in columns:
        changed["charge"] = columns["charge"] * copies
    if "id" in columns:
        changed["id"] = np.array([f"{name} ordered"], dtype=object)
    return changed
