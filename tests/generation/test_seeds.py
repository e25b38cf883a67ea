from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from materialabs.errors import InputError
from materialabs.generation.airss import airss_candidates, airss_requests
from materialabs.generation.amorphous import amorphous
from materialabs.generation.slabs import random_slabs

GENERATORS: dict[str, Callable[..., object]] = {
    "airss": lambda **given: airss_candidates("NaCl", given.pop("count", 1), cells=1, **given),
    "slabs": lambda **given: random_slabs("NaCl", given.pop("count", 1), thickness=4.0, **given),
    "amorphous": lambda **given: amorphous("NaCl", given.pop("count", 1), atoms=8, **given),
}


@pytest.mark.parametrize("seed", [-1, 1.5, None, "1", True])
@pytest.mark.parametrize("generator", GENERATORS.values(), ids=GENERATORS)
def test_a_seed_is_a_whole_number_from_zero(generator: Callable[..., object], seed: object) -> None:
    with pytest.raises(InputError, match="A seed is a whole number"):
        generator(seed=seed)


@pytest.mark.parametrize("count", [-1, 2.5, "3"])
@pytest.mark.parametrize("generator", GENERATORS.values(), ids=GENERATORS)
def test_a_number_of_candidates_is_whole(generator: Callable[..., object], count: object) -> None:
    with pytest.raises(InputError, match="number of crystals wanted"):
        generator(count=count)


def test_a_seed_of_numpy_is_as_good_as_one_of_python() -> None:
    ours = airss_candidates("NaCl", 2, cells=1, seed=7).crystals
    other = airss_candidates("NaCl", 2, cells=1, seed=np.int32(7)).crystals  # type: ignore[arg-type]
    np.testing.assert_array_equal(ours.frac, other.frac)


def test_requests_take_the_same_seeds() -> None:
    with pytest.raises(InputError, match="A seed is a whole number"):
        airss_requests([], seed=-1)


def test_formula_units_that_are_not_whole_are_refused() -> None:
    with pytest.raises(InputError, match="whole number from 1"):
        airss_candidates("NaCl", 1, cells=1.5)  # type: ignore[arg-type]
