"""How often known compounds of a size have each space group.

The 230 groups are far from equally frequent: of compounds with five to eight atoms in the
primitive cell 85 in a hundred have one of 25 groups. The table ``space_group_counts.json`` counts
compounds of the Materials Project (``scripts/count_space_groups.py``); it names none.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.generation.wyckoff import GROUPS

SHIPPED: Final = "space_group_counts.json"

SIZES: Final = (4, 8, 16, 32)
"""Atoms in the primitive cell up to which compounds are counted together; larger ones make the
last row."""


@cache
def space_group_counts() -> NDArray[np.int64]:
    """Compounds [sizes, 230] of each size and space group."""
    place = resources.files("materialabs.generation") / SHIPPED
    counts = np.array(json.loads(place.read_text(encoding="utf-8")), dtype=np.int64)
    assert counts.shape == (len(SIZES) + 1, GROUPS)
    return counts


def usual_shares(atoms: int) -> NDArray[np.float64]:
    """Share of known compounds of this size that have each space group [230], by number."""
    counts = space_group_counts()[int(np.searchsorted(SIZES, atoms))]
    return np.asarray(counts / counts.sum())
