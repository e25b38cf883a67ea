"""Further entries for a hull: only the facets that they lie below are made anew."""

from __future__ import annotations

import numpy as np

from materialabs.crystals.compositions import Compositions
from materialabs.hull.geometry import fractions_on, grown_hull
from materialabs.hull.hull import Hull
from materialabs.hull.points import with_points
from materialabs.levels import Energies


def extended(hull: Hull, joined: Compositions, energies: Energies, ids: list[str]) -> Hull:
    """A hull with further entries of its own elements, none below its references.

    Parameters
    ----------
    hull
        To begin with; it stays as it is.
    joined, energies, ids
        Its entries, and behind them the new ones.
    """
    from materialabs.hull.mark_kernels import marks

    added = joined[np.arange(len(hull), len(joined))]
    new = object.__new__(Hull)
    new.compositions, new.energies, new.ids = joined, energies, ids
    new.elements, new.allow_emulated = hull.elements, hull.allow_emulated
    new._column, new.references = hull._column, hull.references
    x = fractions_on(added, hull._column, len(hull.elements))
    new.fractions = np.concatenate([hull.fractions, x])
    formation = energies.values[len(hull) :] - x @ hull.references
    codes, _ = marks(added)
    points, chosen = with_points(hull.lower.points, x, formation, codes)
    new.entry_of_point = np.concatenate([hull.entry_of_point, chosen + len(hull)])
    fresh = np.arange(len(hull.entry_of_point), len(new.entry_of_point))
    fresh = fresh[np.argsort(points.energies[fresh], kind="stable")]
    new.lower = grown_hull(hull.lower, points, fresh[points.energies[fresh] < 0])
    return new
