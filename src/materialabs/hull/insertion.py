"""Further entries for a hull: only the facets that they lie below are made anew."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from materialabs.crystals.compositions import Compositions
from materialabs.hull.geometry import fractions_on, grown_hull
from materialabs.hull.hull import Hull
from materialabs.hull.intake import Phases, as_compositions, names_of
from materialabs.hull.points import Floats, with_points
from materialabs.levels import Energies


def inserted(hull: Hull, formulas: Phases, energies: Energies, ids: Sequence[str] | None) -> Hull:
    """A hull with further entries; arguments as for :meth:`Hull.insert`."""
    compositions = as_compositions(formulas)
    values = hull._comparable(energies, len(compositions))
    names = [*hull.ids, *names_of(formulas, ids, len(compositions))]
    joined = Compositions.concat([hull.compositions, compositions])
    every = Energies(
        np.concatenate([hull.energies.values, values]), hull.energies.kind, hull.level
    )  # fmt: skip
    known = bool(np.isin(compositions.elements, hull.elements).all())
    if known and not _moves_reference(hull, compositions, values):
        new = _extended(hull, joined, every, names)
    else:
        new = Hull(joined, every, ids=names, allow_emulated=hull.allow_emulated)
    new.emulators = tuple(dict.fromkeys((*hull.emulators, *({energies.level} - {hull.level}))))
    return new


def _moves_reference(hull: Hull, compositions: Compositions, values: Floats) -> bool:
    """Whether an element among the entries lies below the hull's own."""
    pure = np.flatnonzero(np.diff(compositions.offsets) == 1)
    place = hull._column[compositions.elements[compositions.offsets[pure]]]
    return bool((values[pure] < hull.references[place]).any())


def _extended(hull: Hull, joined: Compositions, energies: Energies, ids: list[str]) -> Hull:
    """A hull with further entries of its own elements, none below its references."""
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
