"""Operations of a CIF that names its space group and lists none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from materialabs.crystals.files.cif_symmetry import Operations
from materialabs.errors import FileError

HALL_SYMBOLS: Final = 530
"""Settings of the 230 space groups that are numbered (S. R. Hall, Acta Cryst. A 37, 517, 1981)."""

LOOSE_FIT: Final = 0.1
"""Largest change of a product of two cell vectors under an operation, over their lengths."""

_SETTING: Final = re.compile(r"(?:\s*:\s*([12HRZS])|\s+([HRZS]))\s*$", re.IGNORECASE)

_ORIGINS: Final = {"S": "1", "Z": "2"}
"""Letters of the Inorganic Crystal Structure Database: origin choice 1, and at the centre."""


def fits_cell(lattice: ArrayLike, operations: Operations) -> bool:
    """Whether a cell [3, 3] has, loosely, the symmetry of operations."""
    vectors = np.asarray(lattice, dtype=np.float64)
    metric = vectors @ vectors.T
    scale = np.sqrt(np.outer(np.diag(metric), np.diag(metric)))
    turned = np.einsum("pji,jk,pkl->pil", operations.rotations, metric, operations.rotations)
    return bool((np.abs(turned - metric) <= LOOSE_FIT * scale).all())


def require_fit(lattice: ArrayLike, operations: Operations) -> None:
    """Refuse a cell that its own operations would change."""
    if not fits_cell(lattice, operations):
        raise FileError("has a cell without the symmetry that it states: correct one of them")


def operations_named(names: Sequence[str | None], lattice: ArrayLike) -> Operations | None:
    """Operations of a Hermann-Mauguin symbol that says its setting, or whose cell shows it.

    A symbol may end in ``:1``, ``:2``, ``:H``, ``:R`` or in ICSD's ``S``, ``Z``, ``H``, ``R``; and
    a rhombohedral group without one stands in rhombohedral axes where the cell has them.

    Parameters
    ----------
    names
        Symbols as the file has them.
    lattice
        [3, 3], rows are vectors.

    Returns
    -------
    The operations; ``None`` for a symbol that is not known or that a default setting fits.

    Raises
    ------
    FileError
        When the cell has not the symmetry of any setting of a known symbol.
    """
    for name in names:
        setting, halls = _settings_of(name or "")
        if not halls:
            continue
        meant = halls if setting else [halls[0], *(h for h in halls if _entry(h).setting == "R")]
        fitting = [hall for hall in meant if fits_cell(lattice, _operations(hall))]
        if not fitting:
            raise FileError(
                f"has a cell without the symmetry of its space group {name}: correct one of them"
            )
        return _operations(fitting[0]) if setting or fitting[0] != halls[0] else None
    return None


def _settings_of(name: str) -> tuple[str, list[int]]:
    """The setting that a symbol states, and the Hall numbers that it can mean."""
    found = _SETTING.search(name)
    setting = (found[1] or found[2]).upper() if found else ""
    halls = _table().get(_bare(name[: found.start()] if found else name), [])
    wanted = _ORIGINS.get(setting, setting)
    return setting, [hall for hall in halls if not wanted or _entry(hall).setting == wanted]


def _bare(name: str) -> str:
    return re.sub(r"[\s_]", "", name).lower()


@lru_cache(maxsize=1)
def _table() -> dict[str, list[int]]:
    """Hall numbers of each symbol, short and full, without blanks."""
    table: dict[str, list[int]] = {}
    for hall in range(1, HALL_SYMBOLS + 1):
        entry = _entry(hall)
        for name in dict.fromkeys((_bare(entry.hm_short), _bare(entry.hm_full))):
            table.setdefault(name, []).append(hall)
    return table


def _entry(hall: int) -> Any:
    from moyopy import HallSymbolEntry

    return HallSymbolEntry(hall)


@lru_cache(maxsize=HALL_SYMBOLS)
def _operations(hall: int) -> Operations:
    from moyopy import Setting, operations_from_number

    found = operations_from_number(_entry(hall).number, setting=Setting.hall_number(hall))
    return Operations(
        np.array(found.rotations, dtype=np.float64), np.array(found.translations, dtype=np.float64)
    )
