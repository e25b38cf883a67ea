"""The phase diagram of three elements: a triangle of compositions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from materialabs.hull.drawing import (
    CORNER_SIZE,
    WIDTH,
    Rows,
    annotate,
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
from materialabs.hull.points import Floats

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from materialabs.hull.hull import Hull

TRIANGLE = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])
"""Corners, the most electronegative element at the top."""


def draw_triangle(figure: go.Figure, hull: Hull, candidates: Rows | None) -> None:
    """Draw the triangle: tie-lines, stable phases with names, unstable ones by colour."""
    import plotly.graph_objects as go

    shape = TRIANGLE[np.argsort(element_order(hull))]
    place = hull.fractions @ shape
    named = named_phases(hull)
    others = np.flatnonzero(~hull.stable)
    others = others[np.argsort(-hull.distances[others])]
    edges = broken_line(tie_lines(hull), place)
    figure.add_trace(go.Scatter(
        x=edges[:, 0], y=edges[:, 1], mode="lines", hoverinfo="skip", showlegend=False,
        line={"color": "#5A5A5A", "width": 1.4},
    ))  # fmt: skip
    figure.add_trace(go.Scatter(
        x=place[others, 0], y=place[others, 1], mode="markers", name="unstable",
        hoverinfo="text", text=hover_texts(hull, others),
        marker=distance_marker(hull.distances[others], size=7),
    ))  # fmt: skip
    figure.add_trace(go.Scatter(
        x=place[named, 0], y=place[named, 1], mode="markers", name="stable", hoverinfo="text",
        text=hover_texts(hull, named), marker=stable_marker(14),
    ))  # fmt: skip
    if candidates is not None:
        spots = candidates[0] @ shape
        figure.add_trace(go.Scatter(
            x=spots[:, 0], y=spots[:, 1], mode="markers", name="candidate", hoverinfo="text",
            text=candidate_texts(candidates), marker=candidate_marker(14),
        ))  # fmt: skip
    figure.update_xaxes(visible=False, range=[-0.13, 1.13])
    figure.update_yaxes(visible=False, range=[-0.09, 0.98], scaleanchor="x", scaleratio=1)
    figure.update_layout(margin={"l": 20, "r": 20, "t": 95, "b": 10})
    scale = np.full(2, (WIDTH - 160) / 1.26)
    inner = named[(hull.fractions[named] > 0).sum(axis=1) > 1]
    outward = _outward(hull.fractions[inner], shape)
    annotate(figure, hull, inner, place[inner], scale, place[named], outward)
    _corner_names(figure, hull, shape)


def _outward(fractions: Floats, shape: Floats) -> Floats:
    """For phases on an edge of the triangle the way out of it, zero for those inside [n, 2]."""
    ways = np.zeros((len(fractions), 2))
    for column in range(3):
        edge = np.delete(shape, column, axis=0).mean(axis=0) - shape[column]
        ways[fractions[:, column] == 0.0] = edge / np.linalg.norm(edge)
    return ways


def _corner_names(figure: go.Figure, hull: Hull, shape: Floats) -> None:
    for symbol, corner in zip(hull.symbols, shape, strict=True):
        outward = corner - TRIANGLE.mean(axis=0)
        spot = corner + 0.075 * outward / np.linalg.norm(outward)
        figure.add_annotation(
            x=spot[0], y=spot[1], text=f"<b>{symbol}</b>", showarrow=False,
            font={"size": CORNER_SIZE},
        )  # fmt: skip
