"""A model's report: one HTML file, without a network, of what it reaches and where it fails."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from materialabs.networks.heads import Head, places_of
from materialabs.networks.judging import Assembled
from materialabs.networks.model_files import write_bytes
from materialabs.networks.training_data import TrainingData

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from materialabs.predictions import Prediction

BLUE, VERMILLION, GREY = "#0072B2", "#D55E00", "#8C8C8C"
COLOURS: Final = (BLUE, VERMILLION, "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Colours that people with any colour vision tell apart (Okabe and Ito 2008)."""

FONT: Final = "Helvetica, Arial, sans-serif"
WIDTH, HEIGHT = 520, 440
"""Pixels of a picture."""

MOST_POINTS: Final = 2_000
"""Points of a parity plot; of more, so many are drawn at random. They are plain vector graphics,
for browsers draw only a few WebGL pictures on one page."""

WORST_POINTS: Final = 100
"""Points with the largest errors, which are always drawn."""

STYLE: Final = f"""
body {{ font: 15px/1.5 {FONT}; color: #1a1a1a; max-width: 1120px; margin: 2em auto; padding:0 1em }}
h1 {{ font-size: 1.6em }} h2 {{ font-size: 1.25em; margin-top: 2em; border-bottom: 1px solid #ccc }}
h3 {{ font-size: 1.05em; margin: 1.2em 0 .3em }}
.pictures {{ display: flex; flex-wrap: wrap; gap: 16px }}
table {{ border-collapse: collapse; font-size: 14px; margin: .5em 0 }}
th, td {{ padding: 3px 10px; border-bottom: 1px solid #ddd; text-align: right }}
th:first-child, td:first-child {{ text-align: left }}
th.text, td.text {{ text-align: left; overflow-wrap: anywhere }}
.lead {{ font-size: 1.1em }} .small {{ color: #555; font-size: 13px; overflow-wrap: anywhere }}
.wide {{ overflow-x: auto }}
"""

GEOMETRY_TITLES: Final = {"relaxed": "Relaxed crystals", "unrelaxed": "Unrelaxed candidates"}


def write_report(made: Assembled, data: TrainingData, path: Path) -> None:
    """Write the report of a model.

    Parameters
    ----------
    made
        The model and what it said of the test rows.
    data
        What it learned from.
    path
        The HTML file.
    """
    write_bytes(path, report_text(made, data).encode())


def report_text(made: Assembled, data: TrainingData) -> str:
    """The whole report as HTML."""
    from plotly.offline import get_plotlyjs

    card = made.model.card
    sections = [_head_section(made, data, head) for head in data.heads]
    return (
        f"<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'>"
        f"<title>{escape(made.model.name)}</title><style>{STYLE}</style>"
        f"<script>{get_plotlyjs()}</script></head><body>"
        f"<h1>Model {escape(made.model.name)}</h1>{_introduction(card)}"
        f"{''.join(sections)}<h2>Training</h2>{_training(card)}"
        f"<h2>Data and versions</h2>{_provenance(card)}</body></html>\n"
    )


def _introduction(card: Mapping[str, Any]) -> str:
    network, parts = card["network"], card["data"]["parts"]
    return (
        f"<p class='lead'>{network['members']} networks that read {escape(network['reads'])}, "
        f"trained on {parts['train']:,} of {card['data']['rows']:,} rows of "
        f"{escape(card['data']['name'])}. Judged once on {parts['test']:,} rows set aside: "
        f"{escape(card['split'])}.{_beginning(card)}</p>"
    )


def _beginning(card: Mapping[str, Any]) -> str:
    start = card["network"].get("start")
    return "" if start is None else (
        f" The networks began with the layers of the model {escape(start['name'])}."
    )  # fmt: skip


# -- one head -------------------------------------------------------------------------------------


def _head_section(made: Assembled, data: TrainingData, head: Head) -> str:
    parts = [f"<h2>{escape(head.title)}</h2>"]
    for geometry in made.rows:
        figures = made.model.card["metrics"][geometry][head.name]
        title = GEOMETRY_TITLES[geometry] if data_has_geometry(made) else "Test rows"
        if not figures.get("crystals"):
            parts.append(f"<h3>{title}</h3><p>No test row has a value.</p>")
            continue
        told = made.predictions[geometry, head.name]
        truth = data.targets[made.rows[geometry], places_of(data.heads)[head.name]]
        formulas = data.formulas[made.rows[geometry]]
        parts.append(f"<h3>{title}</h3>")
        parts.append(
            _classes(head, figures)
            if head.classes
            else _numbers(head, figures, told, truth[:, 0], formulas)
        )
    return "".join(parts)


def data_has_geometry(made: Assembled) -> bool:
    """Whether the model reads crystals, so that relaxed and unrelaxed differ."""
    return made.model.reads == "crystals"


def _numbers(
    head: Head, figures: Mapping[str, Any], told: Prediction, truth: NDArray[np.float64],
    formulas: NDArray[np.str_],
) -> str:  # fmt: skip
    first = figures["coverage"][0]
    unit = escape(figures["unit"])
    ratio = first.get("width_ratio")
    narrower = "" if ratio is None else (
        f" They are {ratio:.2f} times as wide as intervals of one width that hold as many."
    )  # fmt: skip
    own = "" if "own_mae" not in figures else (
        f" In {escape(figures['own_unit'])} itself the mean absolute error is "
        f"{figures['own_mae']:.4g} ({figures['own_mae_from']:.4g} to {figures['own_mae_to']:.4g})."
    )  # fmt: skip
    lead = (
        f"<p>Mean absolute error <b>{figures['mae']:.4g} {unit}</b> (95 % interval "
        f"{figures['mae_from']:.4g} to {figures['mae_to']:.4g}), median "
        f"{figures['median_error']:.4g}, root mean square {figures['rmse']:.4g}, "
        f"R² {share_explained(figures)}, on {figures['crystals']:,} rows. 90 % intervals hold "
        f"{100 * first['coverage']:.1f} % of the true values; their mean width is "
        f"{first['width']:.4g} {unit}.{narrower}{own}</p>"
    )
    pictures = pictures_of([
        parity_figure(head, told, truth, formulas), calibration_figure(figures),
    ])  # fmt: skip
    return f"{lead}{pictures}{_groups(figures)}{_worst(figures)}"


def share_explained(figures: Mapping[str, Any]) -> str:
    """R², which means nothing where all true values are equal."""
    return "-" if figures["r2"] is None else f"{figures['r2']:.3f}"


def _classes(head: Head, figures: Mapping[str, Any]) -> str:
    area = figures.get("roc_auc")
    more = "" if area is None else f", area under the ROC curve {area:.3f}"
    lead = (
        f"<p>The most likely class is right for <b>{100 * figures['accuracy']:.1f} %</b> (95 % "
        f"interval {100 * figures['accuracy_from']:.1f} to {100 * figures['accuracy_to']:.1f}) of "
        f"{figures['crystals']:,} rows{more}; cross-entropy {figures['log_loss']:.3f}.</p>"
    )
    rows = [
        {
            "true class": name,
            **{f"told {one}": n for one, n in zip(head.classes, counts, strict=True)},
        }
        for name, counts in zip(head.classes, figures["confusion"], strict=True)
    ]
    return lead + pictures_of([reliability_figure(figures)]) + "<h3>Predicted classes</h3>" + (
        html_table(rows)
    )  # fmt: skip


def _groups(figures: Mapping[str, Any]) -> str:
    rows = [
        {
            "group": row["group"],
            "rows": row["crystals"],
            "mean absolute error": row["mae"],
            "90 % intervals hold": f"{100 * row['coverage']:.1f} %",
            "(95 % interval)": f"{100 * row['from']:.1f} to {100 * row['to']:.1f}",
            "mean width": row["width"],
        }
        for row in figures["coverage"]
        if row["crystals"]
    ]
    return f"<h3>By width of interval and by chemistry</h3>{html_table(rows)}"


def _worst(figures: Mapping[str, Any]) -> str:
    rows = [
        {
            "id": row["id"],
            "formula": row["formula"],
            "true": row["true"],
            "predicted": row["predicted"],
            "90 % interval": f"{row['low']:.4g} to {row['high']:.4g}",
            "in domain": row["in_domain"],
        }
        for row in figures["worst"]
    ]
    return f"<h3>Largest errors</h3>{html_table(rows)}"


# -- pictures -------------------------------------------------------------------------------------


def parity_figure(
    head: Head, told: Prediction, truth: NDArray[np.float64], formulas: NDArray[np.str_]
) -> go.Figure:
    """Predicted against true values with 90 % intervals, formulas under the pointer."""
    import plotly.graph_objects as go

    known = np.flatnonzero(np.isfinite(truth))
    if len(known) > MOST_POINTS:
        worst = np.argsort(-np.abs(told.mean - truth)[known])[:WORST_POINTS]
        drawn = np.random.default_rng(0).permutation(known)[: MOST_POINTS - WORST_POINTS]
        known = np.union1d(known[worst], drawn)
    half = (told.high - told.low)[known] / 2.0
    names = [f"{told.ids[row] if told.ids else row}: {formulas[row]}" for row in known.tolist()]
    figure = go.Figure(
        go.Scatter(
            x=truth[known], y=told.mean[known], mode="markers", text=names,
            customdata=half, marker={"size": 5, "color": BLUE, "opacity": 0.55},
            hovertemplate="%{text}<br>true %{x:.4g}, predicted %{y:.4g} ± %{customdata:.2g}"
            "<extra></extra>",
        )
    )  # fmt: skip
    ends = [
        float(min(truth[known].min(), told.mean[known].min())),
        float(max(truth[known].max(), told.mean[known].max())),
    ]
    figure.add_scatter(
        x=ends, y=ends, mode="lines", line={"color": GREY, "dash": "dash"}, hoverinfo="skip"
    )
    unit = head.predicted_unit
    return _laid_out(
        figure, "Predicted against true", f"true {head.title} ({unit})", f"predicted ({unit})"
    )


def calibration_figure(figures: Mapping[str, Any]) -> go.Figure:
    """Share of true values inside intervals against what the intervals promise."""
    import plotly.graph_objects as go

    curve = figures["curve"]
    figure = go.Figure(
        go.Scatter(
            x=[100 * row["nominal"] for row in curve], y=[100 * row["observed"] for row in curve],
            mode="lines+markers", line={"color": BLUE},
        )
    )  # fmt: skip
    return _diagonal(figure, "Calibration", "intervals promise (%)", "and hold (%)")


def reliability_figure(figures: Mapping[str, Any]) -> go.Figure:
    """How often the most likely class is right against its probability."""
    import plotly.graph_objects as go

    rows = figures["reliability"]
    figure = go.Figure(
        go.Scatter(
            x=[100 * row["stated"] for row in rows], y=[100 * row["observed"] for row in rows],
            mode="lines+markers", line={"color": BLUE},
        )
    )  # fmt: skip
    return _diagonal(figure, "Calibration", "stated probability (%)", "right (%)")


def learning_figure(histories: Sequence[Sequence[Mapping[str, Any]]], head: str) -> go.Figure:
    """Validation error of each member over the epochs."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for member, history in enumerate(histories):
        figure.add_scatter(
            x=[epoch["number"] + 1 for epoch in history],
            y=[epoch["validation"].get(head) for epoch in history],
            mode="lines", name=f"member {member + 1}",
            line={"color": COLOURS[member % len(COLOURS)], "width": 1.8},
        )  # fmt: skip
    name, _, chosen = head.partition(": ")
    what = "cross-entropy" if chosen else "error / spread of the target"
    figure = _laid_out(figure, name.replace("_", " "), "epoch", f"validation {what}")
    figure.update_yaxes(type="log", dtick="D1", exponentformat="none")
    return figure.update_layout(showlegend=len(histories) > 1)


def _diagonal(figure: go.Figure, title: str, x: str, y: str) -> go.Figure:
    figure.add_scatter(
        x=[0, 100], y=[0, 100], mode="lines", line={"color": GREY, "dash": "dash"},
        hoverinfo="skip",
    )  # fmt: skip
    return _laid_out(figure, title, x, y)


def _laid_out(figure: go.Figure, title: str, x: str, y: str) -> go.Figure:
    figure.update_layout(
        title={"text": title, "font": {"size": 16}}, width=WIDTH, height=HEIGHT,
        template="simple_white", font={"family": FONT, "size": 13}, showlegend=False,
        margin={"l": 70, "r": 20, "t": 50, "b": 60}, xaxis_title=x, yaxis_title=y,
    )  # fmt: skip
    return figure


def pictures_of(figures: Iterable[go.Figure]) -> str:
    """Figures side by side; the page holds plotly once."""
    texts = [
        one.to_html(full_html=False, include_plotlyjs=False, config={"displaylogo": False})
        for one in figures
    ]
    return f"<div class='pictures'>{''.join(texts)}</div>"


# -- the rest -------------------------------------------------------------------------------------


def _training(card: Mapping[str, Any]) -> str:
    histories, recipe = card["histories"], card["recipes"][0]
    heads = list(histories[0][0]["validation"]) if histories[0] else []
    seconds = sum(epoch["seconds"] for history in histories for epoch in history)
    lead = (
        f"<p>{len(histories)} members, {recipe['epochs']} epochs at most, "
        f"{recipe['batch']} rows a step, products in {recipe['precision']}; "
        f"{seconds / 60:.1f} minutes of training in all.</p>"
    )
    volumes = [
        {
            "head": head.replace("_", " "),
            "volumes": ", ".join(f"{factor:g}" for factor in trial["factors"]),
            "joined by": trial["rule"],
            "validation error": trial["mae"],
            "chosen": "yes" if _same(trial, card["volumes"][head]) else "",
        }
        for head, trials in card["volume_trials"].items()
        for trial in trials
    ]
    tried = ""
    if volumes:
        tried = "<h3>Volumes tried for unrelaxed candidates</h3>" + html_table(volumes)
    return lead + pictures_of(learning_figure(histories, head) for head in heads) + tried


def _same(trial: Mapping[str, Any], chosen: Mapping[str, Any]) -> bool:
    return bool(trial["factors"] == chosen["factors"] and trial["rule"] == chosen["rule"])


def _provenance(card: Mapping[str, Any]) -> str:
    data = card["data"]
    rows = {
        "data": f"{data['name']} ({data['credit'] or 'no credit given'}; "
        f"{data['licence'] or 'no licence given'})",
        "SHA-256 of the data": data["sha256"],
        "rows": ", ".join(f"{name} {count:,}" for name, count in data["parts"].items()),
        "notes": "; ".join(data["notes"]) or "none",
        "split": card["split"],
        "SHA-256 of the weights": card["weights_sha256"],
        "versions": ", ".join(f"{name} {number}" for name, number in card["versions"].items()),
    }
    return facts(rows)


def facts(rows: Mapping[str, str]) -> str:
    """Named facts, a small line each."""
    return "".join(
        f"<p class='small'><b>{escape(name)}</b>: {escape(text)}</p>" for name, text in rows.items()
    )


def html_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as an HTML table, one column for each key of the first row; texts stand at the left."""
    if not rows:
        return ""
    _, *others = rows[0]
    sides = {name: " class='text'" for name in others if isinstance(rows[0][name], str)}

    def cells(kind: str, row: Mapping[str, str]) -> str:
        parts = (f"<{kind}{sides.get(n, '')}>{escape(text)}</{kind}>" for n, text in row.items())
        return f"<tr>{''.join(parts)}</tr>"

    head = cells("th", {name: name for name in rows[0]})
    body = "".join(cells("td", {n: _text(value) for n, value in row.items()}) for row in rows)
    return f"<div class='wide'><table><thead>{head}</thead><tbody>{body}</tbody></table></div>"


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return "-" if np.isnan(value) else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
