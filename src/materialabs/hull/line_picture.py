"""The phase diagram of two elements: formation energy along a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from materialabs.hull.drawing import (
    AXIS_SIZE,
    BLACK,
    GREY,
    HEIGHT,
    LABEL_SIZE,
    WIDTH,
    Rows,
    annotate,
    candidate_marker,
    candidate_texts,
    distance_marker,
    element_order,
    hover_texts,
    named_phases,
    stable_marker,
)
from materialabs.hull.points import Floats

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from materialabs.hull.hull import Hull

HEADROOM = 0.45
"""Positive formation energies are shown up to this share of the depth of the hull."""


def draw_line(figure: go.Figure, hull: Hull, candidates: Rows | None) -> None:
    """Draw formation energy over composition, with the hull as a line."""
    import plotly.graph_objects as go

    share = element_order(hull)[1]
    x = hull.fractions[:, share]
    y = hull.formation_energies
    named = named_phases(hull)
    named = named[np.argsort(x[named])]
    depth = max(-float(y.min()), 0.02)
    top = HEADROOM * depth
    others = np.flatnonzero(~hull.stable & (y <= top))
    hidden = int((y > top).sum())
    figure.add_trace(go.Scatter(
        x=x[others], y=y[others], mode="markers", name="unstable", hoverinfo="text",
        text=hover_texts(hull, others), marker=distance_marker(hull.distances[others], size=8),
    ))  # fmt: skip
    figure.add_trace(go.Scatter(
        x=x[named], y=y[named], mode="lines+markers", name="stable", hoverinfo="text",
        text=hover_texts(hull, named), line={"color": BLACK, "width": 2.5},
        marker=stable_marker(14),
    ))  # fmt: skip
    points = np.stack([x[named], y[named]], axis=1)
    if candidates is not None:
        fractions, distances, _ = candidates
        heights = _hull_height(hull, fractions) + (0.0 if distances is None else distances)
        figure.add_trace(go.Scatter(
            x=fractions[:, share], y=heights, mode="markers", name="candidate", hoverinfo="text",
            text=candidate_texts(candidates), marker=candidate_marker(13),
        ))  # fmt: skip
        top = max(top, float(np.max(heights, initial=top)) * 1.1)
    low, high = -1.22 * depth, top
    scale = np.array([(WIDTH - 240) / 1.06, (HEIGHT - 170) / (high - low)])
    compounds = [row for row, entry in enumerate(named) if 0 < x[entry] < 1]
    down = np.tile([0.0, -1.0], (len(compounds), 1))
    annotate(figure, hull, named[compounds], points[compounds], scale, points, down)
    _line_axes(figure, hull, (low, high), hidden)


def _hull_height(hull: Hull, fractions: Floats) -> Floats:
    mixtures = hull.lower.mixtures(fractions)
    return np.asarray(np.einsum("ij,ij->i", mixtures.potentials, fractions))


def _line_axes(figure: go.Figure, hull: Hull, limits: tuple[float, float], hidden: int) -> None:
    axis = {
        "showline": True, "linecolor": BLACK, "linewidth": 1.5, "ticks": "outside", "mirror": True,
        "showgrid": False, "zeroline": False, "tickfont": {"size": LABEL_SIZE},
    }  # fmt: skip
    first, second = (hull.symbols[column] for column in element_order(hull))
    figure.update_xaxes(
        title={"text": f"atomic fraction of {second} in {first}–{second}",
               "font": {"size": AXIS_SIZE}},
        range=[-0.03, 1.03], **axis,
    )  # fmt: skip
    figure.update_yaxes(
        title={"text": "formation energy (eV/atom)", "font": {"size": AXIS_SIZE}},
        range=list(limits), **axis,
    )  # fmt: skip
    figure.add_hline(y=0.0, line={"color": GREY, "width": 1, "dash": "dot"})
    if hidden:
        figure.add_annotation(
            text=f"{hidden} phases lie above this picture", x=0.99, y=0.985, xref="paper",
            yref="paper", showarrow=False, font={"size": 13, "color": GREY}, xanchor="right",
        )  # fmt: skip
    figure.update_layout(margin={"l": 90, "r": 40, "t": 90, "b": 80})
