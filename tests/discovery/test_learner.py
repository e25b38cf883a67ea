"""The campaign's own model, and the map of a foreign one."""

from __future__ import annotations

import numpy as np
import pytest

from materialabs.crystals.batch import Crystals
from materialabs.crystals.prototypes import fill
from materialabs.discovery.forecasting import (
    Learned,
    Nothing,
    Remembering,
    Trained,
    distance_of,
    forecaster_for,
)
from materialabs.discovery.surrogate_systems import SystemSurrogate
from materialabs.errors import InputError
from materialabs.generation.airss import airss
from materialabs.hull import Hull
from materialabs.levels import Energies, Level
from materialabs.oracles.calculators import AseOracle
from materialabs.predictions import Prediction

SYSTEM = (29, 79)
OTHER = Level("elsewhere")


@pytest.fixture(scope="module")
def labelled(emt: AseOracle) -> tuple[Crystals, Energies]:
    """Alloys of Cu and Au as they are drawn, with formation energies by EMT."""
    formulas = ("CuAu", "Cu3Au", "CuAu3", "Cu2Au", "CuAu2", "Cu5Au", "Cu3Au2")
    drawn = Crystals.concat(
        [airss(f, 16, cells=1, volume_factors=(0.95, 1.05), seed=n) for n, f in enumerate(formulas)]
    )
    bare = drawn.replace(columns=None, site_columns=None)
    found = emt.evaluate(bare)
    pure = emt.energy(Crystals.concat([fill("Copper", ["Cu"]), fill("Copper", ["Au"])])).values
    values = found.energies - bare.compositions.fractions(SYSTEM) @ pure
    kept = found.good & (values < 1.0)
    return bare[kept], Energies(values[kept], "formation", emt.level)


def test_what_is_learned_predicts_better_than_the_mean(
    labelled: tuple[Crystals, Energies],
) -> None:
    crystals, energies = labelled
    half = np.arange(len(crystals)) % 2 == 0
    model = SystemSurrogate.fit(crystals[half], energies[half], SYSTEM, seed=0)
    truth = energies.values[~half]
    error = np.abs(model.predict(crystals[~half]).mean - truth).mean()
    assert error < 0.85 * np.abs(energies.values[half].mean() - truth).mean()


def test_members_spread_as_wide_as_the_model_is_unsure(
    labelled: tuple[Crystals, Energies],
) -> None:
    crystals, energies = labelled
    prediction = SystemSurrogate.fit(crystals[:10], energies[:10], SYSTEM, seed=0).predict(crystals)
    assert prediction.members is not None
    assert prediction.std[10:].mean() > prediction.std[:10].mean()
    assert np.corrcoef(prediction.members.std(axis=0), prediction.std)[0, 1] > 0.5


def test_the_same_seed_gives_the_same_model(labelled: tuple[Crystals, Energies]) -> None:
    crystals, energies = labelled
    one, two = (SystemSurrogate.fit(crystals, energies, SYSTEM, seed=3).predict(crystals)
                for _ in range(2))  # fmt: skip
    assert np.array_equal(one.mean, two.mean)


def test_too_few_crystals_are_refused(labelled: tuple[Crystals, Energies]) -> None:
    crystals, energies = labelled
    with pytest.raises(InputError):
        SystemSurrogate.fit(crystals[:2], energies[:2], SYSTEM, seed=0)


class Shifted:
    """The truth at another level: off by 0.5 eV/atom for each share of gold.

    As the networks that ship do, it takes geometries for final where it is told nothing.
    """

    model_id = "shifted"

    def __init__(self, crystals: Crystals, energies: Energies) -> None:
        self.asked: list[bool] = []
        self.table = dict(zip(crystals.formulas(), energies.values, strict=True))

    def predict(self, crystals: Crystals, *, relaxed: bool = True) -> Prediction:
        self.asked.append(relaxed)
        gold = crystals.compositions.fractions(SYSTEM)[:, 1]
        truth = np.array([self.table[name] for name in crystals.formulas()])
        members = truth + 0.5 * gold + np.linspace(-0.01, 0.01, 3)[:, None]
        return Prediction(
            truth + 0.5 * gold, np.full(len(truth), 0.02), "eV/atom", "shifted", level=OTHER,
            kind="formation", members=members,
        )  # fmt: skip


def test_a_foreign_model_is_mapped_to_the_oracles_level(
    labelled: tuple[Crystals, Energies],
) -> None:
    crystals, energies = labelled
    _, first = np.unique(crystals.formulas(), return_index=True)
    crystals, energies = crystals[first], energies[first]
    model = Shifted(crystals, energies)
    forecaster = Trained(model, "shifted", SYSTEM)
    with pytest.raises(InputError, match="call learn first"):
        forecaster.judge(crystals)
    forecaster.learn(crystals, energies)
    judged = forecaster.judge(crystals)
    assert judged is not None
    mapped, raw = judged.energy, judged.raw
    assert not any(model.asked)  # candidates are unrelaxed, and said to be
    assert mapped.level == energies.level
    assert raw.level == OTHER
    better = np.abs(mapped.mean - energies.values).mean()
    assert better < 0.5 * np.abs(raw.mean - energies.values).mean()


def test_raw_output_never_goes_on_the_oracles_hull(
    labelled: tuple[Crystals, Energies],
) -> None:
    from materialabs.errors import LevelError

    crystals, energies = labelled
    hull = Hull(crystals, energies)
    _, first = np.unique(crystals.formulas(), return_index=True)
    raw = Shifted(crystals[first], energies[first]).predict(crystals[first])
    with pytest.raises(LevelError):
        distance_of(raw, crystals[first], hull)


def test_forecasters_are_chosen_by_what_is_given() -> None:
    assert isinstance(forecaster_for("campaign", "mixed", SYSTEM, 0), Learned)
    assert isinstance(forecaster_for(None, "random", SYSTEM, 0), Nothing)


def test_each_candidate_is_asked_about_once_and_answers_keep_their_order(
    labelled: tuple[Crystals, Energies],
) -> None:
    crystals, energies = labelled
    _, first = np.unique(crystals.formulas(), return_index=True)
    crystals, energies = crystals[first], energies[first]
    model = Shifted(crystals, energies)
    memory = Remembering(model)
    rows = np.array([3, 1, 1, 0])
    told = [memory.predict(crystals[:2]), memory.predict(crystals[rows]), memory.predict(crystals)]
    assert len(model.asked) == 3
    assert memory.predict(crystals[:0]).mean.size == 0
    truth = model.predict(crystals, relaxed=False)
    for found, chosen in zip(told, (slice(2), rows, slice(None)), strict=True):
        assert np.array_equal(found.mean, truth.mean[chosen])
        assert found.members is not None and truth.members is not None
        assert np.array_equal(found.members, truth.members[:, chosen])


def test_a_campaign_that_must_end_alike_asks_anew() -> None:
    """Answers depend in their last digits on what was asked with them."""
    plain = forecaster_for(None, "mixed", SYSTEM, 0)
    calm = forecaster_for(None, "mixed", SYSTEM, 0, deterministic=True)
    assert isinstance(plain, Trained) and isinstance(calm, Trained)
    assert plain.remembers and not calm.remembers


def test_the_network_that_ships_for_campaigns_knows_candidates() -> None:
    found = forecaster_for(None, "mixed", SYSTEM, 0)
    assert isinstance(found, Trained)
    assert found.name.startswith("candidates/")
    assert isinstance(forecaster_for("energy", "mixed", SYSTEM, 0), Trained)
