"""The phase diagram of four elements: a tetrahedron that can be turned."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from materialabs.hull.drawing import (
    BLACK,
    CORNER_SIZE,
    Rows,
    broken_line,
    candidate_marker,
    candidate_texts,
    distance_marker,
    element_order,
    hover_texts,
    named_phases,
    stable_marker,
    tie_lines,
)
from materialabs.hull.labels import place_beside, subscripted, view_from
from materialabs.hull.points import Floats, Indices

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from materialabs.hull.hull import Hull

SPACE_LABEL_SIZE = 12
"""Points, in the tetrahedron."""

ZOOM, PIXELS_IN_SPACE = 1.7, 600.0
"""Size of the tetrahedron in its scene, and pixels for one edge of it on the screen."""

TETRAHEDRON = np.array(
    [
        [0.0, 0.0, 0.0],
        [1.0, 0.0, 0.0],
        [0.5, np.sqrt(3) / 2, 0.0],
        [0.5, np.sqrt(3) / 6, np.sqrt(2 / 3)],
    ]
)


def draw_tetrahedron(figure: go.Figure, hull: Hull, candidates: Rows | None) -> None:
    """Draw the tetrahedron, seen from where the names cover least."""
    shape = TETRAHEDRON[np.argsort(element_order(hull))]
    place = hull.fractions @ shape
    named = named_phases(hull)
    others = np.flatnonzero(~hull.stable)
    _lines_in_space(figure, broken_line(list(combinations(range(4), 2)), shape), BLACK, 4.0)
    _lines_in_space(figure, broken_line(tie_lines(hull), place), "#B9C7D2", 1.5)
    _points_in_space(
        figure, place[others], name="unstable", text=hover_texts(hull, others),
        marker={**distance_marker(hull.distances[others], size=2.5), "opacity": 0.7},
    )  # fmt: skip
    compound = (hull.fractions[named] > 0).sum(axis=1) > 1
    obstacles = np.concatenate([place[named], shape + 0.1 * (shape - shape.mean(axis=0))])
    eye, positions = _best_view(hull, named[compound], obstacles, place[named[compound]])
    _points_in_space(
        figure,
        place[named],
        name="stable",
        text=hover_texts(hull, named),
        marker=stable_marker(6.0),
    )
    _points_in_space(
        figure, place[named[compound]], mode="text", showlegend=False, textposition=positions,
        text=[subscripted(name) for name in
              hull.compositions[named[compound]].reduced_formulas()],
        textfont={"size": SPACE_LABEL_SIZE, "color": BLACK}, hoverinfo="skip",
    )  # fmt: skip
    if candidates is not None:
        _points_in_space(
            figure, candidates[0] @ shape, name="candidate", text=candidate_texts(candidates),
            marker=candidate_marker(7.0),
        )  # fmt: skip
    _points_in_space(
        figure, shape + 0.1 * (shape - shape.mean(axis=0)), mode="text", showlegend=False,
        text=[f"<b>{symbol}</b>" for symbol in hull.symbols], hoverinfo="skip",
        textfont={"size": CORNER_SIZE, "color": BLACK},
    )  # fmt: skip
    hidden = {"visible": False}
    figure.update_layout(
        scene={
            "xaxis": hidden, "yaxis": hidden, "zaxis": hidden, "aspectmode": "manual",
            "aspectratio": {"x": ZOOM, "y": ZOOM * np.sqrt(3) / 2, "z": ZOOM * np.sqrt(2 / 3)},
            "camera": {"eye": dict(zip("xyz", eye.tolist(), strict=True)),
                       "center": {"x": 0.0, "y": 0.0, "z": -0.12},
                       "projection": {"type": "orthographic"}},
        },
        margin={"l": 0, "r": 0, "t": 90, "b": 0},
    )  # fmt: skip


def _lines_in_space(figure: go.Figure, path: Floats, colour: str, width: float) -> None:
    import plotly.graph_objects as go

    figure.add_trace(go.Scatter3d(
        x=path[:, 0], y=path[:, 1], z=path[:, 2], mode="lines", hoverinfo="skip",
        showlegend=False, line={"color": colour, "width": width},
    ))  # fmt: skip


def _points_in_space(figure: go.Figure, place: Floats, **style: Any) -> None:
    import plotly.graph_objects as go

    figure.add_trace(go.Scatter3d(
        x=place[:, 0], y=place[:, 1], z=place[:, 2],
        **{"mode": "markers", "hoverinfo": "text", **style},
    ))  # fmt: skip


def _best_view(
    hull: Hull, rows: Indices, obstacles: Floats, points: Floats
) -> tuple[Floats, list[str]]:
    """The side from which the names cover least, and where each name stands beside its marker."""
    names = [subscripted(name) for name in hull.compositions[rows].reduced_formulas()]
    best: tuple[float, Floats, list[str]] | None = None
    for angle in np.arange(0.0, 360.0, 15.0):
        for height in (15.0, 30.0):
            eye, across, up = view_from(angle, height)
            plane = np.stack([across, up], axis=1) * PIXELS_IN_SPACE
            cost, positions = place_beside(
                names, points @ plane, obstacles @ plane, SPACE_LABEL_SIZE
            )
            if best is None or cost < best[0]:
                best = (cost, eye, positions)
    assert best is not None
    return best[1], best[2]
