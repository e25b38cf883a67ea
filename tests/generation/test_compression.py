from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materialabs.errors import InputError
from materialabs.generation.compression import compression, estimated_bulk_modulus


def test_no_pressure_changes_nothing():
    assert compression(0.0, [50.0, 200.0]).tolist() == [1.0, 1.0]


@given(st.floats(0.1, 500.0), st.floats(1.0, 500.0), st.floats(2.0, 7.0))
def test_pressure_follows_from_the_bulk_moduls_that_rises_with_it(pressure, modulus, slope):
    """Murnaghan: B = -V dP/dV = B0 + B0' P, differentiated numerically."""
    step = 1e-4 * pressure
    low, high = (float(compression(pressure + d, modulus, slope=slope)) for d in (-step, step))
    middle = float(compression(pressure, modulus, slope=slope))
    found = -middle * 2 * step / (high - low)
    assert found == pytest.approx(modulus + slope * pressure, rel=1e-3)


@given(st.floats(-1.0, 300.0), st.floats(0.5, 100.0), st.floats(10.0, 300.0))
def test_more_pressure_is_less_volume(pressure, more, modulus):
    assert compression(pressure + more, modulus) < compression(pressure, modulus)


def test_a_tension_beyond_the_equation_is_refused():
    with pytest.raises(InputError, match="above -25 GPa"):
        compression(-25.0, 100.0)


def test_bulk_moduli_are_within_a_factor_of_two_for_three_quarters(data_folder):
    from materialabs.crystals.compositions import Compositions
    from materialabs.crystals.volumes import estimated_volumes

    path = data_folder / "structures" / "mp_binary_elasticity.json.gz"
    rows = json.loads(gzip.decompress(path.read_bytes()))
    rows = [row for row in rows if 1 < row["bulk_modulus_vrh"] < 600]
    compositions = Compositions.parse([row["formula"] for row in rows])
    estimate = estimated_bulk_modulus(estimated_volumes(compositions) / compositions.atoms)
    error = np.abs(np.log(estimate / [row["bulk_modulus_vrh"] for row in rows]))
    assert np.mean(error < np.log(2)) > 0.75
    assert np.median(error) < np.log(1.45)
