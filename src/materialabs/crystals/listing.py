"""A batch as rows that a person reads: formula, space group, prototype, volume, density."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.elements import ATOMIC_MASS
from materialabs.units import GRAM_PER_CUBIC_CENTIMETRE_PER_AMU_PER_CUBIC_ANGSTROM


def densities(crystals: Crystals) -> NDArray[np.float64]:
    """Mass density of each crystal [n], g/cm^3, partial occupancies counted as fractions."""
    compositions = crystals.compositions
    elements = compositions.present()
    masses = compositions.dense(elements) @ ATOMIC_MASS[list(elements)]
    return np.asarray(
        masses / crystals.volumes * GRAM_PER_CUBIC_CENTIMETRE_PER_AMU_PER_CUBIC_ANGSTROM
    )


def listing(crystals: Crystals, *, tolerance: float = 0.01) -> list[dict[str, Any]]:
    """One row for each crystal, ready to print or to write as JSON.

    Parameters
    ----------
    crystals
        Any batch; disordered crystals are listed too.
    tolerance
        Symmetry tolerance, angstrom.
    """
    from materialabs.crystals.protostructure import prototype_labels
    from materialabs.crystals.symmetry import symmetry

    found = symmetry(crystals, tolerance)
    symbols = found.symbols()
    disordered = crystals.disordered()
    labels = prototype_labels(crystals.replace(occupancy=None), tolerance, found=found)
    return [
        {
            "id": name,
            "formula": formula,
            "sites": int(count),
            "space group": f"{symbol} ({number})" if number else "-",
            "prototype": "-" if partial else label or "-",
            "volume (Å³/atom)": round(float(volume / count), 3),
            "density (g/cm³)": round(float(density), 3),
            "order": "partial" if partial else "full",
        }
        for name, formula, count, number, symbol, label, volume, density, partial in zip(
            crystals.ids(),
            crystals.reduced_formulas(),
            crystals.counts,
            found.number,
            symbols,
            labels,
            crystals.volumes,
            densities(crystals),
            disordered,
            strict=True,
        )
    ]
