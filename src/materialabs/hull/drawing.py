"""What the pictures of phase diagrams share: colours, markers, names and texts."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from materialabs.elements import ELECTRONEGATIVITY
from materialabs.hull.labels import place_labels, subscripted
from materialabs.hull.points import Floats, Indices

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from materialabs.hull.hull import Hull

BLUE, VERMILLION, GREY, BLACK = "#0072B2", "#D55E00", "#8C8C8C", "#1A1A1A"
SCALE = "Cividis_r"
FAR = 0.2
"""eV/atom above the hull where the colours end."""

WIDTH, HEIGHT = 900, 760
"""Pixels."""

FONT = "Helvetica, Arial, sans-serif"
LABEL_SIZE, AXIS_SIZE, CORNER_SIZE = 15, 17, 22
"""Points; they stay readable when the picture is printed one column wide."""

Rows: TypeAlias = tuple[Floats, Floats | None, list[str]]
"""Candidates: fractions [m, k], distances [m] where they have energies, and formulas."""


def element_order(hull: Hull) -> list[int]:
    """Columns of the elements by rising electronegativity: metals on the left, oxygen last."""
    values = np.nan_to_num(ELECTRONEGATIVITY[list(hull.elements)], nan=np.inf)
    return [int(column) for column in np.argsort(values, kind="stable")]


def hover_texts(hull: Hull, rows: Indices) -> list[str]:
    """What is said of each entry under the pointer: name, energies, decomposition."""
    formulas = hull.compositions[rows].reduced_formulas()
    mixtures = hull.decompose(hull.compositions[rows]).mixtures()
    return [
        f"<b>{subscripted(formula)}</b> ({hull.ids[row]})<br>"
        f"{hull.formation_energies[row]:.4f} eV/atom from the elements<br>"
        + (
            "on the hull"
            if hull.stable[row]
            else f"{hull.distances[row]:.4f} eV/atom above the hull<br>→ {mixture}"
        )
        for row, formula, mixture in zip(rows.tolist(), formulas, mixtures, strict=True)
    ]


def named_phases(hull: Hull) -> Indices:
    """One entry for each stable composition: those to be named."""
    rows = hull.entries_on_hull
    rows = rows[np.argsort(hull.distances[rows], kind="stable")]
    _, first = np.unique(np.round(hull.fractions[rows], 9), axis=0, return_index=True)
    return np.sort(rows[first])


def distance_marker(distances: Floats, *, size: float) -> dict[str, Any]:
    """How phases above the hull are marked, with a bar that explains the colours."""
    return {
        "size": size,
        "color": np.minimum(distances, FAR),
        "colorscale": SCALE,
        "cmin": 0.0,
        "cmax": FAR,
        "line": {"width": 0.5, "color": "#6E6E6E"},
        "colorbar": {
            "title": {"text": "eV/atom above the hull", "side": "right"},
            "thickness": 16,
            "len": 0.6,
            "tickvals": [0, 0.05, 0.1, 0.15, FAR],
            "ticktext": ["0", "0.05", "0.10", "0.15", f"≥ {FAR:.2f}"],
        },
    }


def stable_marker(size: float) -> dict[str, Any]:
    """How a phase on the hull is marked."""
    return {"size": size, "color": BLUE, "line": {"width": 1.5, "color": "white"}}


def candidate_marker(size: float) -> dict[str, Any]:
    """How a candidate is marked."""
    return {
        "size": size, "color": VERMILLION, "symbol": "diamond",
        "line": {"width": 1.2, "color": "white"},
    }  # fmt: skip


def candidate_texts(rows: Rows) -> list[str]:
    """What is said of each candidate under the pointer."""
    _, distances, formulas = rows
    if distances is None:
        return [f"<b>{subscripted(name)}</b><br>candidate" for name in formulas]
    return [
        f"<b>{subscripted(name)}</b><br>candidate, {distance:.4f} eV/atom above the hull"
        for name, distance in zip(formulas, distances, strict=True)
    ]


def tie_lines(hull: Hull) -> list[tuple[int, int]]:
    """Pairs of phases in equilibrium: the edges of all facets."""
    pairs = {
        (min(a, b), max(a, b))
        for facet in hull.facets.vertices.tolist()
        for a, b in combinations(facet, 2)
    }
    return sorted(pairs)


def broken_line(edges: list[tuple[int, int]], place: Floats) -> Floats:
    """All edges as one line with gaps, so that one trace draws them."""
    path = np.full((3 * len(edges), place.shape[1]), np.nan)
    path[0::3] = place[[a for a, _ in edges]]
    path[1::3] = place[[b for _, b in edges]]
    return path


def annotate(
    figure: go.Figure,
    hull: Hull,
    rows: Indices,
    points: Floats,
    scale: Floats,
    obstacles: Floats,
    towards: Floats,
) -> None:
    """Name phases beside their markers, where the names hide nothing and not one another."""
    names = [subscripted(name) for name in hull.compositions[rows].reduced_formulas()]
    offsets = place_labels(names, points * scale, obstacles * scale, LABEL_SIZE, towards)
    for name, point, offset in zip(names, points, offsets, strict=True):
        figure.add_annotation(
            x=point[0], y=point[1], text=name, ax=offset[0], ay=-offset[1], showarrow=True,
            arrowhead=0, arrowwidth=0.8, arrowcolor=GREY, standoff=7, xanchor="center",
            yanchor="middle", font={"size": LABEL_SIZE}, bgcolor="rgba(255,255,255,0.75)",
            borderpad=1,
        )  # fmt: skip
