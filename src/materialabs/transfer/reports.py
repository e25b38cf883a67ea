"""A transfer model's report: one HTML file, without a network, of what it reaches and where not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from materialabs.networks import model_report
from materialabs.networks.model_files import write_bytes
from materialabs.networks.model_report import facts, html_table, pictures_of
from materialabs.transfer.judging import Judged
from materialabs.transfer.models import TransferModel
from materialabs.transfer.strategies import NETWORKS
from materialabs.transfer.tables import Measurements


def write_report(model: TransferModel, measured: Measurements, judged: Judged, path: Path) -> None:
    """Write the report of a model.

    Parameters
    ----------
    model
        The model.
    measured
        What it learned from.
    judged
        What was said of each row before it was learned from.
    path
        The HTML file.
    """
    write_bytes(path, report_text(model, measured, judged).encode())


def report_text(model: TransferModel, measured: Measurements, judged: Judged) -> str:
    """The whole report as HTML."""
    from plotly.offline import get_plotlyjs

    card = model.card
    figures = card["metrics"]
    once = judged.once()
    lead = (
        f"<p class='lead'>{escape(model.head.title)} of {escape(measured.name)}: "
        f"{len(measured):,} rows, {card['data']['formulas']:,} formulas. "
        f"{_judged_rows(len(measured), once, judged)}: {escape(card['folds'])}.</p>"
    )
    body = _classes(model, figures) if model.head.classes else _numbers(model, measured, once)
    return (
        f"<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'>"
        f"<title>{escape(model.name)}</title><style>{model_report.STYLE}</style>"
        f"<script>{get_plotlyjs()}</script></head><body><h1>Model {escape(model.name)}</h1>"
        f"{lead}{body}<h2>Folds</h2>{_folds(figures['folds'], card)}"
        f"<h2>What it is made of</h2>{_strategies(card)}"
        f"<h2>Data and versions</h2>{_provenance(card)}</body></html>\n"
    )


def _judged_rows(rows: int, once: Judged, judged: Judged) -> str:
    """How many rows were judged, and how often."""
    if len(once.rows) == len(judged.rows) == rows:
        return "Each row was judged once by a model that had not learned from its fold"
    told = f"{len(once.rows):,} of {rows:,} rows were judged, by models that had not learned from "
    again = len(judged.rows) - len(once.rows)
    first = " (rows of several folds count once, as the first of them told it)" if again else ""
    return f"{told}their fold{first}"


def _numbers(model: TransferModel, measured: Measurements, judged: Judged) -> str:
    figures = model.card["metrics"]
    first, unit = figures["coverage"][0], escape(figures["unit"])
    lead = (
        f"<p>Mean absolute error <b>{figures['mae']:.4g} {unit}</b> (95 % interval "
        f"{figures['mae_from']:.4g} to {figures['mae_to']:.4g}), root mean square "
        f"{figures['rmse']:.4g}, R² {model_report.share_explained(figures)}. 90 % intervals hold "
        f"{100 * first['coverage']:.1f} % of the measured values; their mean width is "
        f"{first['width']:.4g} {unit}.</p>"
    )
    formulas = np.array(measured.compositions.formulas())[judged.rows]
    truth = measured.targets[judged.rows, 0]
    pictures = pictures_of([
        model_report.parity_figure(model.head, judged.told, truth, formulas),
        model_report.calibration_figure(figures),
    ])  # fmt: skip
    worst = [
        {
            "row": one["id"], "formula": one["formula"], "measured": one["true"],
            "predicted": one["predicted"],
            "90 % interval": f"{one['low']:.4g} to {one['high']:.4g}",
        }
        for one in figures["worst"]
    ]  # fmt: skip
    return f"{lead}{pictures}<h2>Largest errors</h2>{html_table(worst)}"


def _classes(model: TransferModel, figures: Mapping[str, Any]) -> str:
    area = figures.get("roc_auc")
    more = "" if area is None else f", area under the ROC curve {area:.3f}"
    rows = [
        {"true class": name, **{f"told {one}": n for one, n in
                                zip(model.head.classes, counts, strict=True)}}
        for name, counts in zip(model.head.classes, figures["confusion"], strict=True)
    ]  # fmt: skip
    return (
        f"<p>The most likely class is right for <b>{100 * figures['accuracy']:.1f} %</b> (95 % "
        f"interval {100 * figures['accuracy_from']:.1f} to {100 * figures['accuracy_to']:.1f}); "
        f"balanced accuracy {figures['balanced_accuracy']:.3f}{more}.</p>"
        f"{pictures_of([model_report.reliability_figure(figures)])}{html_table(rows)}"
    )


def _folds(folds: Sequence[Mapping[str, float]], card: Mapping[str, Any]) -> str:
    rows: list[dict[str, Any]] = [{"fold": number + 1, **fold} for number, fold in enumerate(folds)]
    for row, names in zip(rows, card["sources_of_folds"], strict=True):
        row["learned with"] = _listed(names)
    return html_table(rows)


def _strategies(card: Mapping[str, Any]) -> str:
    used = {one["name"] for one in card["strategies"]}
    rows = [
        {"strategy": name, "error inside the table": error, "used": "yes" if name in used else "no"}
        for name, error in card["trials"].items()
    ]
    sources = _listed([one["name"] for one in card["sources"]])
    told = f"<p>Sources of calculated knowledge: {escape(sources)}."
    if card["sources"] and card["sources_offered"]:
        told += " The one of the highest score was taken; each fold above chose for itself."
        if any(name.startswith(NETWORKS) for name in card["trials"]):
            told += " Networks begin as those of the two highest scores."
    scores = [{"source": name, "score": score} for name, score in card["sources_offered"].items()]
    return f"{html_table(rows)}{told}</p>{html_table(scores)}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _provenance(card: Mapping[str, Any]) -> str:
    data = card["data"]
    rows = {
        "data": f"{data['name']} ({card['credit'] or 'no credit given'}; "
        f"{card['licence'] or 'no licence given'})",
        "conditions": ", ".join(card["conditions"]) or "none",
        "notes": "; ".join(data["notes"]) or "none",
        "SHA-256 of the data": card["plan"]["data"],
        "versions": ", ".join(f"{name} {number}" for name, number in card["versions"].items()),
    }
    return facts(rows)
