"""Whole campaigns by a real potential."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Connection

from materialabs.crystals.batch import Crystals
from materialabs.crystals.files import write
from materialabs.crystals.prototypes import fill
from materialabs.discovery import Campaign, Constraints, Objective, PropertyRange, discover
from materialabs.discovery.campaign import resume
from materialabs.discovery.tables import finding_rows
from materialabs.errors import InputError, NotFound
from materialabs.levels import Energies, Level
from materialabs.oracles.calculators import AseOracle
from materialabs.oracles.oracle import Evaluation
from materialabs.oracles.relaxation import THOROUGH, RelaxationSettings
from materialabs.store.records import Method, Property
from materialabs.store.store import Store
from materialabs.store.tasks import Wanted
from materialabs.store.verify import verify
from tests.discovery.conftest import BUDGET

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_a_campaign_spends_its_budget_and_no_more(finished: Campaign) -> None:
    assert finished.state == "finished"
    assert finished.findings.calls == BUDGET


def test_the_elements_come_first(finished: Campaign) -> None:
    first = [one for one in finished.findings.listed if one.round == 0]
    assert [one.formula for one in first[:2]] == ["Cu", "Au"]


def test_every_relaxation_is_a_signed_record(finished: Campaign) -> None:
    store = finished.store
    assert verify(store, keys=store.keys, everything=True).good
    logged = {entry.record for entry in store.entries() if entry.record}
    assert {one.record for one in finished.findings.listed} <= logged


def test_records_carry_energy_level_and_worker(finished: Campaign) -> None:
    one = finished.findings.good[-1]
    record = finished.store.record(one.record)
    told = {item.name: item for item in record.properties}
    assert told["energy"].method.level == finished.row.request.level
    assert told["energy"].value == pytest.approx(one.result["energy"], rel=1e-9)
    assert told["relaxation_worker"].value == one.result["worker"]


def test_the_hull_is_that_of_an_independent_library(finished: Campaign) -> None:
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram

    good = finished.findings.good
    entries = [
        PDEntry(one.relaxed.formulas()[0], one.result["energy"] * int(one.relaxed.counts[0]))
        for one in good
    ]
    diagram = PhaseDiagram(entries)
    theirs = [diagram.get_e_above_hull(entry) for entry in entries]
    assert finished.findings.distances == pytest.approx(np.array(theirs), abs=1e-9)


def test_relaxed_energies_are_the_potentials(finished: Campaign, emt: AseOracle) -> None:
    chosen = [one for one in finished.findings.good if one.result["status"] == "converged"]
    again = emt.energy(finished.findings.crystals(chosen)).values
    assert again == pytest.approx([one.result["energy"] for one in chosen], abs=1e-6)


def test_no_candidate_copies_another(finished: Campaign) -> None:
    from materialabs.generation.duplicates import unique

    starts = Crystals.concat([one.start for one in finished.findings.listed])
    assert len(unique(starts.replace(columns=None, site_columns=None))) == len(starts)


def test_predictions_are_made_before_and_kept(finished: Campaign) -> None:
    chosen = [one for one in finished.findings.listed if one.round >= 2]
    assert chosen
    for one in chosen:
        assert one.plan["predicted_low"] < one.plan["predicted"] < one.plan["predicted_high"]


def test_the_same_line_opens_what_is_finished(finished: Campaign, emt: AseOracle) -> None:
    entries = len(list(finished.store.entries()))
    again = discover("Au-Cu", 99, finished.store, oracle=emt, model="campaign", batch=5)
    assert again.id == finished.id
    assert len(list(finished.store.entries())) == entries


def test_more_extends_and_new_begins_another(lab: Store, emt: AseOracle) -> None:
    one = discover("Cu-Au", 5, lab, oracle=emt, model="campaign")
    more = discover("Cu-Au", 5, lab, oracle=emt, model="campaign", more=2)
    assert (more.id, more.findings.calls) == (one.id, 7)
    other = discover("Cu-Au", 5, lab, oracle=emt, model="campaign", new=True)
    assert other.id != one.id
    references = [item for item in other.findings.listed if item.round == 0]
    assert all(item.reused for item in references if item.role == "element")


def test_a_time_budget_ends_the_campaign(lab: Store, emt: AseOracle) -> None:
    campaign = discover("Cu-Au", "1s", lab, oracle=emt, model="campaign")
    assert campaign.state == "finished"
    assert "minutes is used up" in campaign.reason


def test_constraints_hold_for_every_candidate(lab: Store, emt: AseOracle) -> None:
    limits = Constraints(max_atoms=4, forbid_space_groups=(1,), require=("Cu",))
    campaign = discover("Ag-Au-Cu", 12, lab, oracle=emt, model="campaign", constraints=limits)
    starts = [one.start for one in campaign.findings.listed if one.role == "candidate"]
    assert starts
    assert limits.allowed(Crystals.concat(starts)).all()


def test_without_wishes_a_potential_relaxes_to_a_minimum(finished: Campaign) -> None:
    assert finished.row.request.settings == THOROUGH


def test_under_pressure_the_hull_is_of_enthalpies(lab: Store, emt: AseOracle) -> None:
    limits = Constraints(pressure=20.0, max_atoms=6)
    campaign = discover("Cu-Au", 8, lab, oracle=emt, model="campaign", constraints=limits)
    findings = campaign.findings
    converged = [one for one in findings.good if one.result["status"] == "converged"]
    assert [one.result["pressure"] for one in converged] == pytest.approx(
        [20.0] * len(converged), abs=1.0
    )
    cell = findings.good[0]
    volume = float(cell.relaxed.volumes[0] / cell.relaxed.counts[0])
    expected = cell.result["energy"] + 20.0 * volume / 160.21766
    assert findings.values[0] == pytest.approx(expected, abs=1e-6)
    assert "enthalpy" in str(findings.hull.level)


def test_objectives_and_ranges_steer_the_choice(lab: Store, emt: AseOracle) -> None:
    limits = Constraints(max_atoms=6, ranges=(PropertyRange("density", high=14.0),))
    campaign = discover(
        "Cu-Au", 14, lab, oracle=emt, model="campaign", constraints=limits, batch=5,
        objectives=(Objective("density", "min"),),
    )  # fmt: skip
    chosen = [one for one in campaign.findings.listed if one.role == "candidate"]
    assert chosen
    assert all(one.plan["properties"]["density"] <= 14.0 for one in chosen)


def test_a_property_that_nothing_predicts_is_refused(lab: Store, emt: AseOracle) -> None:
    limits = Constraints(ranges=(PropertyRange("band_gap", low=1.0),))
    with pytest.raises(InputError, match="band_gap"):
        discover("Cu-Au", 9, lab, oracle=emt, model="campaign", constraints=limits)


def test_stable_crystals_of_one_campaign_are_known_to_the_next(lab: Store, emt: AseOracle) -> None:
    discover("Cu-Au", 8, lab, oracle=emt, model="campaign")
    second = discover("Cu-Au", 6, lab, oracle=emt, model="campaign", seed=1)
    assert len(second.findings.known) >= 4
    assert not any(one.role == "prototype" for one in second.findings.listed)


def test_a_store_at_another_level_is_refused(lab: Store, emt: AseOracle) -> None:
    copper = fill("L1_0", ["Cu", "Au"])
    method = Method("dft", level=Level("PBE"))
    lab.add(copper, [(Property("energy", -3.0, "eV/atom", method),)])
    with pytest.raises(InputError, match="PBE"):
        discover("Cu-Au", 8, lab, oracle=emt, model="campaign")
    campaign = discover("Cu-Au", 8, lab, oracle=emt, model="campaign", parents_only=True)
    assert campaign.state == "finished"


def test_crystals_of_the_store_are_given_and_not_found(lab: Store, emt: AseOracle) -> None:
    lab.add(fill("L1_2", ["Au", "Cu"]).with_columns(id=["mine"]))
    campaign = discover("Cu-Au", 8, lab, oracle=emt, model="campaign")
    given = {one.plan["id"]: one.role for one in campaign.findings.listed if one.round == 0}
    assert given["mine"] == "prototype"


class Cold(AseOracle):
    """Knows no gold: what a potential does with an element outside its table."""

    def __init__(self) -> None:
        super().__init__("emt", level=Level("cold", code="emt"))

    def evaluate(self, crystals: Crystals) -> Evaluation:
        if 79 in crystals.numbers:
            return Evaluation.failed(crystals, "there is no data set for Au")
        return super().evaluate(crystals)


def test_without_an_element_the_campaign_stops_and_says_so(lab: Store) -> None:
    campaign = discover("Cu-Au", 9, lab, oracle=Cold(), model="campaign")
    assert campaign.state == "stopped"
    assert "no data set for Au" in campaign.reason
    assert campaign.findings.missing == ["Au"]


def test_a_potential_that_gives_no_number_ends_well(lab: Store) -> None:
    from tests.discovery.logged_emt import nan_emt

    campaign = discover("Cu-Au", 9, lab, oracle=nan_emt("Cu-Au"), model="campaign")
    failed = [one for one in campaign.findings.listed if one.role != "element"]
    assert campaign.state == "finished"
    assert failed
    assert all(one.result["energy"] is None and one.result["reason"] for one in failed)
    assert len(campaign.hull) == 2


def test_an_oracle_that_never_converges_ends_well(lab: Store, emt: AseOracle) -> None:
    settings = RelaxationSettings(max_steps=2, force_tolerance=1e-6, virial_tolerance=1e-6)
    campaign = discover("Cu-Au", 9, lab, oracle=emt, model="campaign", settings=settings)
    statuses = {one.result["status"] for one in campaign.findings.listed if not one.given}
    assert campaign.state == "finished"
    assert statuses == {"not_converged"}


class Crashing(AseOracle):
    """Raises for some crystals, as programs of others may."""

    def __init__(self) -> None:
        super().__init__("emt", level=Level("crashing", code="emt"))

    def evaluate(self, crystals: Crystals) -> Evaluation:
        if (crystals.counts > 4).any():
            raise ZeroDivisionError("large cells")
        return super().evaluate(crystals)


def test_an_oracle_that_breaks_down_loses_only_what_broke_it(lab: Store) -> None:
    campaign = discover("Cu-Au", 10, lab, oracle=Crashing(), model="campaign")
    for one in campaign.findings.listed:
        broken = int(one.start.counts[0]) > 4
        assert (one.result["status"] == "failed") == broken
        assert ("ZeroDivisionError" in one.result["reason"]) == broken


def test_campaigns_are_found_by_the_beginning_of_their_id(
    finished: Campaign, emt: AseOracle
) -> None:
    again = resume(finished.store, finished.id[:4], oracle=emt)
    assert again.id == finished.id
    with pytest.raises(NotFound):
        resume(finished.store, "nothing", oracle=emt)


def test_a_campaign_goes_on_at_its_own_level_alone(lab: Store, emt: AseOracle) -> None:
    campaign = discover("Cu-Au", "1s", lab, oracle=emt, model="campaign")
    from materialabs.discovery import archive
    from materialabs.store.database import writing

    with writing(lab.engine) as connection:
        archive.mark(connection, campaign.id, archive.STOPPED, "test")
    other = AseOracle("emt", level=Level("other"))
    with pytest.raises(InputError, match="stands at other"):
        resume(lab, campaign.id, oracle=other)


def test_labels_are_of_one_level_and_kind(finished: Campaign) -> None:
    starts, energies = finished.findings.labelled
    assert isinstance(energies, Energies)
    assert len(starts) == len(energies)
    assert energies.kind == "formation"
    assert energies.level == replace(finished.row.request).hull_level


def test_a_campaign_shows_itself_in_a_notebook(finished: Campaign) -> None:
    assert "Cu" in finished._repr_html_()
    assert finished.id in repr(finished)


def test_stable_compounds_carry_what_is_known_of_them(finished: Campaign) -> None:
    stable = finished.stable
    assert set(stable.columns["formula"]) == {one.formula for one in finished.findings.stable}
    assert (np.asarray(stable.columns["formation_energy"], float) < 0).all()


def test_a_list_that_is_not_there_is_refused(lab: Store, emt: AseOracle, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.cif"):
        discover("Cu-Au", 9, lab, oracle=emt, known=[tmp_path / "none.cif"])


def test_lists_given_to_a_campaign_that_exists_take_the_place_of_its_own(
    lab: Store, emt: AseOracle, tmp_path: Path
) -> None:
    asked = {"oracle": emt, "model": "campaign", "constraints": Constraints(max_atoms=4)}
    before = discover("Cu-Au", 5, lab, **asked)
    own = tmp_path / "own.cif"
    write(fill("L1_2", ["Cu", "Au"]), own)
    after = discover("Cu-Au", 5, lab, **asked, known=[own])
    assert after.id == before.id and after.row.known == (str(own),)
    assert "own.cif (1 crystals)" in after.report(tmp_path / "r.html", folders=False).read_text()
    assert discover("Cu-Au", 5, lab, **asked).row.known == (str(own),)


def test_a_round_closes_only_together_with_the_opening_of_the_next(
    lab: Store, emt: AseOracle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The store fails where the next tasks are written: the round before is then open still."""
    from materialabs.discovery import archive
    from materialabs.errors import ResourceError
    from materialabs.store import tasks

    with Store(tmp_path / "calm.db", keys=tmp_path / "keys") as store:
        calm = discover("Cu-Au", 9, store, oracle=emt, model="campaign", batch=3).findings.listed
    plain = tasks.add
    seen: list[bool] = []

    def fail_once(connection: Connection, campaign: str, number: int, wanted: list[Wanted]) -> None:
        if number == 2 and not seen:
            seen.append(True)
            raise ResourceError("no space")
        plain(connection, campaign, number, wanted)

    monkeypatch.setattr(tasks, "add", fail_once)
    with pytest.raises(ResourceError):
        discover("Cu-Au", 9, lab, oracle=emt, model="campaign", batch=3)
    (row,) = archive.listed(lab)
    assert [one["closed"] for one in archive.rounds(lab, row.id)] == [True, False]
    again = discover("Cu-Au", 9, lab, oracle=emt, model="campaign", batch=3)
    assert again.id == row.id
    assert all(one["closed"] for one in again.rounds)
    assert [one.key for one in again.findings.listed] == [one.key for one in calm]


def test_a_full_disk_stops_the_campaign_and_loses_nothing(
    lab: Store, emt: AseOracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy import event
    from sqlalchemy import text as statement

    from materialabs.discovery.runner import Runner
    from materialabs.errors import ResourceError

    signed = 0
    plain = Runner._sign

    def fill_up(runner: Runner, *arguments: object) -> None:
        """After three results the database may not grow any more."""
        nonlocal signed
        signed += 1
        if signed == 4:
            event.listen(lab.engine, "begin", shrink)
        plain(runner, *arguments)

    def shrink(connection: object) -> None:
        connection.exec_driver_sql("PRAGMA max_page_count=1")  # type: ignore[attr-defined]

    monkeypatch.setattr(Runner, "_sign", fill_up)
    with pytest.raises(ResourceError, match="disk"):
        discover("Cu-Au", 10, lab, oracle=emt, model="campaign")
    event.remove(lab.engine, "begin", shrink)
    with lab.engine.connect() as connection:
        connection.execute(statement("PRAGMA max_page_count=1000000"))
    monkeypatch.undo()
    campaign = discover("Cu-Au", 10, lab, oracle=emt, model="campaign")
    assert campaign.state == "finished"
    assert campaign.findings.calls == 10
    text = campaign.report(Path(lab.place).with_name("r.html")).read_text()
    assert "is full" in text or "no space left" in text
    assert verify(lab, keys=lab.keys, everything=True).good


def test_a_campaign_runs_on_postgresql(postgres_store: Store, emt: AseOracle) -> None:
    small = Constraints(max_atoms=4)
    campaign = discover("Cu-Au", 7, postgres_store, oracle=emt, model="campaign",
                        constraints=small)  # fmt: skip
    assert campaign.state == "finished"
    assert campaign.findings.calls == 7
    assert verify(postgres_store, keys=postgres_store.keys, everything=True).good


def test_withheld_formulas_are_given_nowhere(lab: Store, emt: AseOracle) -> None:
    campaign = discover("Cu-Au", 8, lab, oracle=emt, model="campaign", withheld=["AuCu3"])
    given = [one.formula for one in campaign.findings.listed if one.given]
    assert "Cu3Au" not in given
    assert "CuAu" in given


def test_relaxations_that_came_to_one_crystal_are_told_as_one(finished: Campaign) -> None:
    good = finished.findings.good[0]
    doubled = Crystals.from_ase([good.relaxed.to_ase()[0].repeat((2, 1, 1))])
    larger = replace(good, name="r9-00", relaxed=doubled)
    higher = replace(
        good, name="r9-01", result=good.result | {"energy": good.result["energy"] + 0.01}
    )
    twice = replace(finished.findings, listed=(*finished.findings.listed, larger, higher))
    added = {name: same for name, same in twice.same_as.items() if name.startswith("r9")}
    assert added == {"r9-00": good.name}
    assert twice.twins_of(larger)[0].name == good.name
    assert larger in twice.twins_of(good) and higher not in twice.twins_of(good)
    rows = {row["name"]: row["same as"] for row in finding_rows(twice)}
    assert rows["r9-00"] == good.name
    assert not rows[good.name]


def test_the_picture_counts_a_crystal_once_and_shows_it_at_its_lowest(finished: Campaign) -> None:
    good = finished.findings.good[0]
    lower = replace(
        good, name="r9-00", result=good.result | {"energy": good.result["energy"] - 0.001}
    )
    twice = replace(finished.findings, listed=(*finished.findings.listed, lower))
    pictured = list(twice.hull_of_distinct.ids)
    assert len(pictured) == len(twice.hull) - len(twice.same_as)
    assert "r9-00" in pictured and good.name not in pictured
