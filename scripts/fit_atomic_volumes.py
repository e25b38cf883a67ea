"""Write src/materialabs/crystals/atomic_volumes.json: the volume an atom takes in a crystal.

Fits, on public Materials Project crystals, a volume for each element and how it changes with
the company the atom keeps (its compound's mean electronegativity against its own). Only crystals
whose reduced formula hashes below 85 (MD5 modulo 100) are seen; the others give the validation
figures in the file. Run with ``python scripts/fit_atomic_volumes.py``; the file is committed.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.compositions import Compositions
from materialabs.crystals.volumes import estimated_volumes
from materialabs.elements import ELECTRONEGATIVITY, SYMBOLS, atomic_number

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "src" / "materialabs" / "crystals" / "atomic_volumes.json"
DATA = Path(os.environ.get("MATERIALABS_DATA", ROOT.parent / "shared" / "data"))
TRAINING_SHARE = 85
"""Percent of the reduced formulas, by MD5, that the fit may see."""
ROUNDS = 30
"""Reweightings towards least absolute relative deviations."""
SMALLEST_DEVIATION = 0.05
"""Relative deviations below this are weighted alike."""
PENALTIES = (0.001, 0.01, 0.1, 1.0)
"""Ridge penalties on the environment terms that five-fold validation chooses from."""
SOLID_VOLUMES = {"Ne": 4.46**3 / 4, "Ar": 5.31**3 / 4}
"""Elements that form no crystal in the data: face-centred cubic solids at 4 K (Kittel, 2005)."""
STAND_INS = {"Po": "Te", "At": "I", "Rn": "Xe", "Fr": "Cs", "Ra": "Ba", "Am": "Pu", "Cm": "Pu"}
"""Elements without a crystal in the data, and the neighbour whose numbers they take."""
LAST_ELEMENT = 96
"""Curium; nothing is estimated beyond."""

SOURCE = (
    "Fitted to Materials Project crystals (A. Jain et al., APL Mater. 1, 011002, 2013; CC BY 4.0; "
    "2018 snapshot, PBE): least absolute relative deviations, environment terms with a ridge "
    "penalty chosen by five-fold validation. Elements without a crystal there (crystals 0) take "
    "a neighbour's numbers in the periodic table; Ne and Ar from their solids at 4 K (C. Kittel, "
    "Introduction to Solid State Physics, 2005)."
)

Array = NDArray[np.float64]


def main() -> None:
    """Fit, write, and validate what was written through the function that reads it."""
    compositions, volumes, hashes = read()
    training = hashes % 100 < TRAINING_SHARE
    document = fitted(compositions[training], volumes[training], hashes[training])
    document["pure"] = pure_volumes()
    TARGET.write_text(json.dumps(document, indent=0) + "\n")
    relative = estimated_volumes(compositions[~training]) / volumes[~training]
    document["validation"] = {
        "crystals": int((~training).sum()),
        "share_within_25_percent": share_within(relative, 0.25),
        "share_within_15_percent": share_within(relative, 0.15),
        "median_deviation": round(float(np.median(np.abs(relative - 1))), 4),
    }
    TARGET.write_text(json.dumps(document, indent=0) + "\n")
    print({name: value for name, value in document.items() if name != "elements"})


DISPERSION_BOUND = frozenset({"He", "Ne", "Ar", "Kr", "Xe", "Rn"})
"""Solids that PBE, the reference structures' level, makes far too large."""


def pure_volumes() -> dict[str, float]:
    """Volume of an atom in the element itself, from its reference structure; molecules left out."""
    from materialabs.crystals.references import reference_crystals

    crystals = reference_crystals()
    per_atom = crystals.volumes / crystals.counts
    return {
        name: round(float(volume), 3)
        for name, volume, phase in zip(
            crystals.ids(), per_atom, crystals.columns["phase"], strict=True
        )
        if "molecule" not in phase and name not in DISPERSION_BOUND
    }


def fitted(compositions: Compositions, volumes: Array, hashes: NDArray[np.int64]) -> dict[str, Any]:
    """The document, from training crystals alone."""
    elements = np.array(compositions.present())
    known = ELECTRONEGATIVITY[elements]
    default = float(np.nanmedian(known))
    electronegativity = np.where(np.isfinite(known), known, default)
    design, counts = relative_design(compositions, volumes, elements, electronegativity)
    penalty = chosen_penalty(design, hashes)
    base, response = np.split(fit(design, penalty), 2)
    return {
        "source": SOURCE,
        "unit": "cubic angstrom",
        "electronegativity_default": round(default, 3),
        "penalty": penalty,
        "training_crystals": len(compositions),
        "elements": table(elements, base, response, (counts > 0).sum(axis=0)),
    }


def read() -> tuple[Compositions, Array, NDArray[np.int64]]:
    """Compositions, cell volumes, and the MD5 of each reduced formula modulo 100,000."""
    with gzip.open(DATA / "structures" / "mp36k.jsonl.gz") as lines:
        rows = [json.loads(line) for line in lines]
    compositions = Compositions.from_dicts(
        [
            {atomic_number(symbol): float(count) for symbol, count in Counter(r["species"]).items()}
            for r in rows
        ]
    )
    cells = np.array([row["cell"] for row in rows])
    cosines = np.cos(np.radians(cells[:, 3:]))
    root = 1 - (cosines**2).sum(axis=1) + 2 * cosines.prod(axis=1)
    digests = [hashlib.md5(name.encode()).hexdigest() for name in compositions.reduced_formulas()]
    hashes = np.array([int(digest, 16) % 100_000 for digest in digests])
    return compositions, cells[:, :3].prod(axis=1) * np.sqrt(root), hashes


def relative_design(
    compositions: Compositions, volumes: Array, elements: NDArray[Any], electronegativity: Array
) -> tuple[Array, Array]:
    """Rows whose product with the sought numbers should be one, and the amounts."""
    amounts = compositions.dense(elements.tolist())
    mean = amounts @ electronegativity / amounts.sum(axis=1)
    relative = amounts / volumes[:, None]
    return np.hstack([relative, relative * (mean[:, None] - electronegativity)]), amounts


def fit(design: Array, penalty: float) -> Array:
    """Least absolute relative deviations by reweighting, ridge on the second half."""
    half = design.shape[1] // 2
    ridge = np.diag(np.concatenate([np.full(half, 1e-6), np.full(half, penalty)]))
    weights = np.ones(len(design))
    for _ in range(ROUNDS):
        weighted = design * weights[:, None]
        solution = np.linalg.solve(weighted.T @ design + ridge, weighted.sum(axis=0))
        weights = 1 / np.maximum(np.abs(design @ solution - 1), SMALLEST_DEVIATION)
    return solution


def chosen_penalty(design: Array, hashes: NDArray[np.int64]) -> float:
    """The penalty with the smallest mean deviation over five folds of formulas."""
    folds = hashes // 100 % 5
    deviation = {
        penalty: np.mean(
            [
                np.abs(design[folds == k] @ fit(design[folds != k], penalty) - 1).mean()
                for k in range(5)
            ]
        )
        for penalty in PENALTIES
    }
    print("five-fold mean deviation by penalty:", deviation)
    return min(deviation, key=lambda penalty: float(deviation[penalty]))


def share_within(relative: Array, limit: float) -> float:
    """Share of the ratios that differ from one by less than a limit."""
    return round(float((np.abs(relative - 1) < limit).mean()), 4)


def table(
    elements: NDArray[Any], base: Array, response: Array, crystals: NDArray[np.int64]
) -> dict[str, dict[str, float | int]]:
    """One row for each element up to curium."""
    rows: dict[str, dict[str, float | int]] = {
        symbol: {"volume": round(volume, 3), "per_electronegativity": 0.0, "crystals": 0}
        for symbol, volume in SOLID_VOLUMES.items()
    }
    for number, volume, change, count in zip(elements, base, response, crystals, strict=True):
        rows[SYMBOLS[number]] = {
            "volume": round(float(volume), 3),
            "per_electronegativity": round(float(change), 3),
            "crystals": int(count),
        }
    for symbol, neighbour in STAND_INS.items():
        rows[symbol] = rows[neighbour] | {"crystals": 0}
    return {symbol: rows[symbol] for symbol in SYMBOLS[1 : LAST_ELEMENT + 1]}


if __name__ == "__main__":
    main()
