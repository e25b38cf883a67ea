"""A crystal as a small drawing of its cell, in SVG."""

from __future__ import annotations

from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.elements import SYMBOLS
from materialabs.server.markup import Html, element, joined

SIZE: Final = 360.0
"""Pixels of the longer side of the drawing."""

MARGIN: Final = 26.0

MOST_DRAWN: Final = 600
"""Atoms with those on the faces of the cell; the drawing of a larger cell shows as many."""

TURN_DEGREES, TILT_DEGREES = 24.0, 14.0
"""How the cell is turned about its upright, and tilted to the reader."""

ATOM_SHARE: Final = 0.55
"""Of an atom's covalent radius that is drawn, so that bonds stay open."""

ON_FACE: Final = 0.01
"""Of a cell edge: atoms so near to a face are drawn on the other side too."""


def drawing(crystal: Crystals) -> Html:
    """The cell with its atoms, those at the back first."""
    from ase.data import covalent_radii
    from ase.data.colors import jmol_colors

    frac, numbers = _with_faces(crystal)
    lattice = crystal.lattice[0]
    corners = np.array(list(product((0.0, 1.0), repeat=3)))
    view = _view()
    atoms, box = frac @ lattice @ view, corners @ lattice @ view
    radii = ATOM_SHARE * np.asarray(covalent_radii)[numbers]
    everything = np.concatenate([box, atoms - radii[:, None], atoms + radii[:, None]])
    low, high = everything[:, :2].min(axis=0), everything[:, :2].max(axis=0)
    scale = (SIZE - 2 * MARGIN) / max(float((high - low).max()), 1e-9)
    width, height = (high - low) * scale + 2 * MARGIN

    def placed(points: NDArray[np.float64]) -> NDArray[np.float64]:
        flat = (points[:, :2] - low) * scale + MARGIN
        return np.column_stack([flat[:, 0], height - flat[:, 1]])

    order = np.argsort(atoms[:, 2], kind="stable")
    spots = placed(atoms)
    kinds = sorted(set(numbers.tolist()))
    fills = [_gradient(number, jmol_colors[number]) for number in kinds]
    return element(
        "svg",
        element("title", f"Unit cell of {Crystals.reduced_formulas(crystal)[0]}"),
        element("defs", joined(fills)),
        _edges(placed(box)),
        joined(_ball(spots[place], radii[place] * scale, numbers[place]) for place in order),
        viewBox=f"0 0 {width:.0f} {height:.0f}", role="img", xmlns="http://www.w3.org/2000/svg",
    )  # fmt: skip


def legend(crystal: Crystals) -> Html:
    """The colours of the elements."""
    from ase.data.colors import jmol_colors

    spots = (
        element("span", element("span", style=f"background:{_colour(jmol_colors[number])}",
                                class_="dot"), SYMBOLS[number])
        for number in sorted(set(_numbers(crystal).tolist()))
    )  # fmt: skip
    return element("div", joined(spots), class_="legend")


def _numbers(crystal: Crystals) -> NDArray[np.int64]:
    """The element of each site; of a shared one that which takes the most of it."""
    table = crystal.occupancy
    if table is None:
        return crystal.numbers.astype(np.int64)
    ends = zip(table.offsets[:-1], table.offsets[1:], strict=True)
    return np.array(
        [table.occupants[a:b][np.argmax(table.fractions[a:b])] for a, b in ends], np.int64
    )


def _with_faces(crystal: Crystals) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Atoms inside the cell, and copies of those on a face on the face across."""
    frac = crystal.frac.astype(float)
    frac = np.where(crystal.pbc[0], frac % 1.0, frac)
    frac = np.where(crystal.pbc[0] & (frac > 1 - ON_FACE), frac - 1.0, frac)
    numbers = _numbers(crystal)
    for axis in np.flatnonzero(crystal.pbc[0]):
        near = np.abs(frac[:, axis]) < ON_FACE
        copies = frac[near].copy()
        copies[:, axis] += 1.0
        frac, numbers = np.concatenate([frac, copies]), np.concatenate([numbers, numbers[near]])
    return frac[:MOST_DRAWN], numbers[:MOST_DRAWN]


def _view() -> NDArray[np.float64]:
    """Columns: to the right, upwards, and towards the reader."""
    turn, tilt = np.radians(TURN_DEGREES), np.radians(TILT_DEGREES)
    right = np.array([-np.sin(turn), np.cos(turn), 0.0])
    towards = np.array([np.cos(tilt) * np.cos(turn), np.cos(tilt) * np.sin(turn), np.sin(tilt)])
    return np.column_stack([right, np.cross(towards, right), towards])


def _edges(corners: NDArray[np.float64]) -> Html:
    """The twelve edges of the cell: corners whose numbers differ in one bit."""
    pairs = [(one, one | bit) for one in range(8) for bit in (1, 2, 4) if not one & bit]
    path = " ".join(
        f"M{corners[a][0]:.1f} {corners[a][1]:.1f}L{corners[b][0]:.1f} {corners[b][1]:.1f}"
        for a, b in pairs
    )
    return element("path", d=path, class_="cell")


def _ball(spot: NDArray[np.float64], radius: float, number: int) -> Html:
    return element(
        "circle", cx=f"{spot[0]:.1f}", cy=f"{spot[1]:.1f}", r=f"{radius:.1f}",
        fill=f"url(#e{number})",
    )  # fmt: skip


def _gradient(number: int, colour: NDArray[np.float64]) -> Html:
    """Light from the upper left."""
    stops = ((0.0, 0.65, 1.0), (0.45, 0.0, 1.0), (1.0, 0.0, 0.6))
    made = (
        element("stop", offset=f"{place:g}", stop_color=_colour(_mixed(colour, white, shade)))
        for place, white, shade in stops
    )
    return element("radialGradient", joined(made), id=f"e{number}", cx="35%", cy="32%", r="75%")


def _mixed(colour: NDArray[np.float64], white: float, shade: float) -> NDArray[np.float64]:
    mixed: NDArray[np.float64] = (colour * (1 - white) + white) * shade
    return mixed


def _colour(colour: NDArray[np.float64]) -> str:
    red, green, blue = (round(255 * float(part)) for part in colour)
    return f"#{red:02x}{green:02x}{blue:02x}"
