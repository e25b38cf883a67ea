"""``materialabs discover``: the closed loop in a chemical system."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from materialabs.cli.output import ENERGY_DECIMALS, note, print_json, print_rows

if TYPE_CHECKING:
    from materialabs.discovery.budgets import Budget
    from materialabs.discovery.campaign import Campaign
    from materialabs.discovery.constraints import Constraints
    from materialabs.discovery.two_levels import SecondLook
    from materialabs.discovery.watching import Watcher

ROWS_SHOWN = 15

StorePlace = Annotated[
    str,
    typer.Option(
        "--store", help="SQLite file, or a postgresql:// URL.", envvar="MATERIALABS_STORE"
    ),
]


def discover(
    system: Annotated[str, typer.Argument(help="Chemical system, such as Li-P-S.")],
    budget: Annotated[
        str, typer.Option(help="Oracle calls, elements included, or a time such as 30m.")
    ] = "60",
    store: StorePlace = "lab.db",
    oracle: Annotated[
        str,
        typer.Option(help="chgnet, chgnet-r2scan, gpaw, espresso, an ASE calculator such as emt."),
    ] = "chgnet",
    model: Annotated[
        str | None,
        typer.Option(help="What predicts: a network, or 'campaign': what this campaign learns."),
    ] = None,
    strategy: Annotated[
        str, typer.Option(help="mixed, likeliest, improvement, greedy, uncertainty or random.")
    ] = "mixed",
    max_atoms: Annotated[int, typer.Option(help="Atoms of the largest primitive cell.")] = 12,
    require: Annotated[
        list[str] | None, typer.Option(help="Element that all candidates hold; repeatable.")
    ] = None,
    forbid: Annotated[
        list[str] | None, typer.Option(help="Element that no candidate holds; repeatable.")
    ] = None,
    space_group: Annotated[
        list[int] | None, typer.Option(help="Space groups to start from; repeatable.")
    ] = None,
    not_space_group: Annotated[
        list[int] | None, typer.Option(help="Space groups to leave out; repeatable.")
    ] = None,
    pressure: Annotated[float, typer.Option(help="GPa.")] = 0.0,
    ranges: Annotated[
        list[str] | None,
        typer.Option("--range", help="NAME=LOW:HIGH, such as density=:5; repeatable."),
    ] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(help="max:NAME or min:NAME beside stability; repeatable."),
    ] = None,
    batch: Annotated[int, typer.Option(help="Relaxations in a round.")] = 8,
    seed: Annotated[int, typer.Option(help="The same seed gives the same campaign.")] = 0,
    deterministic: Annotated[
        bool,
        typer.Option("--deterministic", help="End with the same tasks however often disturbed."),
    ] = False,
    new: Annotated[
        bool, typer.Option("--new", help="Begin another campaign of the same request.")
    ] = False,
    more: Annotated[
        str | None, typer.Option(help="Extend the budget by so many calls, or so much time.")
    ] = None,
    processes: Annotated[int, typer.Option(help="Processes that relax.")] = 1,
    known: Annotated[
        list[str] | None, typer.Option(help="File of known crystals to compare with; repeatable.")
    ] = None,
    parents_only: Annotated[
        bool,
        typer.Option(
            "--parents-only", help="Take crystals at other levels as parents, without energies."
        ),
    ] = False,
    withhold: Annotated[
        list[str] | None,
        typer.Option(help="Formula taken out of everything given, to be rediscovered; repeatable."),
    ] = None,
    verify: Annotated[
        str | None, typer.Option(help="Oracle of another level for the best, such as gpaw.")
    ] = None,
    top: Annotated[int, typer.Option(help="How many are verified.")] = 5,
    report: Annotated[
        Path | None, typer.Option(help="HTML file of the report; SYSTEM.html by default.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Generate crystals of a system, judge, relax and record them, round by round, with a report.

    The same line goes on where it was stopped, and opens the report when it is finished.
    """
    from materialabs.cli.store import make_store
    from materialabs.crystals.files.writing import require_writable
    from materialabs.discovery import campaign as campaigns
    from materialabs.discovery.budgets import Budget
    from materialabs.discovery.constraints import Constraints, PropertyRange
    from materialabs.discovery.novelty import require_lists
    from materialabs.discovery.objectives import Objective
    from materialabs.discovery.oracle_choice import DEFAULT_ORACLE

    limits = Constraints(
        max_atoms, tuple(require or ()), tuple(forbid or ()), tuple(space_group or ()),
        tuple(not_space_group or ()), pressure,
        tuple(PropertyRange.parse(text) for text in ranges or ()),
    )  # fmt: skip
    wanted = [Objective.parse(text) for text in objective or ()]
    allowed = Budget.parse(budget)
    _check(system, limits, allowed, strategy=strategy, batch=batch, seed=seed)
    for name in dict.fromkeys((oracle, verify)):
        if name not in (None, DEFAULT_ORACLE):
            _check_oracle(name, system)
    require_lists(known or ())
    place = report or Path(f"{system}.html")
    require_writable(place, format="json")
    with make_store(store) as opened, watching(system, allowed.calls) as watcher:
        campaign = campaigns.discover(
            system, allowed, opened, oracle=oracle, model=model, strategy=strategy,
            constraints=limits, objectives=wanted,
            batch=batch, seed=seed, deterministic=deterministic, new=new, more=more,
            processes=processes, known=known or (), parents_only=parents_only,
            withheld=withhold or (), watcher=watcher,
        )  # fmt: skip
        look = _verified(campaign, verify, top, processes, watcher)
        show(campaign, place, json=json, look=look)


def _check(system: str, limits: Constraints, budget: Budget, **asked: Any) -> None:
    """Refuse a wrong call before a store is made."""
    from materialabs.discovery.request import CampaignRequest
    from materialabs.levels import Level

    request = CampaignRequest(system, Level("pending"), constraints=limits, **asked)
    budget.require_elements(len(request.elements))


def _check_oracle(name: str, system: str) -> None:
    """Refuse an oracle that is not there, or not for this system, before anything is made."""
    from materialabs.discovery.oracle_choice import open_oracle

    opened = open_oracle(name, system)
    del opened


def _verified(
    campaign: Campaign, oracle: str | None, top: int, processes: int, watcher: Watcher
) -> SecondLook | None:
    from materialabs.discovery.archive import STOPPED
    from materialabs.discovery.two_levels import best_of, verify

    if oracle is None or campaign.state == STOPPED:
        return None
    chosen = [f"{one.formula} ({one.relaxed.counts[0]} atoms)"
              for one in best_of(campaign.findings, top)]  # fmt: skip
    if chosen:
        note(f"To verify by {oracle}: {', '.join(chosen)}, with the elements and what they compete "
             "with; what is done is kept.")  # fmt: skip
    return verify(campaign, oracle, top=top, processes=processes, watcher=watcher)


@contextmanager
def watching(title: str, calls: int | None) -> Iterator[Watcher]:
    """A live view on a terminal, silence elsewhere."""
    import sys

    from materialabs.cli.inputs import settings
    from materialabs.discovery.watching import Silent, Terminal

    if settings().progress and sys.stderr.isatty():
        with Terminal(title, calls) as view:
            yield view
    else:
        yield Silent()


def show(campaign: Campaign, report: Path, *, json: bool, look: SecondLook | None = None) -> None:
    """Write the report and print what was found; a campaign that stopped ends the run as failed."""
    from materialabs.cli import FAILED
    from materialabs.discovery.archive import STOPPED
    from materialabs.discovery.report import summary

    written = campaign.report(report)
    document = summary(campaign)
    if look is not None:
        document["verification"] = look.table()
    if json:
        print_json(document | {"report": str(written)})
    else:
        _print(campaign, written, look)
    if campaign.state == STOPPED:
        raise typer.Exit(FAILED)


def _print(campaign: Campaign, report: Path, look: SecondLook | None) -> None:
    rows = [
        {
            "name": row["name"], "formula": row["formula"], "status": row["status"],
            "formation energy": row["formation energy"], "above hull": row["above hull"],
            "origin": row["origin"],
        }
        for row in campaign.table() if not row["same as"]
    ]  # fmt: skip
    title = f"{campaign!r} (eV/atom)"
    print_rows(rows[:ROWS_SHOWN], title=title, decimals=ENERGY_DECIMALS)
    if look is not None:
        title = "Decomposition energies, each on the hull of its own level"
        print_rows(look.table(), title=title, decimals=ENERGY_DECIMALS)
    if campaign.state != "finished":
        note(f"The campaign {campaign.state}: {campaign.reason}.")
    note(f"Report: {report}")
