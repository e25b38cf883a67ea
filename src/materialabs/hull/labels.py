"""Names in a picture: formulas with subscripts, set where they hide nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from materialabs.hull.points import Floats

SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")

DIRECTIONS = 16
"""Directions around a marker that are tried."""

DISTANCES = (18.0, 26.0, 38.0, 54.0, 72.0)
"""Pixels from the marker to the middle of its name that are tried."""

MARKER = 9.0
"""Pixels around a marker that are kept free."""

CHARACTER_WIDTH, SUBSCRIPT_WIDTH, LINE_HEIGHT = 0.62, 0.42, 1.3
"""Sizes of letters, of small digits and of a line, in units of the font size."""


def subscripted(formula: str) -> str:
    """A formula with its amounts as small digits below the line: ``Li₃PS₄``."""
    return formula.translate(SUBSCRIPTS)


def extent(name: str, size: float) -> tuple[float, float]:
    """Width and height of a name in pixels."""
    small = sum(character in "₀₁₂₃₄₅₆₇₈₉.()" for character in name)
    width = (len(name) - small) * CHARACTER_WIDTH + small * SUBSCRIPT_WIDTH
    return width * size + 4.0, LINE_HEIGHT * size


Box = tuple[float, float, float, float]
"""Middle, width and height of a name that has its place, pixels."""


def place_labels(
    names: list[str], points: Floats, obstacles: Floats, size: float, towards: Floats
) -> Floats:
    """Find a place for each name near its marker, one after another, the best that is left.

    Parameters
    ----------
    names
        What is written.
    points
        [n, 2], the markers in pixels, upwards.
    obstacles
        [m, 2], all markers to be kept visible.
    size
        Font size.
    towards
        [n, 2], the preferred direction of each name, zero where there is none.

    Returns
    -------
    float64 [n, 2]
        From the marker to the middle of its name, pixels.
    """
    taken: list[Box] = []
    offsets = np.zeros((len(names), 2))
    for row in _crowded_first(points, obstacles):
        box = extent(names[row], size)

        def cost(place: tuple[float, float], row: int = row, box: Any = box) -> float:
            liked = float(np.dot(place, towards[row])) / math.hypot(*place)
            wrong = 1.0 - liked if towards[row].any() else 0.0
            hidden = covered(points[row], place, box, obstacles, taken)
            return hidden + math.hypot(*place) / 40.0 + wrong

        offsets[row] = min(_places(*box), key=cost)
        taken.append((*(points[row] + offsets[row]).tolist(), *box))
    return offsets


def place_beside(
    names: list[str], points: Floats, obstacles: Floats, size: float
) -> tuple[float, list[str]]:
    """Choose one of plotly's eight places beside a marker for each name.

    Returns what the names cover altogether, and the place of each.
    """
    taken: list[Box] = []
    chosen = [""] * len(names)
    total = 0.0
    for row in _crowded_first(points, obstacles):
        width, height = extent(names[row], size)
        costs = {}
        for name, (across, up) in BESIDE.items():
            place = (across * (width / 2 + 5), up * (height / 2 + 5))
            costs[name] = covered(points[row], place, (width, height), obstacles, taken), place
        chosen[row] = min(costs, key=lambda name: costs[name][0])
        cost, place = costs[chosen[row]]
        total += cost
        taken.append((*(points[row] + np.array(place)).tolist(), width, height))
    return total, chosen


BESIDE = {
    "top center": (0, 1),
    "bottom center": (0, -1),
    "middle right": (1, 0),
    "middle left": (-1, 0),
    "top right": (1, 1),
    "top left": (-1, 1),
    "bottom right": (1, -1),
    "bottom left": (-1, -1),
}
"""plotly's places beside a marker: steps across and up."""


def view_from(angle: float, height: float) -> tuple[Floats, Floats, Floats]:
    """Where the eye stands, and the picture's directions across and up, for angles in degrees."""
    turn, lift = math.radians(angle), math.radians(height)
    eye = np.array(
        [math.cos(turn) * math.cos(lift), math.sin(turn) * math.cos(lift), math.sin(lift)]
    )
    across = np.array([-math.sin(turn), math.cos(turn), 0.0])
    return 2.0 * eye, across, np.cross(eye, across)


def _crowded_first(points: Floats, obstacles: Floats) -> list[int]:
    """The order in which names get their places: those in a crowd first."""
    gaps = np.linalg.norm(points[:, None] - obstacles[None], axis=-1)
    crowd = np.sum(1.0 / np.maximum(gaps, 10.0), axis=1)
    return [int(row) for row in np.argsort(-crowd, kind="stable")]


def _places(width: float, height: float) -> list[tuple[float, float]]:
    """Offsets around a marker; names move sideways by their width, so that they stand clear."""
    places = []
    for distance in DISTANCES:
        for step in range(DIRECTIONS):
            angle = 2 * math.pi * step / DIRECTIONS
            across, up = math.cos(angle), math.sin(angle)
            places.append((across * (distance + width / 2 - 8), up * (distance + height / 2 - 8)))
    return places


def covered(
    point: Floats,
    place: tuple[float, float],
    box: tuple[float, float],
    obstacles: Floats,
    taken: list[Box],
) -> float:
    """How much of markers and other names a name covers at a place: 4 a marker, 10 a name."""
    middle = point + np.array(place)
    width, height = box
    gap = np.abs(obstacles - middle) - np.array([width / 2 + MARKER, height / 2 + MARKER])
    hidden = 4.0 * float(np.sum((gap < 0).all(axis=1)))
    for x, y, other_width, other_height in taken:
        across = (width + other_width) / 2 - abs(middle[0] - x)
        along = (height + other_height) / 2 - abs(middle[1] - y)
        if across > 0 and along > 0:
            hidden += 10.0 + across * along / 50.0
    return hidden
