"""The volume that a composition takes as a crystal, estimated from its elements."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib import resources
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.compositions import Compositions
from materialabs.elements import ELECTRONEGATIVITY, SYMBOLS, atomic_number
from materialabs.errors import InputError

SMALLEST_SHARE: Final = 0.25
"""An atom's volume never falls below this share of its typical one, whatever its company."""

LARGEST_SHARE: Final = 2.0
"""An atom's volume never rises above this share of its typical one."""


def estimated_volumes(compositions: Compositions) -> NDArray[np.float64]:
    """Estimate the volume of one formula of each composition, as a crystal at no pressure.

    Every atom brings its element's typical volume, changed in proportion to how much more
    electronegative the compound is on average than the element itself (a cation shrinks, an
    anion among cations too). The numbers are fitted to Materials Project crystals (CC BY 4.0;
    ``atomic_volumes.json`` states source and validation): on formulas kept from the fit, 95 % of
    the estimates are within 25 % of the PBE volume and half within 5 %. A pure element takes the
    volume of its reference structure (:mod:`materialabs.crystals.references`), since the same
    atoms are larger among themselves than in compounds.

    Parameters
    ----------
    compositions
        Amounts per formula, or per cell; n of them.

    Returns
    -------
    NDArray[np.float64]
        [n], cubic angstrom for the amounts given.

    Raises
    ------
    InputError
        Naming an element beyond curium, for which nothing is known.
    """
    typical, response, electronegativity, pure = _tables()
    elements = compositions.elements
    unknown = np.isnan(typical[elements])
    if unknown.any():
        symbol = SYMBOLS[int(elements[np.argmax(unknown)])]
        raise InputError(
            f"No atomic volume is known for {symbol}: give the volume yourself.",
            code="volume.unknown_element",
        )
    owner = np.repeat(np.arange(len(compositions)), np.diff(compositions.offsets))
    amounts = compositions.amounts
    total = np.bincount(owner, amounts, minlength=len(compositions))
    weighted = np.bincount(
        owner, amounts * electronegativity[elements], minlength=len(compositions)
    )
    mean = weighted / np.where(total > 0, total, 1.0)
    change = response[elements] * (mean[owner] - electronegativity[elements])
    base = typical[elements]
    atomic = np.clip(base + change, SMALLEST_SHARE * base, LARGEST_SHARE * base)
    alone = (np.diff(compositions.offsets) == 1)[owner] & np.isfinite(pure[elements])
    atomic = np.where(alone, pure[elements], atomic)
    return np.asarray(np.bincount(owner, amounts * atomic, minlength=len(compositions)))


@lru_cache(maxsize=1)
def _tables() -> tuple[NDArray[np.float64], ...]:
    """Typical volume, change per unit of electronegativity, electronegativity, pure; each [119]."""
    text = resources.files("materialabs.crystals").joinpath("atomic_volumes.json").read_text()
    document: dict[str, Any] = json.loads(text)
    typical, response = np.full(len(SYMBOLS), np.nan), np.full(len(SYMBOLS), np.nan)
    for symbol, row in document["elements"].items():
        typical[atomic_number(symbol)] = row["volume"]
        response[atomic_number(symbol)] = row["per_electronegativity"]
    default = float(document["electronegativity_default"])
    known = np.isfinite(ELECTRONEGATIVITY)
    pure = np.full(len(SYMBOLS), np.nan)
    for symbol, volume in document["pure"].items():
        pure[atomic_number(symbol)] = volume
    return typical, response, np.where(known, ELECTRONEGATIVITY, default), pure
