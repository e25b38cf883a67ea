from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from materialabs import transfer
from materialabs.crystals.compositions import Compositions
from materialabs.crystals.descriptors import Descriptors
from materialabs.networks.heads import Head
from materialabs.transfer import tuning
from materialabs.transfer.choosing import starting
from materialabs.transfer.described import describe
from materialabs.transfer.explaining import BY_NETWORKS
from materialabs.transfer.learning import learn
from materialabs.transfer.models import write_model
from materialabs.transfer.sources import blocks_of, shipped
from materialabs.transfer.strategies import (
    Kernel,
    Networks,
    document_of,
    strategies_for,
    strategy_of,
)
from materialabs.transfer.tuning import ConditionedNetwork, alike, heads_of, schedule, tune
from tests.transfer.made_tables import formulas_of, ionicity_of, write_table


def made(count: int) -> tuple[Compositions, np.ndarray, np.ndarray]:
    formulas = formulas_of(count)
    return Compositions.parse(formulas), np.zeros((count, 0)), ionicity_of(formulas)[:, None]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the steps."""
    monkeypatch.setattr(tuning, "STEPS", 70)


def test_a_network_begins_with_what_its_source_knows() -> None:
    source = shipped("gap")
    start = source.ensemble.networks[0]
    network = ConditionedNetwork(type(start.shape)(heads_of(np.zeros(1)), start.shape.width), 2)
    network.begin_as(start)
    cells = Compositions.parse(["GaN", "Fe2O3", "LiFePO4"])
    with torch.inference_mode():
        told = network(tuning.composition_batch(cells), torch.ones(3, 2))
    calculated = source.ensemble.answers(cells).values[0]
    np.testing.assert_allclose(source.ensemble.scaling.restored(told), calculated, atol=1e-5)


def test_what_has_another_shape_begins_anew() -> None:
    start = shipped("mp36k").ensemble.networks[0]
    network = ConditionedNetwork(type(start.shape)(heads_of(np.zeros(1)), start.shape.width), 0)
    network.begin_as(start)
    mine, given = network.composition.state_dict(), start.state_dict()
    differing = {name for name in mine if mine[name].shape != given[name].shape}
    assert differing and all(name.startswith("readout.") for name in differing)
    assert all(torch.equal(mine[name], given[name]) for name in mine if name not in differing)


def test_a_law_is_learned_and_the_source_stays_as_it_was() -> None:
    cells, nothing, targets = made(200)
    source = shipped("energy")
    before = source.fingerprint()
    tuned = tune(cells[:150], nothing[:150], targets[:150], source.ensemble.networks[0], 0)
    wrong = np.abs(tuned.answers(cells[150:], nothing[150:]) - targets[150:]).mean()
    assert wrong < 0.2 * np.abs(targets[150:] - targets[:150].mean()).mean()
    assert source.fingerprint() == before


def test_calculated_energies_help_to_learn_energies() -> None:
    """Energies of one source, half of them as large: known to another, unknown to none."""
    cells = Compositions.parse(formulas_of(300))
    targets = 0.5 * shipped("mp36k").ensemble.answers(cells).values[0][:, :1]
    nothing = np.zeros((300, 0))

    def error(name: str | None) -> float:
        start = None if name is None else shipped(name).ensemble.networks[0]
        tuned = tune(cells[:60], nothing[:60], targets[:60], start, 0)
        return float(np.abs(tuned.answers(cells[60:], nothing[60:]) - targets[60:]).mean())

    assert error("energy") < 0.7 * error(None)


def test_conditions_are_learned(quick: None) -> None:
    cells, _, targets = made(200)
    kelvin = np.random.default_rng(0).uniform(300, 900, (200, 1))
    tuned = tune(cells, kelvin, targets * 0.1 + kelvin / 100, None, 0)
    two = tuned.answers(cells[np.zeros(2, dtype=int)], np.array([[400.0], [800.0]]))
    assert two[1, 0] - two[0, 0] == pytest.approx(4.0, abs=0.5)


def test_classes_are_told_by_probabilities_that_add_up(quick: None) -> None:
    cells, nothing, targets = made(200)
    truth = np.column_stack([targets[:, 0] <= 1.5, targets[:, 0] > 1.5]).astype(float)
    tuned = tune(cells[:150], nothing[:150], truth[:150], None, 0)
    told = tuned.answers(cells[150:], nothing[150:])
    np.testing.assert_allclose(told.sum(axis=1), 1.0)
    assert (told.argmax(axis=1) == truth[150:].argmax(axis=1)).mean() > 0.85


def test_how_a_formula_is_written_does_not_matter(quick: None) -> None:
    cells, nothing, targets = made(60)
    tuned = tune(cells, nothing, targets, None, 0)
    ways = Compositions.parse(["Fe2O3", "O3Fe2", "Fe4O6", "Fe0.4O0.6"])
    told = tuned.answers(ways, np.zeros((4, 0)))
    np.testing.assert_allclose(told, told[0, 0], rtol=1e-5)


def test_seeds_decide_and_threads_do_not(quick: None) -> None:
    cells, _, targets = made(60)
    described = describe(cells, [shipped("energy")])
    strategy = Networks("networks", ("energy",))
    threads = torch.get_num_threads()
    told = []
    try:
        for count, seed in ((1, 0), (2, 0), (1, 1)):
            torch.set_num_threads(count)
            told.append(strategy.fit(described, targets, seed).answers(described)[0])
    finally:
        torch.set_num_threads(threads)
    assert np.array_equal(told[0], told[1]) and not np.allclose(told[0], told[2])


def test_networks_survive_their_arrays(quick: None) -> None:
    formulas = formulas_of(60)
    conditions = Descriptors(np.linspace(0, 1, 60)[:, None], ("kelvin",))
    described = describe(Compositions.parse(formulas), [shipped("gap")], conditions)
    strategy = Networks("networks from gap", ("gap",))
    fitted = strategy.fit(described, ionicity_of(formulas)[:, None], 0)
    arrays = {name: np.array(one) for name, one in fitted.to_arrays().items()}
    again = strategy_of(document_of(strategy)).restored(arrays)
    for one, other in zip(fitted.answers(described), again.answers(described), strict=True):
        assert np.array_equal(one, other)


def test_rows_that_are_asked_twice_are_told_the_same(quick: None) -> None:
    cells, _, targets = made(60)
    fitted = Networks("networks").fit(describe(cells), targets, 0)
    rows = np.array([5, 3, 5, 59, 3])
    whole, spread = fitted.answers(describe(cells))
    some, few = fitted.answers(describe(cells[rows]))
    np.testing.assert_allclose(some, whole[rows], rtol=1e-5)
    np.testing.assert_allclose(few, spread[rows], atol=1e-5)
    assert fitted.answers(describe(cells[:0]))[0].shape == (0, 1)


@pytest.mark.parametrize(
    ("rows", "epochs", "batch"), [(8, 60, 32), (400, 54, 32), (3000, 15, 64), (13000, 7, 128)]
)
def test_tables_are_learned_in_about_as_many_steps(rows: int, epochs: int, batch: int) -> None:
    assert schedule(rows) == (epochs, batch)


def test_batches_see_every_row_once_and_hardly_pad() -> None:
    random = np.random.default_rng(0)
    elements = random.integers(2, 9, 500)
    batches = alike(elements, 32, random)
    assert sorted(np.concatenate(batches).tolist()) == list(range(500))
    assert all(np.ptp(elements[rows]) <= 1 for rows in batches)
    assert {len(rows) for rows in batches} == {32, 500 % 32}


def test_networks_begin_as_the_sources_of_the_highest_scores() -> None:
    assert starting({"a": 0.1, "b": 0.9, "c": 0.5}) == ["b", "c"]
    assert starting({"a": float("nan")}) == ["a"]
    assert starting({"a": float("nan"), "b": float("nan")}) == starting({}) == []


def test_networks_are_tried_unless_they_are_not_wanted() -> None:
    assert strategies_for(["gap"], ["gap", "energy"])[-1].name == "networks from gap, energy"
    assert strategies_for([])[-1].name == "networks"
    for sources in ([], ["gap"]):
        some = strategies_for(sources, sources, networks=False)
        assert not any(isinstance(one, Networks) for one in some)


def test_a_model_with_networks_is_explained_and_reads_back(tmp_path: Path, quick: None) -> None:
    source, formulas = shipped("gap"), formulas_of(40)
    described = describe(Compositions.parse(formulas), [source])
    learned = learn(
        described, ionicity_of(formulas)[:, None], Head("ionicity", "1"), np.arange(40),
        [Networks("networks from gap", ("gap",))],
    )  # fmt: skip
    card = {"name": "made", "conditions": [], "background": formulas[:8]}
    model = write_model(tmp_path, learned, [source], card)
    again = transfer.load(tmp_path)
    assert model.has_networks and again.has_networks
    assert np.array_equal(model.predict(["NaCl"]).mean, again.predict(["NaCl"]).mean)
    told = transfer.explain(model, "NaCl")
    assert BY_NETWORKS in [one.name for one in told.descriptors]
    for parts in (told.elements, told.descriptors):
        assert told.usual + sum(one.value for one in parts) == pytest.approx(told.prediction)


def test_what_sources_say_is_one_kind_however_many_they_are(tmp_path: Path) -> None:
    """Each kind more would double the time of an explanation."""
    sources, formulas = [shipped("energy"), shipped("gap")], formulas_of(40)
    learned = learn(
        describe(Compositions.parse(formulas), sources), ionicity_of(formulas)[:, None],
        Head("ionicity", "1"), np.arange(40),
        [Kernel("kernel", ("statistics", *blocks_of(["energy", "gap"])))],
    )  # fmt: skip
    card = {"name": "made", "conditions": [], "background": formulas[:8]}
    told = transfer.explain(write_model(tmp_path, learned, sources, card), "Fe0.00005Na0.3Cl")
    names = [one.name for one in told.descriptors]
    assert [one for one in names if "energy" in one or "gap" in one] == [
        "calculated knowledge: energy, gap"
    ]


def test_a_fit_tries_networks(tmp_path: Path, quick: None) -> None:
    table = write_table(tmp_path / "t.csv", 24)
    model = transfer.fit(table, "ionicity", sources=["gap"], out=tmp_path / "m", progress=False)
    assert "networks from gap" in model.card["trials"]
