"""The loop itself: plan a round, relax it, sign what comes, look at the hull, go on."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection

from materialabs.crystals.batch import Crystals
from materialabs.discovery import archive
from materialabs.discovery.archive import CampaignRow
from materialabs.discovery.bench import Bench, Leasing, OutOfTime
from materialabs.discovery.candidates import MOST_FROM_STABLE, from_templates
from materialabs.discovery.closing import round_report
from materialabs.discovery.findings import Finding, Findings
from materialabs.discovery.forecasting import Forecaster, Predictor
from materialabs.discovery.liveness import process_name
from materialabs.discovery.parents import KnownEntries, known_entries, templates
from materialabs.discovery.planning import PlannedRound, plan_references, plan_round
from materialabs.discovery.results import record_of, relaxed_bytes, result_document
from materialabs.discovery.watching import Silent, Watcher
from materialabs.errors import MaterialabsError, ResourceError
from materialabs.generation.candidates import Candidates
from materialabs.levels import Energies
from materialabs.oracles.oracle import Oracle
from materialabs.oracles.relaxation import Relaxation, RelaxationSettings
from materialabs.store import tasks
from materialabs.store.adding import add_observed
from materialabs.store.database import reading, writing
from materialabs.store.store import Store
from materialabs.store.tasks import Task

POLL_SECONDS: Final = 0.3
"""Between two looks at what other workers have answered."""

BEAT_SECONDS: Final = 20.0
"""Between two signs of life of the leader."""


@dataclass(frozen=True)
class Ending:
    """The end of a campaign.

    Parameters
    ----------
    state, reason
        As in :class:`~materialabs.discovery.archive.CampaignRow`.
    """

    state: str
    reason: str


@dataclass
class Runner:
    """Runs one campaign in this process.

    Parameters
    ----------
    store, row
        The campaign.
    oracle
        What relaxes.
    forecaster
        What predicts its energies.
    predictors
        Of further properties.
    leasing
        How tasks are held.
    watcher
        Who is told how it goes.
    """

    store: Store
    row: CampaignRow
    oracle: Oracle
    forecaster: Forecaster
    predictors: Mapping[str, Predictor] = field(default_factory=dict)
    leasing: Leasing = field(default_factory=Leasing)
    watcher: Watcher = field(default_factory=Silent)

    def __post_init__(self) -> None:
        self.owner = process_name()
        self.bench = Bench(
            self.store, self.row.id, self.oracle, self.owner, self._deliver, self.leasing
        )
        self._counted = time.monotonic()
        self._began = time.monotonic()
        self._known: KnownEntries | None = None
        self._templates: Crystals | None = None
        self._usual: Candidates | None = None

    # -- the loop -------------------------------------------------------------------------------

    def run(self) -> CampaignRow:
        """Go on until the budget is spent, nothing is left to try, or something is in the way."""
        with archive.leading(self.store, self.row, self.owner), self._beating():
            try:
                while self._one_round():
                    pass
            except OutOfTime:
                used_up = f"the budget of {self.row.budget} is used up"
                self._end(Ending(archive.FINISHED, used_up))
            except KeyboardInterrupt:
                self._stop("it was stopped by hand; the same line goes on")
                raise
            except MaterialabsError as error:
                self._stop(str(error))
                raise
        self.row = archive.refreshed(self.store, self.row)
        return self.row

    def _one_round(self) -> bool:
        """Bring the campaign one round further; false when it is over."""
        listed = archive.rounds(self.store, self.row.id)
        if not listed or listed[-1]["closed"]:
            return self._turn(len(listed), self.findings())
        self._relax_round()
        findings = self.findings()
        report = round_report(findings, listed[-1]["number"])
        self.watcher.closed(listed[-1]["number"], report)
        return self._turn(len(listed), findings, report)

    def _turn(self, number: int, findings: Findings, report: dict[str, Any] | None = None) -> bool:
        """Close a round and open the next, or end the campaign, in one transaction.

        Parameters
        ----------
        number
            Of the round to open.
        findings
            What is known.
        report
            Of the round before, where it is still open.
        """
        coming = self._coming(number, findings)
        with writing(self.store.engine) as connection:
            if report is not None:
                archive.close_round(connection, self.row.id, number - 1, report)
            if isinstance(coming, Ending):
                self._write_end(connection, coming)
                return False
            archive.open_round(connection, self.row.id, number, coming.document)
            tasks.add(connection, self.row.id, number, coming.wanted)
        self.watcher.planned(number, coming.document, len(coming.wanted))
        return True

    def _coming(self, number: int, findings: Findings) -> PlannedRound | Ending:
        """The next round, or why there is none."""
        used_up = Ending(archive.FINISHED, f"the budget of {self.row.budget} is used up")
        if number and findings.missing:
            return _without_elements(findings)
        try:
            left = self._left(findings)
        except OutOfTime:
            return used_up
        if left <= 0:
            return used_up
        self.watcher.planning(number)
        planned = self._planned(number, findings, left)
        if not planned.wanted:
            return Ending(archive.FINISHED, "no further candidate is left to try")
        return planned

    def _planned(self, number: int, findings: Findings, left: int) -> PlannedRound:
        request = self.row.request
        if number == 0:
            return plan_references(
                request, self._parents(), findings.known.crystals, self.row.budget.calls
            )
        starts, labels = findings.labelled
        self.forecaster.learn(starts, labels)
        return plan_round(
            request, findings, self._substituted(findings), self.forecaster, number,
            min(request.batch, left), self.predictors,
        )  # fmt: skip

    def _substituted(self, findings: Findings) -> Candidates:
        """Candidates from templates, made once, and from what is stable by now."""
        request = self.row.request
        if self._usual is None:
            self._usual = from_templates(request, self._parents())
        stable = findings.crystals(findings.found)
        if not len(stable):
            return self._usual
        stable = stable.with_columns(id=[f"{self.row.id} {name}" for name in stable.ids()])
        return Candidates.concat([self._usual, from_templates(request, stable, MOST_FROM_STABLE)])

    def _parents(self) -> Crystals:
        if self._templates is None:
            self._templates = templates(
                self.store,
                self.row.request.level,
                self.row.known_until,
                self.row.request.withheld,
            )
        return self._templates

    def _left(self, findings: Findings) -> int:
        """Oracle calls that are left; a round's worth where time is counted."""
        calls = self.row.budget.calls
        if calls is None:
            self._require_time()
            return self.row.request.batch
        return calls - findings.calls

    def _end(self, ending: Ending) -> None:
        with writing(self.store.engine) as connection:
            self._write_end(connection, ending)

    def _write_end(self, connection: Connection, ending: Ending) -> None:
        archive.mark(connection, self.row.id, ending.state, ending.reason)
        sentence = f"The campaign {ending.state}: {ending.reason}."
        tasks.say(connection, self.row.id, sentence)

    def _stop(self, reason: str) -> None:
        """Write down why the campaign stops, if the store still takes anything."""
        with suppress(MaterialabsError):
            self._end(Ending(archive.STOPPED, reason.rstrip(".")))

    # -- relaxing -------------------------------------------------------------------------------

    def _relax_round(self) -> None:
        while True:
            self._sign_answers()
            self._free_lost()
            with reading(self.store.engine) as connection:
                left = tasks.unfinished(connection, self.row.id)
            if not left:
                return
            self._require_time()
            if not self.bench.work_once():
                time.sleep(POLL_SECONDS)

    def _deliver(self, task: Task, relaxation: Relaxation) -> None:
        """Record, log entry and task state of one relaxation in one transaction."""
        result = result_document(relaxation, self.owner)
        self._sign(task.key, result, relaxed_bytes(relaxation))
        self._require_time()

    def _sign_answers(self) -> None:
        """Sign what workers have left."""
        with reading(self.store.engine) as connection:
            rows = tasks.of_campaign(connection, self.row.id, "answered")
        for row in rows:
            self._sign(row.key, json.loads(row.result), bytes(row.relaxed))

    def _sign(self, key: str, result: dict[str, Any], relaxed: bytes) -> None:
        place = self._place(key)
        crystal, record = record_of(
            relaxed, result, self.row.request.level, _settings(place),
            source=f"{self.row.id}/r{place.round}-{place.position:02d}", origin=_origin(place),
        )  # fmt: skip

        def done(connection: Connection) -> None:
            tasks.finish(connection, key, result, relaxed, bytes.fromhex(record.id))

        add_observed(self.store, crystal, [record], also=done)
        self.watcher.relaxed(crystal.reduced_formulas()[0], result)

    def _place(self, key: str) -> Any:
        with reading(self.store.engine) as connection:
            return tasks.of_campaign(connection, self.row.id, key=key)[0]

    def _free_lost(self) -> None:
        """Open again what lost workers held; give up what was lost too often."""
        with writing(self.store.engine) as connection:
            archive.free_lost(connection, self.row.id, self.owner)
            hopeless = [
                row
                for row in tasks.of_campaign(connection, self.row.id, "open")
                if row.attempts >= tasks.MOST_ATTEMPTS
            ]
        for row in hopeless:
            result = _given_up(self.owner)
            self._sign(row.key, result, bytes(row.crystal))

    # -- time -----------------------------------------------------------------------------------

    def _require_time(self) -> None:
        seconds = self.row.budget.seconds
        if seconds is not None:
            spent = self.row.spent_seconds + time.monotonic() - self._began
            if spent >= seconds:
                raise OutOfTime

    @contextmanager
    def _beating(self) -> Iterator[None]:
        stop = threading.Event()

        def beats() -> None:
            while not stop.wait(BEAT_SECONDS):
                self._beat()

        thread = threading.Thread(target=beats, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self._beat()

    def _beat(self) -> None:
        moment = time.monotonic()
        with suppress(ResourceError), writing(self.store.engine) as connection:
            archive.beat(connection, self.row.id, self.owner, moment - self._counted)
            self._counted = moment

    # -- what is known ----------------------------------------------------------------------------

    def findings(self) -> Findings:
        """All relaxations that are done, and the entries that were known before."""
        if self._known is None:
            self._known = known_before(self.store, self.row)
        return read_findings(self.store, self.row, self._known)


def _without_elements(findings: Findings) -> Ending:
    reasons = {one.formula: one.result["reason"] for one in findings.listed}
    said = next((reasons[name] for name in findings.missing if name in reasons), "")
    names = ", ".join(findings.missing)
    return Ending(
        archive.STOPPED,
        f"without an energy of {names} there is no hull ({said or 'none was tried'})",
    )


def known_before(store: Store, row: CampaignRow) -> KnownEntries:
    """Entries of the store at a campaign's level when it began; none under pressure."""
    request = row.request
    if request.constraints.pressure != 0.0:
        nothing = Energies([], "total", request.hull_level)
        return KnownEntries((), Crystals.empty(), nothing)
    return known_entries(store, request.level, row.known_until, request.elements, request.withheld)


def read_findings(store: Store, row: CampaignRow, known: KnownEntries) -> Findings:
    """A campaign's relaxations that are done, by round and position."""
    with reading(store.engine) as connection:
        rows = tasks.of_campaign(connection, row.id, "done")
    return Findings(row.request, tuple(Finding.of_row(one) for one in rows), known)


def _settings(place: Any) -> RelaxationSettings:
    return RelaxationSettings.from_dict(json.loads(place.settings))


def _origin(place: Any) -> str:
    """How a start was made, in words."""
    plan = json.loads(place.document)
    if place.role == "element":
        return f"reference structure of {plan.get('id', '')}"
    parts = [plan.get("generator"), plan.get("parent"), plan.get("substitution"), plan.get("id")]
    return "; ".join(str(part) for part in parts if part) or place.role


def _given_up(worker: str) -> dict[str, Any]:
    reason = f"It ended {tasks.MOST_ATTEMPTS} workers and was given up."
    return {
        "status": "failed", "reason": reason, "energy": None, "largest_force": None,
        "pressure": None, "steps": 0, "force_calls": 0, "seconds": 0.0, "worker": worker,
    }  # fmt: skip
