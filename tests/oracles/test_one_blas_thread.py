import sys
from pathlib import Path

import numpy as np
import pytest

from materialabs.oracles import one_blas_thread as module
from materialabs.oracles.one_blas_thread import one_blas_thread

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def counts():
    return [read() for read, _ in module._controls()]


def test_every_openblas_of_this_process_has_one_thread_inside_and_its_own_number_after():
    assert len(module._controls()) >= 1
    for _, write in module._controls():
        write(2)
    before = counts()
    with one_blas_thread():
        assert set(counts()) == {1}
    assert counts() == before


def test_the_number_comes_back_after_an_error():
    before = counts()
    with pytest.raises(RuntimeError), one_blas_thread():
        raise RuntimeError
    assert counts() == before


def test_without_a_list_of_loaded_libraries_those_of_the_packages_are_found(monkeypatch, tmp_path):
    module._controls()
    loaded = {Path(place).name for place in module._libraries()}
    monkeypatch.setattr(module, "MAPPED", tmp_path / "absent")
    assert loaded
    assert loaded <= {Path(place).name for place in module._libraries()}


def test_products_are_the_same():
    source = np.random.default_rng(0)
    left, right = source.normal(size=(300, 300)), source.normal(size=(300, 300))
    outside = left @ right
    with one_blas_thread():
        np.testing.assert_allclose(left @ right, outside, atol=1e-10)
