"""Pictures of phase diagrams: a line, a triangle or a tetrahedron, for print and for the screen.

Stable phases are large and named, unstable ones small and coloured by their distance to the hull;
colours are told apart by every kind of colour vision (Okabe and Ito, 2008; cividis: Nunez et al.,
PLoS ONE 13, e0199239, 2018).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from materialabs.crystals.files.writing import replacing
from materialabs.errors import InputError
from materialabs.hull.drawing import BLACK, FONT, GREY, HEIGHT, LABEL_SIZE, WIDTH, Rows
from materialabs.hull.intake import Phases
from materialabs.hull.line_picture import draw_line
from materialabs.hull.tetrahedron_picture import draw_tetrahedron
from materialabs.hull.triangle_picture import draw_triangle
from materialabs.levels import Energies

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from materialabs.hull.hull import Hull


def figure_of(
    hull: Hull, candidates: Phases | None = None, energies: Energies | None = None
) -> go.Figure:
    """Draw the phase diagram of two, three or four elements.

    Parameters
    ----------
    hull
        The hull to draw.
    candidates
        Further compositions to mark.
    energies
        Their energies, so that their distance is shown.
    """
    size = len(hull.elements)
    drawers = {2: draw_line, 3: draw_triangle, 4: draw_tetrahedron}
    if size not in drawers:
        raise InputError(
            f"A phase diagram of {size} element{'s' if size != 1 else ''} cannot be drawn: choose "
            "a sub-system of two to four elements, or read the table.",
            code="hull.no_picture",
        )
    import plotly.graph_objects as go

    figure = go.Figure()
    drawers[size](figure, hull, _candidate_rows(hull, candidates, energies))
    figure.update_layout(
        template="none",
        width=WIDTH,
        height=HEIGHT,
        font={"family": FONT, "size": LABEL_SIZE, "color": BLACK},
        paper_bgcolor="white",
        plot_bgcolor="white",
        title={
            "text": f"<b>{hull.system}</b>   <span style='font-size:13px;color:{GREY}'>"
            f"{int(hull.stable.sum())} stable of {len(hull)} phases, "
            f"{_levels(hull, energies)}</span>",
            "x": 0.03,
            "y": 0.97,
            "font": {"size": 22},
        },
        legend={
            "orientation": "h",
            "x": 0.0,
            "xanchor": "left",
            "y": 1.015,
            "yanchor": "bottom",
            "bgcolor": "rgba(0,0,0,0)",
            "font": {"size": 14},
            "itemsizing": "constant",
        },
        hoverlabel={"font": {"family": FONT, "size": 14}, "bgcolor": "white"},
    )
    return figure


def _levels(hull: Hull, energies: Energies | None) -> str:
    if energies is None or energies.level == hull.level:
        return hull.level_text
    return f"{hull.level_text}; candidates at {energies.level}, which emulates it"


def _candidate_rows(
    hull: Hull, candidates: Phases | None, energies: Energies | None
) -> Rows | None:
    """Fractions, distances and formulas of the candidates."""
    if candidates is None:
        return None
    compositions = hull._inside(candidates)
    distances = None if energies is None else hull.distance(compositions, energies)
    return compositions.fractions(hull.elements), distances, compositions.reduced_formulas()


def write_html(figure: go.Figure, path: str | Path) -> Path:
    """Write a figure as one file with everything in it, complete or not at all."""
    target = Path(path)
    text = figure.to_html(include_plotlyjs=True, full_html=True, config={"displaylogo": False})
    with replacing(target) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
    return target
