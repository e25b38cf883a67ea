"""Parts of the report: compounds, near misses, verification, cost, what was given, how to redo."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from materialabs.discovery.costs import CLAIMS
from materialabs.discovery.crystal_view import scene
from materialabs.discovery.dossiers import Dossier
from materialabs.discovery.findings import Finding, Findings
from materialabs.discovery.objectives import pareto_front
from materialabs.discovery.properties import asked
from materialabs.discovery.report_figures import drawn, front_figure, pattern_figure
from materialabs.discovery.report_markup import Html, element, formula, number, table
from materialabs.discovery.tables import finding_rows, origin_text

if TYPE_CHECKING:
    from materialabs.discovery.report import ReportContents


TWINS_TOLD: Final = 3
"""Other ways to the same crystal that a card tells."""


def canvas(crystal: Any, label: str) -> Html:
    """A crystal to turn with the mouse."""
    return element("canvas", class_="crystal", data_scene=scene(crystal), role="img",
                   aria_label=f"Crystal structure of {label}; drag to turn")  # fmt: skip


# -- compounds ------------------------------------------------------------------------------------


def compounds_part(contents: ReportContents, folder: str) -> Html:
    """A card for each stable compound."""
    if not contents.dossiers:
        return Html("")
    intro = (
        "Each card shows the relaxed crystal (drag to turn it), its simulated powder pattern, what "
        "it would fall apart into, and what it was compared with. Nothing is called new: the card "
        "says where the compound was looked for."
    )
    files = f" Files of each compound are in the folder {folder}." if folder else ""
    return element(
        "section", element("h2", "Stable compounds"), element("p", intro + files),
        *(_card(one) for one in contents.dossiers),
    )  # fmt: skip


def _card(one: Dossier) -> Html:
    tag = element("span", "given" if one.finding.given else "found by this campaign",
                  class_="tag given" if one.finding.given else "tag")  # fmt: skip
    windows = "; ".join(
        f"{symbol} from {'−∞' if low == float('-inf') else number(low)} to {number(high)}"
        for symbol, (low, high) in one.windows.items()
    )
    facts = [
        ("Space group", one.space_group),
        ("Atoms in the cell", str(int(one.crystal.counts[0]))),
        ("Formation energy", f"{number(one.formation_energy)} eV/atom"),
        ("Stable by", f"{number(-one.decomposition_energy)} eV/atom against its competitors"),
        ("Would form otherwise", formula(one.reaction)),
        ("Chemical potentials", f"{windows} (eV/atom, zero at the element)"),
        ("How it was made", origin_text(one.finding)),
        ("Also reached", _reached(one.twins)),
        ("Compared", element("ul", *(element("li", _sentence(item)) for item in one.comparisons))),
        ("Same structure type", ", ".join(one.relatives) or "none among those compared"),
    ]
    if one.finding.result["status"] != "converged":
        facts.insert(2, ("Relaxation", "not converged: its energy is an upper bound"))
    listed = [part for name, value in facts for part in (element("dt", name), element("dd", value))]
    pattern = Html("")
    if one.pattern is not None and len(one.pattern.two_theta):
        pattern = drawn(pattern_figure(one.pattern), "Simulated powder diffraction, Cu Kα.")
    return element(
        "article", element("h3", formula(one.finding.formula), tag),
        element("div", element("div", canvas(one.crystal, one.finding.formula), pattern),
                element("dl", *listed), class_="split"),
        class_="card", id=f"compound-{one.finding.name}",
    )  # fmt: skip


def _reached(twins: Sequence[Finding]) -> str:
    """The first few of other ways to the same crystal, and how many more there are."""
    if not twins:
        return "by no other start"
    told = "; ".join(f"{one.name}, {origin_text(one)}" for one in twins[:TWINS_TOLD])
    more = len(twins) - TWINS_TOLD
    return f"{told}; and {more} more" if more > 0 else told


def _sentence(item: Any) -> str:
    text: str = item.sentence
    return text[:1].upper() + text[1:]


def near_part(contents: ReportContents) -> Html:
    """Pictures of the compounds that came nearest to the hull."""
    findings = contents.campaign.findings
    if not contents.near_misses:
        return Html("")
    return element(
        "section", element("h2", "Nearest above the hull"),
        element("p", "Found, and not stable at this level. Within about 0.05 eV/atom a crystal may "
                "still be made, or be stable at a better level or at a higher temperature."),
        element("div", *(_miss(findings, one) for one in contents.near_misses), class_="split"),
    )  # fmt: skip


def _miss(findings: Findings, one: Finding) -> Html:
    reaction = findings.hull.decompose(one.relaxed).reactions()[0]
    return element(
        "article", element("h3", formula(one.formula)), canvas(one.relaxed, one.formula),
        element("p", f"{number(findings.distance_of(one))} eV/atom above the hull; ",
                formula(reaction), ". ", origin_text(one), ".", class_="small"),
        class_="card",
    )  # fmt: skip


# -- a second level -------------------------------------------------------------------------------


def looks_part(contents: ReportContents) -> Html:
    """Tables of the verifications at other levels."""
    parts = []
    for look in contents.looks:
        level = look.second.row.request.hull_level
        rows = [
            (
                formula(row["formula"]), row["status"], number(row["first level"]),
                number(row["second level"]), number(row["difference"]), number(row["predicted"]),
                number(row["raw difference between levels"]), row["remarks"],
            )
            for row in look.table()
        ]  # fmt: skip
        heads = ("compound", "status", "first level", "second level", "difference",
                 "predicted hull distance", "raw difference between levels", "remarks")  # fmt: skip
        missing = look.second.findings.missing
        parts.append(element(
            "section", element("h2", f"Verified at {level}"),
            element("p", "Decomposition energies in eV/atom, each on the hull of its own level "
                    "(negative: stable, by so much). Energies of two levels are not comparable "
                    "as they stand; their raw difference is shown in a column of its own."),
            element("p", f"Without {', '.join(missing)} at this level there is no second hull.",
                    class_="bad") if missing else Html(""),
            table(heads, rows),
            element("p", f"Mean absolute difference: {number(look.mean_difference)} eV/atom."),
        ))  # fmt: skip
    return Html("".join(parts))


def objectives_part(contents: ReportContents) -> Html:
    """The front of several objectives, where the campaign had them."""
    request = contents.campaign.row.request
    if not request.objectives and not request.constraints.ranges:
        return Html("")
    names = asked(request)
    findings = contents.campaign.findings
    rows = []
    for one in findings.good:
        told = one.plan.get("properties")
        if told:
            rows.append((formula(one.formula), one.name, number(findings.distance_of(one)),
                         *(number(told.get(name)) for name in names)))  # fmt: skip
    rows.sort(key=lambda row: str(row[2]))
    figure = Html("")
    if request.objectives:
        figure = drawn(_front(contents), "Hull distance against the first objective. No other "
                       "compound beats one of the front in both.")  # fmt: skip
    aims = ", ".join(f"{one.aim} {one.name}" for one in request.objectives) or "none"
    limits = ", ".join(f"{one.name} from {one.low:g} to {one.high:g}"
                       for one in request.constraints.ranges) or "none"  # fmt: skip
    return element(
        "section", element("h2", "Other aims"),
        element("p", f"Objectives beside stability: {aims}. Ranges asked for: {limits}. Values are "
                "those predicted before the relaxation."),
        figure,
        table(("compound", "name", "above the hull (eV/atom)", *names), rows,
              numeric=1 + len(names)),
    )  # fmt: skip


def _front(contents: ReportContents) -> Any:
    """Hull distance against the first objective, the Pareto front marked."""
    findings = contents.campaign.findings
    aim = contents.campaign.row.request.objectives[0]
    told = [
        (findings.distance_of(one), one.plan["properties"][aim.name], one)
        for one in findings.good
        if one.plan.get("properties")
    ]
    if not told:
        return None
    values = np.array([[distance, value] for distance, value, _ in told])
    front = pareto_front(np.column_stack([values[:, 0], aim.turned(values[:, 1])]))
    labels = [f"{one.formula} ({one.name})" for _, _, one in told]
    return front_figure(values, aim.name, labels, front)


# -- cost, origins, repetition --------------------------------------------------------------------


def costs_part(contents: ReportContents) -> Html:
    """Measured cost beside chance and a perfect chooser, and published claims apart."""
    if not contents.costs:
        return Html("")
    rows = [
        (
            row["way"], number(row["found"], 2), number(row["calls"], 1),
            f"{100 * row['found for each call']:.1f} %",
            f"{100 * row['share of candidates relaxed']:.1f} %",
            number(row["computing hours"], 3),
        )
        for row in contents.costs
    ]  # fmt: skip
    claims = [
        (name, f"{100 * share:.1f} %", f"{count:,}", f"{hours:,.0f}")
        for name, share, count, hours in CLAIMS
    ]
    return element(
        "section", element("h2", "What it cost"),
        element("p", "Measured in this campaign; beside it what choosing by chance would be "
                "expected to give if the compounds found here were the only stable ones among the "
                "candidates, and what a chooser who never errs would need."),
        table(("way", "stable compounds found", "oracle calls", "found a call",
               "of the candidates", "computing hours"), rows, numeric=5),
        element("details", element("summary", "Published figures of the same kind"),
                element("p", "Claims of a white paper for 500,000 candidates; not results of this "
                        "program."),
                table(("way", "found", "calculations", "hours"), claims, numeric=3)),
    )  # fmt: skip


def given_part(contents: ReportContents) -> Html:
    """What the campaign was given, so that nobody takes it for found."""
    findings = contents.campaign.findings
    given = [one for one in findings.listed if one.given]
    known, withheld = len(findings.known), contents.campaign.row.request.withheld
    rows = [
        (one.name, formula(one.formula), one.role, origin_text(one),
         number(findings.distance_of(one)) if not findings.missing else "–")
        for one in given
    ]  # fmt: skip
    lists = ", ".join(f"{one.name} ({len(one.crystals):,} crystals)" for one in contents.lists)
    return element(
        "section", element("h2", "What was given"),
        element("p", "The campaign started from the structures below. Candidates were made by "
                "filling known structure types with the elements of the system, and at random; "
                "which compounds are stable was not given."),
        element("p", f"{known} entries of the store at this level stood on the hull from the "
                "beginning." if known else "No energy was known at this level before."),
        element("p", "Taken out of everything given: ", formula(", ".join(withheld)), ".")
        if withheld else Html(""),
        table(("name", "formula", "kind", "origin", "above the hull (eV/atom)"), rows, numeric=1),
        element("p", f"Stable compounds were compared with: {lists}.", class_="small soft"),
    )  # fmt: skip


def relaxations_part(contents: ReportContents) -> Html:
    """Every relaxation, the nearest the hull first."""
    rows = [
        (
            row["name"], formula(row["formula"]), row["status"], row["origin"],
            str(row["atoms"]), number(row["formation energy"]), number(row["above hull"]),
            number(row["predicted"]), str(row["calls"]), row["same as"],
        )
        for row in finding_rows(contents.campaign.findings)
    ]  # fmt: skip
    heads = ("name", "formula", "status", "origin", "atoms", "formation energy", "above hull",
             "predicted before", "force calls", "same as")  # fmt: skip
    return element(
        "section", element("h2", "All relaxations"),
        element("details", element("summary", f"{len(rows)} crystals, the nearest the hull first "
                                   "(eV/atom)"), table(heads, rows, numeric=5)),
    )  # fmt: skip


def reproduce_part(contents: ReportContents) -> Html:
    """How to do it again and how to check it."""
    from materialabs import __version__

    campaign = contents.campaign
    row, request = campaign.row, campaign.row.request
    began = datetime.fromtimestamp(row.created / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    checkpoint = campaign.store.checkpoint.splitlines()
    facts = [
        ("Campaign", campaign.id), ("Begun", began), ("Program", f"materialabs {__version__}"),
        ("Level", str(request.hull_level)), ("Weights", request.level.weights or "–"),
        ("Model", request.model or "none"), ("Strategy", request.strategy),
        ("Seed", str(request.seed)), ("Budget", str(row.budget)),
        ("Log", " ".join(checkpoint[:3]) if checkpoint else "–"),
    ]  # fmt: skip
    listed = [part for name, value in facts
              for part in (element("dt", name), element("dd", element("code", value)))]  # fmt: skip
    return element(
        "section", element("h2", "Doing it again"),
        element("p", "The same line on an empty store begins the same campaign; on this store it "
                "opens this report. Every relaxation is a signed record in the store's log, which "
                "anyone can check:"),
        element("pre", f"{command_line(contents)}\nmaterialabs ledger verify"),
        element("dl", *listed),
    )  # fmt: skip


def command_line(contents: ReportContents) -> str:
    """The command that begins the campaign."""
    row, request = contents.campaign.row, contents.campaign.row.request
    limits = request.constraints
    words = ["materialabs", "discover", request.system]
    seconds = row.budget.seconds
    budget = str(row.budget.calls) if seconds is None else f"{seconds:g}s"
    told: list[tuple[str, Any, Any]] = [
        ("--budget", budget, None), ("--oracle", row.oracle, "chgnet"),
        ("--strategy", request.strategy, "mixed"), ("--batch", request.batch, None),
        ("--seed", request.seed, 0), ("--max-atoms", limits.max_atoms, None),
        ("--pressure", f"{limits.pressure:g}", "0"),
        *(("--require", symbol, None) for symbol in limits.require),
        *(("--forbid", symbol, None) for symbol in limits.forbid),
        *(("--space-group", group, None) for group in limits.space_groups),
        *(("--not-space-group", group, None) for group in limits.forbid_space_groups),
        *(("--range", f"{one.name}={one.low:g}:{one.high:g}", None) for one in limits.ranges),
        *(("--objective", f"{one.aim}:{one.name}", None) for one in request.objectives),
        *(("--withhold", name, None) for name in request.withheld),
        *(("--known", path, None) for path in row.known),
    ]  # fmt: skip
    if request.model == "campaign":
        told.append(("--model", "campaign", None))
    for name, value, default in told:
        if value != default and value != "":
            words += [name, str(value)]
    if request.deterministic:
        words.append("--deterministic")
    return shlex.join(words)
