"""The report as a page: what was found, how sure that is, what it cost, how to do it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from materialabs.discovery.closing import predicted_pairs, prediction_errors
from materialabs.discovery.crystal_view import SCRIPT
from materialabs.discovery.report_figures import (
    calibration_figure,
    choice_figure,
    drawn,
    parity_figure,
    rounds_figure,
)
from materialabs.discovery.report_markup import STYLE, Html, element, formula, number, table
from materialabs.discovery.report_parts import (
    compounds_part,
    costs_part,
    given_part,
    looks_part,
    near_part,
    objectives_part,
    relaxations_part,
    reproduce_part,
)

if TYPE_CHECKING:
    from materialabs.discovery.report import ReportContents

DRAWABLE: Final = 4
"""Elements of the largest phase diagram that has a picture."""


def page(contents: ReportContents, folder: str) -> str:
    """The whole page; ``folder`` names where the compounds' files are, if anywhere."""
    campaign = contents.campaign
    title = f"{campaign.system}: discovery campaign"
    parts = [
        _opening(contents),
        _diagram(contents),
        compounds_part(contents, folder),
        near_part(contents),
        looks_part(contents),
        objectives_part(contents),
        _course(contents),
        _trust(contents),
        costs_part(contents),
        given_part(contents),
        relaxations_part(contents),
        _events(contents),
        reproduce_part(contents),
    ]
    head = element(
        "head", Html('<meta charset="utf-8">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html('<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
             "script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:\">"),
        element("title", title), element("style", Html(STYLE)),
        Html(f"<script>{_plotly()}</script>"),
    )  # fmt: skip
    body = element("body", element("main", *parts), Html(f"<script>{SCRIPT}</script>"))
    return "<!doctype html>\n" + element("html", head, body, lang="en")


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


# -- what was found -------------------------------------------------------------------------------


def _opening(contents: ReportContents) -> Html:
    campaign = contents.campaign
    findings, request = campaign.findings, campaign.row.request
    stable = [] if findings.missing else findings.stable
    found = [] if findings.missing else findings.found
    tiles = [
        (len(stable), "compounds on the convex hull"),
        (len(found), "of these found, not given"),
        (findings.calls, "crystals relaxed"),
        (max((one.get("candidates", 0) for one in contents.rounds), default=0),
         "candidates to choose from"),
        (_duration(findings.seconds), "of computing"),
    ]  # fmt: skip
    pressure = request.constraints.pressure
    return element(
        "section",
        element("p", "materialabs · discovery campaign ", element("code", campaign.id),
                class_="soft small"),
        element("h1", f"Stable crystals in {campaign.system}"),
        element("p", *_verdict(contents), class_="lead"),
        element("div", *(element("div", element("b", value), name, class_="tile")
                         for value, name in tiles), class_="tiles"),
        element("p", "Energies are those of ", element("b", str(request.hull_level)),
                f" at {pressure:g} GPa. " if pressure else ". ",
                "A crystal is stable at that level if no mixture of other phases with the same "
                "atoms has a lower energy: it then lies on the convex hull. The distance above "
                "the hull says how much energy a crystal would win by falling apart. Whether a "
                "real sample forms also depends on temperature, entropy and kinetics, which are "
                "not in these energies, and on how good the level is.", class_="soft"),
    )  # fmt: skip


def _verdict(contents: ReportContents) -> list[Any]:
    campaign = contents.campaign
    findings = campaign.findings
    ended = f"The campaign {campaign.state}: {campaign.reason}." if campaign.reason else (
        f"The campaign is {campaign.state}.")  # fmt: skip
    if findings.missing:
        names = ", ".join(findings.missing)
        return [f"There is no energy of {names} at this level, and so no hull. ", ended]
    if not findings.found:
        return ["No stable compound was found beyond what was given. ", ended]
    listed: list[Any] = []
    for one in findings.found:
        listed += [formula(one.formula), ", "]
    return ["Found on the hull: ", *listed[:-1], ". ", ended]


def _diagram(contents: ReportContents) -> Html:
    findings = contents.campaign.findings
    if findings.missing or len(findings.hull.elements) > DRAWABLE:
        return Html("")
    caption = (
        "Phase diagram. Large dots are stable; lines join phases that can coexist; small dots are "
        "crystals above the hull, coloured by how far. Point at a dot for its name."
    )
    return element("section", element("h2", "Phase diagram"),
                   drawn(findings.hull_of_distinct.figure(), caption))  # fmt: skip


# -- how it went ----------------------------------------------------------------------------------


def _course(contents: ReportContents) -> Html:
    findings = contents.campaign.findings
    if findings.missing:
        return Html("")
    rows = [
        (
            one["number"], one.get("candidates", 0), one["relaxed"], one["failed"],
            one["stable"], formula(", ".join(one["new_stable"])), number(one.get("error")),
            number(one.get("raw_error")),
        )
        for one in contents.rounds
        if one["closed"]
    ]  # fmt: skip
    heads = ("round", "candidates", "relaxed", "without energy", "stable so far", "stable and new",
             "error (eV/atom)", "without map")  # fmt: skip
    return element(
        "section", element("h2", "How the search went"),
        element("p", "Round 0 relaxes the elements and the crystals given beforehand, so that the "
                "hull is consistent. Each later round generates candidates, predicts them, and "
                "relaxes those that promise most: confident ones first, later a growing share of "
                "unsure ones, so that what the model does not know is looked at too."),
        element("div",
                drawn(choice_figure(findings), "Each relaxed crystal, in the order of the calls. "
                      "A search that learns brings its later points down."),
                drawn(rounds_figure(contents.rounds), "Compounds on the hull, and the mean error "
                      "of the predictions, round by round."), class_="split"),
        table(heads, rows, numeric=2),
    )  # fmt: skip


def _trust(contents: ReportContents) -> Html:
    findings = contents.campaign.findings
    pairs = [] if findings.missing else predicted_pairs(findings, findings.listed)
    if len(pairs) < 2:
        return Html("")
    errors = prediction_errors(findings, findings.listed)
    said = (
        f"On {errors['pairs']} crystals the prediction made before the relaxation was off by "
        f"{number(errors['error'])} eV/atom on average; {100 * errors['inside_90']:.0f} % of the "
        "relaxed energies lay inside the 90 % intervals."
    )
    distances = [abs(one["distance"] - one["true_distance"]) for one in pairs]
    said += f" For hull distances the error was {number(float(np.mean(distances)))} eV/atom."
    if "raw_error" in errors and errors["raw_error"] != errors["error"]:
        said += (
            f" Without the map between the model's level and the oracle's it would have been "
            f"{number(errors['raw_error'])} eV/atom."
        )
    return element(
        "section", element("h2", "How far to trust the predictions"), element("p", said),
        element("div",
                drawn(parity_figure(findings), "Predicted against relaxed formation energies, with "
                      "90 % intervals. On the line the prediction was right."),
                drawn(calibration_figure(findings), "Calibration: an interval that is called 90 % "
                      "should hold 90 % of the truths. Below the line the model was too sure."),
                class_="split"),
    )  # fmt: skip


def _events(contents: ReportContents) -> Html:
    failed = [
        one for one in contents.campaign.findings.listed
        if one.result["status"] != "converged"
    ]  # fmt: skip
    lines = [element("li", sentence) for sentence in contents.events]
    lines += [element("li", sentence) for sentence in contents.lost_lists]
    rows = [
        (one.name, formula(one.formula), str(one.result["status"]), one.result["reason"])
        for one in failed
    ]
    return element(
        "section", element("h2", "What happened on the way"), element("ul", *lines),
        *([element("p", "Relaxations that did not converge. Those without an energy count as "
                   "results too, and are not on the hull:"),
           table(("name", "formula", "status", "reason"), rows)] if rows else []),
    )  # fmt: skip


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"
