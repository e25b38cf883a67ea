"""Campaigns as users meet them: begin or go on, look, report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any, Final

from materialabs.crystals.batch import Crystals
from materialabs.discovery import archive
from materialabs.discovery.archive import CampaignRow
from materialabs.discovery.bench import Leasing
from materialabs.discovery.budgets import Budget
from materialabs.discovery.constraints import Constraints
from materialabs.discovery.findings import Findings
from materialabs.discovery.forecasting import OWN_MODEL, Predictor, forecaster_for
from materialabs.discovery.novelty import require_lists
from materialabs.discovery.objectives import Objective
from materialabs.discovery.oracle_choice import (
    DEFAULT_ORACLE,
    open_oracle,
    patience_for,
    require_level,
    usual_settings,
)
from materialabs.discovery.parents import levels_with_energies
from materialabs.discovery.properties import require_predictors
from materialabs.discovery.request import DEFAULT_BATCH, CampaignRequest
from materialabs.discovery.runner import Runner, known_before, read_findings
from materialabs.discovery.watching import Silent, Watcher
from materialabs.errors import InputError
from materialabs.hull import Hull
from materialabs.levels import Level
from materialabs.oracles.oracle import DEFAULT_SETTINGS, Oracle
from materialabs.oracles.relaxation import RelaxationSettings
from materialabs.store.store import Store

DEFAULT_BUDGET: Final = 60
"""Oracle calls."""

_PENDING: Final = Level("pending")
"""Stands for the oracle's level until the oracle is open: wrong calls are refused before."""


class Campaign:
    """One campaign of a store.

    Parameters
    ----------
    store
        Where it stands.
    row
        What it is.
    """

    def __init__(self, store: Store, row: CampaignRow) -> None:
        self.store = store
        self.row = row

    @property
    def id(self) -> str:
        """What is typed to speak of it."""
        return self.row.id

    @property
    def system(self) -> str:
        """The chemical system."""
        return self.row.request.system

    @property
    def state(self) -> str:
        """``running``, ``finished`` or ``stopped``."""
        return self.row.state

    @property
    def reason(self) -> str:
        """Why it ended."""
        return self.row.reason

    @property
    def rounds(self) -> list[dict[str, Any]]:
        """What each round planned and found."""
        return archive.rounds(self.store, self.id)

    @cached_property
    def findings(self) -> Findings:
        """All relaxations, with the hull."""
        return read_findings(self.store, self.row, known_before(self.store, self.row))

    @property
    def hull(self) -> Hull:
        """The hull of the campaign: its relaxations and what was known before."""
        return self.findings.hull

    @property
    def stable(self) -> Crystals:
        """Stable compounds, relaxed; the columns say what is known of each.

        Columns: ``id``, ``formula``, ``formation_energy`` (eV/atom), ``role`` (``"candidate"`` for
        those that the campaign found, otherwise what it was given) and ``round``.
        """
        chosen = self.findings.stable
        crystals = self.findings.crystals(chosen)
        if not chosen:
            return crystals
        places = {one.key: place for place, one in enumerate(self.findings.good)}
        energies = [self.findings.formation.values[places[one.key]] for one in chosen]
        return crystals.with_columns(
            formula=[one.formula for one in chosen],
            formation_energy=energies,
            role=[one.role for one in chosen],
            round=[one.round for one in chosen],
        )

    def table(self) -> list[dict[str, Any]]:
        """Every relaxation, the nearest the hull first: rows ready to print or for JSON."""
        from materialabs.discovery.tables import finding_rows

        return finding_rows(self.findings)

    def report(self, path: str | Path = "report.html", *, folders: bool = True) -> Path:
        """Write the report as one HTML file, and a folder for each stable compound beside it."""
        from materialabs.discovery.report import write_report

        return write_report(self, Path(path), folders=folders)

    def __repr__(self) -> str:
        findings = self.findings
        ended = f" ({self.reason})" if self.reason else ""
        stable = 0 if findings.missing else len(findings.stable)
        return (
            f"Campaign({self.id}: {self.system} at {self.row.request.hull_level}, {self.state}"
            f"{ended}, {findings.calls} oracle calls, {stable} stable compounds)"
        )

    def _repr_html_(self) -> str:
        rows = self.table()[:15]
        names = ("name", "formula", "status", "formation energy", "above hull", "origin")
        head = "".join(f"<th>{name}</th>" for name in names)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(_text(row[name]))}</td>" for name in names) + "</tr>"
            for row in rows
        )
        return f"<p>{escape(repr(self))}</p><table><tr>{head}</tr>{body}</table>"


def _text(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def discover(
    system: str,
    budget: int | str | Budget = DEFAULT_BUDGET,
    store: Store | str | Path = "lab.db",
    *,
    oracle: str | Oracle = DEFAULT_ORACLE,
    model: str | Predictor | None = None,
    strategy: str = "mixed",
    constraints: Constraints | None = None,
    objectives: Sequence[Objective] = (),
    predictors: Mapping[str, Predictor] | None = None,
    settings: RelaxationSettings | None = None,
    batch: int = DEFAULT_BATCH,
    seed: int = 0,
    deterministic: bool = False,
    new: bool = False,
    more: int | str | None = None,
    processes: int = 1,
    known: Sequence[str | Path] = (),
    parents_only: bool = False,
    withheld: Sequence[str] = (),
    leasing: Leasing | None = None,
    watcher: Watcher | None = None,
) -> Campaign:
    """Search a chemical system for stable crystals; go on with the campaign of the same request.

    Parameters
    ----------
    system
        Such as ``"Li-P-S"``, two to eight elements.
    budget
        Oracle relaxations, elements included, such as 60; or time, such as ``"30m"``. It belongs
        to a campaign's beginning: a campaign that exists keeps its own.
    store
        A store, a path, or a ``postgresql://`` URL.
    oracle
        By name (:func:`~materialabs.discovery.oracle_choice.open_oracle`), or an oracle.
    model
        What predicts energies: None (the network that ships, else the campaign's own model),
        ``"campaign"``, the name of a network, or anything with ``predict``.
    strategy
        ``"mixed"``, ``"likeliest"``, ``"improvement"``, ``"greedy"``, ``"uncertainty"`` or
        ``"random"``.
    constraints
        What candidates must satisfy.
    objectives
        What is wanted beside stability.
    predictors
        For properties of ranges and objectives that are not computed: name to model.
    settings
        Of relaxations; without them an oracle's own ``campaign_settings``: potentials relax to a
        minimum closely, DFT as usual.
    batch
        Relaxations in a round.
    seed
        Of everything random.
    deterministic
        End with the same tasks however often the campaign is disturbed.
    new
        Begin another campaign of the same request.
    more
        Extend the budget.
    processes
        Processes that relax.
    known
        Files of known crystals that stable ones are compared with. Given to a campaign that exists,
        they take the place of its own.
    parents_only
        Take crystals of the store whose energies stand at other levels as parents only.
    withheld
        Formulas that are taken out of everything given, so that finding them means something.
    leasing
        How tasks are held.
    watcher
        Who is told how it goes.
    """
    budget = Budget.parse(budget)
    request = CampaignRequest(
        system, _PENDING, settings or DEFAULT_SETTINGS, constraints or Constraints(), strategy,
        OWN_MODEL, tuple(objectives), batch, seed, deterministic, tuple(withheld),
    )  # fmt: skip
    budget.require_elements(len(request.elements))
    extra = None if more is None else Budget.parse(more)
    _require_processes(processes)
    name = oracle if isinstance(oracle, str) else ""
    opened = open_oracle(oracle, request.system, processes=processes) if isinstance(
        oracle, str) else oracle  # fmt: skip
    forecaster = forecaster_for(
        model, strategy, request.elements, seed, deterministic=deterministic
    )
    request = _at(request, opened, forecaster.name)
    if settings is None:
        request = replace(request, settings=usual_settings(opened))
    require_predictors(request, predictors or {})
    lists = tuple(str(Path(path)) for path in known)
    require_lists(lists)
    home = store if isinstance(store, Store) else Store(store)
    if not parents_only:
        _require_level_of_store(home, request)
    row = archive.begin(home, request, budget, oracle=name, known=lists, new=new)
    if extra is not None:
        row = archive.extend(home, row, extra)
    if row.state == archive.FINISHED:
        return Campaign(home, row)
    held = leasing or leasing_for(row, name, processes)
    runner = Runner(home, row, opened, forecaster, predictors or {}, held, watcher or Silent())
    return Campaign(home, runner.run())


def resume(
    store: Store,
    campaign: str,
    *,
    oracle: str | Oracle = "",
    model: str | Predictor | None = None,
    predictors: Mapping[str, Predictor] | None = None,
    processes: int = 1,
    watcher: Watcher | None = None,
) -> Campaign:
    """Go on with a campaign by its id; arguments as for :func:`discover`."""
    row = archive.find(store, campaign)
    request = row.request
    if row.state == archive.FINISHED:
        return Campaign(store, row)
    chosen = oracle or row.oracle
    if not chosen:
        raise InputError(f"The campaign {row.id} was run with an oracle without a name: give it.")
    opened = open_oracle(chosen, request.system, processes=processes) if isinstance(
        chosen, str) else chosen  # fmt: skip
    require_level(opened, request.level, f"The campaign {row.id}")
    wanted = OWN_MODEL if model is None and request.model == OWN_MODEL else model
    forecaster = forecaster_for(
        wanted, request.strategy, request.elements, request.seed,
        deterministic=request.deterministic,
    )  # fmt: skip
    if forecaster.name != request.model:
        raise InputError(
            f"The campaign {row.id} predicts with {request.model or 'nothing'} and here is "
            f"{forecaster.name or 'nothing'}: give the model that began it."
        )
    require_predictors(request, predictors or {})
    name = chosen if isinstance(chosen, str) else ""
    runner = Runner(
        store, row, opened, forecaster, predictors or {}, leasing_for(row, name, processes),
        watcher or Silent(),
    )  # fmt: skip
    return Campaign(store, runner.run())


def leasing_for(row: CampaignRow, oracle: str, processes: int) -> Leasing:
    """How the tasks of a campaign are held by default."""
    plain = Leasing()
    patience = patience_for(oracle, plain.patience)
    if row.request.deterministic:
        return Leasing(patience=patience, together=1, from_saved_states=False)
    return Leasing(patience=patience, together=max(plain.together, 4 * processes))


def _at(request: CampaignRequest, oracle: Oracle, model: str) -> CampaignRequest:
    return replace(request, level=oracle.level, model=model)


def _require_processes(processes: int) -> None:
    if processes < 1:
        raise InputError(f"At least one process relaxes, not {processes}.")


def _require_level_of_store(store: Store, request: CampaignRequest) -> None:
    """Refuse a store whose energies of the system all stand at other levels."""
    counts = levels_with_energies(store, request.elements)
    if counts and request.level not in counts:
        other, count = max(counts.items(), key=lambda item: item[1])
        raise InputError(
            f"The store's {count} energies of {request.system} are at {other} and the campaign's "
            f"at {request.level}, so that they cannot share a hull: use another store, or "
            "--parents-only to take the crystals as parents without their energies.",
            code="campaign.level",
        )
