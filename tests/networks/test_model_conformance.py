"""The conformance kit passes an honest model and catches each kind of broken one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from materialabs.crystals.batch import Crystals
from materialabs.crystals.neighbours import neighbours
from materialabs.elements import ELECTRONEGATIVITY
from materialabs.errors import DisorderError, InputError, MaterialabsError
from materialabs.intervals import IntervalShape
from materialabs.levels import MP2018
from materialabs.networks.conformance import ConformanceError, check_model, common_crystals
from materialabs.predictions import Prediction

CHI = np.nan_to_num(ELECTRONEGATIVITY, nan=1.3)
RARE = np.arange(119) > 83

Answer = Callable[[Crystals, np.ndarray], Any]


def pair_energies(crystals: Crystals) -> np.ndarray:
    """A smooth pair energy for each atom: invariant by construction."""
    found = neighbours(crystals, 5.0)
    charge = CHI[crystals.numbers[found.first]] - CHI[crystals.numbers[found.second]]
    each = -(charge**2) * np.exp(-found.distance) * (1 - found.distance / 5.0) ** 2
    return np.bincount(crystals.owners[found.first], each, minlength=len(crystals)) / np.maximum(
        crystals.counts, 1
    )


def answer(crystals: Crystals, mean: np.ndarray, **changes: Any) -> Prediction:
    numbers = crystals.numbers
    strange = np.bincount(crystals.owners, RARE[numbers], minlength=len(crystals)) > 0
    settings: dict[str, Any] = {
        "mean": mean,
        "std": np.where(strange, 0.5, 0.05),
        "unit": "eV/atom",
        "model_id": "pairs 1",
        "level": MP2018,
        "kind": "formation",
        "in_domain": np.where(strange, 0.0, 0.5),
    }
    return Prediction(**settings | changes)


class Honest:
    """A pair potential; ``spoil`` breaks one promise."""

    def __init__(self, spoil: Answer | None = None) -> None:
        self.spoil = spoil
        self.calls = 0

    def predict(self, crystals: Crystals) -> Any:
        self.calls += 1
        crystals.require_order("This model")
        mean = pair_energies(crystals)
        return answer(crystals, mean) if self.spoil is None else self.spoil(crystals, mean)


def broken(spoil: Any, **options: Any) -> str:
    model = spoil if hasattr(spoil, "predict") else Honest(spoil)
    with pytest.raises(ConformanceError) as caught:
        check_model(model, **options)
    return str(caught.value)


def per_crystal(crystals: Crystals, values: np.ndarray) -> np.ndarray:
    return np.bincount(crystals.owners, values, minlength=len(crystals))


def test_an_honest_model_passes() -> None:
    assert len(check_model(Honest())) == 8


def test_an_honest_model_passes_on_given_crystals() -> None:
    assert len(check_model(Honest(), common_crystals()[:3])) == 3


def test_one_crystal_is_enough() -> None:
    check_model(Honest(), common_crystals()[7:])


def test_the_error_is_an_assertion_and_one_of_ours() -> None:
    assert issubclass(ConformanceError, AssertionError)
    assert issubclass(ConformanceError, MaterialabsError)


def test_no_crystals_to_check_on_are_refused() -> None:
    with pytest.raises(InputError, match="one crystal or more"):
        check_model(Honest(), Crystals.empty())


SPOILS: dict[str, tuple[Answer, str]] = {
    "type": (lambda c, m: m, "gives a Prediction, not ndarray"),
    "length": (lambda c, m: answer(c, m)[1:], "8 crystals were given and 7 values"),
    "nan": (lambda c, m: answer(c, np.full(len(c), np.nan)), "The mean of crystal 'Cu'"),
    "endless": (
        lambda c, m: answer(c, m, std=np.full(len(c), np.inf)),
        "The std of crystal 'Cu' is not a number",
    ),
    "level": (
        lambda c, m: answer(c, m, kind=None, level=None),
        "need kind and level",
    ),
    "extensive": (
        lambda c, m: answer(c, m * c.counts),
        "with a cell of twice the size",
    ),
    "order": (
        lambda c, m: answer(c, m + per_crystal(c, np.arange(len(c.frac)) * c.numbers * 1e-3)),
        "with its atoms in another order",
    ),
    "orientation": (
        lambda c, m: answer(c, m + c.lattice[:, 0, 0] * 1e-3),
        "with another orientation",
    ),
    "origin": (
        lambda c, m: answer(c, m + per_crystal(c, c.wrapped().frac[:, 0])),
        "with another origin",
    ),
    "images": (
        lambda c, m: answer(c, m + per_crystal(c, c.frac[:, 1]) * 1e-2),
        "with atoms moved by whole cells",
    ),
    "cell": (
        lambda c, m: answer(c, m + np.linalg.norm(c.lattice[:, 0], axis=-1) * 1e-3),
        "with other vectors of the same lattice",
    ),
    "batch": (
        lambda c, m: answer(c, m - (m.mean() if len(m) else 0.0)),
        "when it comes alone",
    ),
    "place": (
        lambda c, m: answer(c, m + np.arange(len(c))),
        "when it comes in another order",
    ),
    "width": (
        lambda c, m: answer(c, m, std=np.full(len(c), 0.1)),
        "get no wider intervals",
    ),
    "domain": (
        lambda c, m: answer(c, m, in_domain=np.full(len(c), 0.5)),
        "no lower in-domain score",
    ),
}


@pytest.mark.parametrize("kind", SPOILS)
def test_each_broken_promise_is_named(kind: str) -> None:
    spoil, sentence = SPOILS[kind]
    assert sentence in broken(spoil)


def test_a_model_that_does_not_repeat_is_noticed() -> None:
    random = np.random.default_rng(0)
    spoil = lambda c, m: answer(c, m + random.normal(0, 1e-9, len(c)))  # noqa: E731
    assert "other values the second time" in broken(spoil)


def test_intervals_that_cross_are_noticed() -> None:
    class Crossing(Prediction):
        def interval(self, probability: float) -> Any:
            return super().interval(1.0 - probability)

    def spoil(crystals: Crystals, mean: np.ndarray) -> Prediction:
        made = answer(crystals, mean)
        return Crossing(**{n: getattr(made, n) for n in made.__dataclass_fields__})

    assert "must hold those of lower ones" in broken(spoil)


def test_values_that_end_far_from_training_are_noticed() -> None:
    def spoil(crystals: Crystals, mean: np.ndarray) -> Prediction:
        return answer(
            crystals, np.where(per_crystal(crystals, RARE[crystals.numbers]), np.nan, mean)
        )

    assert "need finite values too" in broken(spoil)


def test_strange_crystals_can_be_given() -> None:
    ordinary = common_crystals()
    assert "get no wider intervals" in broken(Honest(), strange=ordinary)


def test_an_exception_is_reported_with_its_message() -> None:
    class Fails:
        def predict(self, crystals: Crystals) -> Prediction:
            raise ZeroDivisionError("no graph")

    assert "raised ZeroDivisionError for ordinary crystals: no graph" in broken(Fails())


def test_no_crystals_must_give_no_predictions() -> None:
    def spoil(crystals: Crystals, mean: np.ndarray) -> Prediction:
        return answer(crystals, mean / len(mean) * len(mean) if mean[0] else mean)

    assert "raised IndexError for no crystals" in broken(spoil)


class Careless(Honest):
    """Does not look at occupancies, or refuses them badly."""

    def __init__(self, error: Exception | None) -> None:
        super().__init__()
        self.error = error

    def predict(self, crystals: Crystals) -> Any:
        if crystals.disordered().any() and self.error is not None:
            raise self.error
        return super().predict(crystals.replace(occupancy=None))


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (None, "were taken for full ones"),
        (DisorderError("no"), "without naming the crystal, 'SrTiO3'"),
        (ValueError("no"), "refused by ValueError"),
    ],
)
def test_partial_occupancy_is_refused_by_name(error: Exception | None, sentence: str) -> None:
    assert sentence in broken(Careless(error))


def test_trouble_in_a_later_call_is_reported() -> None:
    class Tires(Honest):
        def predict(self, crystals: Crystals) -> Any:
            if self.calls > 1:
                raise MemoryError("full")
            return super().predict(crystals)

    assert "raised MemoryError for crystals" in broken(Tires())


def test_spectra_are_compared_point_by_point() -> None:
    def spoil(crystals: Crystals, mean: np.ndarray) -> Prediction:
        values = np.stack([mean, mean + 1], axis=1)
        strange = per_crystal(crystals, RARE[crystals.numbers]) > 0
        return Prediction(
            values, np.where(strange[:, None], 1.0, 0.1) * np.ones((1, 2)), "states/eV", "dos 1",
            grid=[0.0, 1.0], shape=IntervalShape.normal(),
        )  # fmt: skip

    check_model(Honest(spoil))
