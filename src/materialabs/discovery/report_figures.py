"""The report's pictures: choice, agreement, calibration, rounds, powder patterns, fronts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from materialabs.discovery.closing import predicted_pairs
from materialabs.discovery.findings import Findings
from materialabs.discovery.report_markup import Html, element
from materialabs.hull.drawing import BLACK, BLUE, FONT, GREY, VERMILLION
from materialabs.hull.labels import subscripted

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from materialabs.crystals.diffraction import PowderPattern

GREEN: Final = "#009E73"
"""Third colour that every kind of colour vision tells apart (Okabe and Ito, 2008)."""

HEIGHT: Final = 420
"""Pixels; figures are as wide as the page lets them."""

ANGLES: Final = (5.0, 90.0)
"""Degrees of 2 theta shown in a powder pattern."""

COLOURS: Final[Mapping[str, str]] = {
    "element": GREY, "prototype": GREY, "known": GREY, "confident": BLUE, "likely": BLUE,
    "unsure": VERMILLION, "random": GREEN,
}  # fmt: skip

CALLED: Final[Mapping[str, str]] = {
    "element": "elements", "prototype": "given crystals", "known": "given crystals",
    "confident": "chosen: confident", "likely": "chosen: likely by its generator",
    "unsure": "chosen: unsure", "random": "chosen: by chance",
}  # fmt: skip


def choice_figure(findings: Findings) -> go.Figure:
    """Distance above the final hull of each relaxation, in the order of the calls."""
    import plotly.graph_objects as go

    figure = go.Figure()
    order = {one.key: place + 1 for place, one in enumerate(findings.listed)}
    groups: dict[str, list[int]] = {}
    for place, one in enumerate(findings.good):
        why = one.role if one.given else str(one.plan.get("why", "random"))
        groups.setdefault(CALLED.get(why, why), []).append(place)
    for name, places in groups.items():
        one = findings.good[places[0]]
        why = one.role if one.given else str(one.plan.get("why", "random"))
        figure.add_trace(go.Scatter(
            x=[order[findings.good[place].key] for place in places],
            y=findings.distances[places], mode="markers", name=name,
            text=[_label(findings, place) for place in places], hoverinfo="text",
            marker={"size": 9, "color": COLOURS.get(why, GREY),
                    "line": {"width": 0.6, "color": "white"}},
        ))  # fmt: skip
    figure.add_hline(y=0.0, line={"color": BLACK, "width": 1})
    return _styled(figure, "oracle call", "above the final hull (eV/atom)")


def _label(findings: Findings, place: int) -> str:
    one = findings.good[place]
    return (
        f"<b>{subscripted(one.formula)}</b> ({one.name})<br>"
        f"{findings.distances[place]:.3f} eV/atom above the hull"
    )


def parity_figure(findings: Findings) -> go.Figure | None:
    """Predicted against relaxed formation energies, each with its 90 % interval."""
    import plotly.graph_objects as go

    pairs = predicted_pairs(findings, findings.listed)
    if len(pairs) < 2:
        return None
    truth = np.array([one["truth"] for one in pairs])
    predicted = np.array([one["predicted"] for one in pairs])
    figure = go.Figure()
    ends = [min(truth.min(), predicted.min()), max(truth.max(), predicted.max())]
    figure.add_trace(go.Scatter(
        x=ends, y=ends, mode="lines", line={"color": BLACK, "width": 1}, hoverinfo="skip",
        showlegend=False,
    ))  # fmt: skip
    figure.add_trace(go.Scatter(
        x=truth, y=predicted, mode="markers", showlegend=False, hoverinfo="text",
        text=[f"<b>{subscripted(one['formula'])}</b> ({one['name']})" for one in pairs],
        error_y={
            "type": "data", "symmetric": False, "thickness": 1, "width": 0, "color": GREY,
            "array": [one["high"] - one["predicted"] for one in pairs],
            "arrayminus": [one["predicted"] - one["low"] for one in pairs],
        },
        marker={"size": 8, "color": BLUE, "line": {"width": 0.6, "color": "white"}},
    ))  # fmt: skip
    return _styled(figure, "formation energy, relaxed (eV/atom)", "predicted before (eV/atom)")


def calibration_figure(findings: Findings) -> go.Figure | None:
    """Share of the truths inside intervals of each probability."""
    import plotly.graph_objects as go

    pairs = {one["name"]: one for one in predicted_pairs(findings, findings.listed)}
    told = [(pairs[one.name]["truth"], one.plan["intervals"]) for one in findings.listed
            if one.name in pairs and one.plan.get("intervals")]  # fmt: skip
    if len(told) < 5:
        return None
    levels = sorted(float(level) for level in told[0][1])
    inside = [
        np.mean([spans[f"{p:g}"][0] <= truth <= spans[f"{p:g}"][1] for truth, spans in told])
        for p in levels
    ]
    figure = go.Figure()
    figure.add_trace(go.Scatter(
        x=[0, 100], y=[0, 100], mode="lines", line={"color": BLACK, "width": 1},
        hoverinfo="skip", name="perfect",
    ))  # fmt: skip
    figure.add_trace(go.Scatter(
        x=[100 * p for p in levels], y=[100 * share for share in inside], mode="lines+markers",
        name=f"{len(told)} predictions", line={"color": BLUE}, marker={"size": 9},
    ))  # fmt: skip
    return _styled(figure, "probability stated (%)", "inside the interval (%)")


def rounds_figure(rounds: Sequence[dict[str, Any]]) -> go.Figure | None:
    """Compounds found, and the error of the predictions, against oracle calls."""
    import plotly.graph_objects as go

    closed = [one for one in rounds if one["closed"]]
    if not closed:
        return None
    calls = [one["calls_so_far"] for one in closed]
    figure = go.Figure()
    for name, key, colour in (("stable compounds", "stable", BLUE),
                              ("of these found, not given", "found", GREEN)):  # fmt: skip
        figure.add_trace(go.Scatter(
            x=calls, y=[one[key] for one in closed], mode="lines+markers", name=name,
            line={"color": colour, "shape": "hv"}, marker={"size": 8},
        ))  # fmt: skip
    for name, key, dash in (("mean error of predictions", "error", "solid"),
                            ("the same without the level map", "raw_error", "dot")):  # fmt: skip
        known = [(n, one[key]) for n, one in zip(calls, closed, strict=True) if key in one]
        if known and (key == "error" or any(one.get("raw_error") != one.get("error")
                                            for one in closed)):  # fmt: skip
            figure.add_trace(go.Scatter(
                x=[n for n, _ in known], y=[value for _, value in known], mode="lines+markers",
                name=name, yaxis="y2", line={"color": VERMILLION, "dash": dash},
                marker={"size": 7, "symbol": "diamond"},
            ))  # fmt: skip
    figure.update_layout(yaxis2={
        "overlaying": "y", "side": "right", "title": {"text": "error (eV/atom)"},
        "rangemode": "tozero", "showgrid": False,
    })  # fmt: skip
    figure = _styled(figure, "oracle calls", "compounds")
    figure.update_layout(margin={"r": 80})
    return figure


def pattern_figure(pattern: PowderPattern) -> go.Figure:
    """A powder pattern as sticks."""
    import plotly.graph_objects as go

    x = np.repeat(pattern.two_theta, 3)
    y = np.zeros(len(x))
    y[1::3] = pattern.intensity
    gaps = np.full(len(x), np.nan)
    gaps[0::3], gaps[1::3] = x[0::3], x[1::3]
    y[2::3] = np.nan
    figure = go.Figure(go.Scatter(x=gaps, y=y, mode="lines", line={"color": BLUE, "width": 1.4},
                                  hoverinfo="x+y", showlegend=False))  # fmt: skip
    figure = _styled(figure, "2θ (degrees, Cu Kα)", "intensity (%)")
    figure.update_layout(height=250, margin={"t": 12})
    figure.update_yaxes(rangemode="tozero")
    figure.update_xaxes(range=list(ANGLES))
    return figure


def front_figure(values: Any, name: str, labels: Sequence[str], front: Any) -> go.Figure:
    """Hull distance against the first other objective, the front marked."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for kept, called, colour in ((~front, "others", GREY), (front, "Pareto front", VERMILLION)):
        rows = np.flatnonzero(kept)
        figure.add_trace(go.Scatter(
            x=values[rows, 1], y=values[rows, 0], mode="markers", name=called,
            text=[labels[row] for row in rows.tolist()], hoverinfo="text+x+y",
            marker={"size": 9, "color": colour},
        ))  # fmt: skip
    return _styled(figure, name, "above the hull (eV/atom)")


def _styled(figure: go.Figure, across: str, up: str) -> go.Figure:
    axis = {"showline": True, "linecolor": BLACK, "ticks": "outside", "gridcolor": "#eceff2",
            "zeroline": False}  # fmt: skip
    figure.update_layout(
        template="none", height=HEIGHT, paper_bgcolor="white", plot_bgcolor="white",
        font={"family": FONT, "size": 14, "color": BLACK},
        margin={"l": 75, "r": 20, "t": 40, "b": 60},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 13}},
    )  # fmt: skip
    figure.update_xaxes(title={"text": across}, **axis)
    figure.update_yaxes(title={"text": up}, selector={"side": None}, **axis)
    return figure


def drawn(figure: go.Figure | None, caption: str) -> Html:
    """A figure with its caption; nothing where there is none."""
    if figure is None:
        return Html("")
    text = figure.to_html(
        include_plotlyjs=False,
        full_html=False,
        config={"displayModeBar": False, "responsive": True},
    )
    return element("figure", Html(text), element("figcaption", caption), class_="figure")
