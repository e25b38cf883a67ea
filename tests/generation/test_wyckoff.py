from __future__ import annotations

import gzip
import importlib.util
import json
import sys
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materialabs.errors import InputError
from materialabs.generation.wyckoff import FAMILIES, group_arrays, space_group

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_wyckoff_table.py"
SAMPLE = (1, 2, 5, 15, 47, 62, 70, 122, 148, 166, 167, 186, 194, 205, 213, 227)
GENERIC = np.array([0.12347, 0.37192, 0.21833])


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_wyckoff_table", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def pymatgen_table(name: str) -> dict[str, dict[str, int]]:
    import pymatgen.analysis.prototypes as prototypes

    path = Path(prototypes.__file__).parent / f"wyckoff-position-{name}.json.gz"
    table: dict[str, dict[str, int]] = json.loads(gzip.decompress(path.read_bytes()))
    return table


def test_multiplicities_of_all_groups_are_those_of_pymatgen():
    expected = pymatgen_table("multiplicities")
    for number in range(1, 231):
        found = {p.letter: p.multiplicity for p in space_group(number).positions}
        assert found == expected[str(number)], number


def test_free_parameters_of_all_positions_are_those_of_pymatgen():
    expected = pymatgen_table("params")
    for number in range(1, 231):
        found = {p.letter: p.freedom for p in space_group(number).positions}
        assert found == expected[str(number)], number


@pytest.mark.parametrize("number", SAMPLE)
def test_table_is_what_its_script_derives(script, number):
    packed = SCRIPT.parents[1] / "src/materialabs/generation/wyckoff.json.gz"
    stored = json.loads(gzip.decompress(packed.read_bytes()))["groups"][number - 1]
    assert json.loads(json.dumps(script.group_row(number))) == stored


@pytest.mark.full
def test_whole_table_is_what_its_script_derives(script):
    packed = SCRIPT.parents[1] / "src/materialabs/generation/wyckoff.json.gz"
    stored = json.loads(gzip.decompress(packed.read_bytes()))["groups"]
    assert json.loads(json.dumps([script.group_row(n) for n in range(1, 231)])) == stored


def assert_places_agree_with_pyxtal(number: int) -> None:
    """Each orbit that PyXtal makes for a letter is an orbit of our position of that letter."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pyxtal.symmetry import Group

        theirs = Group(number)
    group = space_group(number)
    shifts = centring_vectors(number)
    for position in theirs.Wyckoff_positions:
        points = np.array([op.operate(GENERIC) for op in position.ops])
        ours = group.position(position.letter)
        orbit = (group.rotations @ points[0] + group.translations)[:, None] + shifts
        orbit = distinct(orbit.reshape(-1, 3))
        assert same_places(distinct(points), orbit), (number, position.letter)
        assert len(orbit) == ours.multiplicity
        assert any(lies_on(ours, point) for point in orbit), (number, position.letter)


def centring_vectors(number: int) -> np.ndarray:
    """Lattice points of the conventional cell."""
    rows = space_group(number).primitive_rows
    steps = np.array(np.meshgrid(*[range(-2, 4)] * 3)).reshape(3, -1).T
    return distinct(steps @ rows)


def distinct(points: np.ndarray) -> np.ndarray:
    wrapped = np.round(points - np.floor(points + 1e-7), 6)
    return np.unique(np.abs(wrapped), axis=0)


def same_places(first: np.ndarray, second: np.ndarray) -> bool:
    if len(first) != len(second):
        return False
    gaps = first[:, None] - second[None]
    gaps -= np.rint(gaps)
    return bool((np.abs(gaps).max(axis=2).min(axis=1) < 1e-5).all())


def lies_on(position, point: np.ndarray) -> bool:
    """Whether a point lies on the representative of a position, up to whole translations."""
    cells = np.array(np.meshgrid(*[range(-2, 3)] * 3)).reshape(3, -1).T
    gaps = point - position.origin + cells
    if position.freedom:
        along = position.directions.T
        gaps = gaps - gaps @ np.linalg.pinv(along).T @ along.T
    return bool(np.abs(gaps).max(axis=1).min() < 1e-5)


def test_positions_of_all_groups_bear_the_letters_of_the_tables():
    for number in range(1, 231):
        assert_places_agree_with_pyxtal(number)


@given(st.integers(1, 230), st.data())
def test_a_group_maps_the_places_of_each_position_onto_themselves(number, data):
    group = space_group(number)
    position = data.draw(st.sampled_from(group.positions))
    parameters = data.draw(
        st.lists(st.floats(0.01, 0.99), min_size=position.freedom, max_size=position.freedom)
    )
    inverse = np.linalg.inv(group.primitive_rows)
    places = group.places(position.letter, parameters) @ inverse
    for rotation, translation in zip(group.rotations, group.translations, strict=True):
        moved = (places @ group.primitive_rows @ rotation.T + translation) @ inverse
        gaps = moved[:, None] - places[None]
        gaps -= np.rint(gaps)
        assert (np.abs(gaps).max(axis=2).min(axis=1) < 1e-8).all()


def test_site_symmetry_of_rock_salt_is_cubic():
    group = space_group(225)
    assert group.position("a").site_symmetry == "m-3m"
    assert group.symbol == "Fm-3m"
    assert group.centring == "F"


def test_hexagonal_family_holds_the_trigonal_groups():
    assert {space_group(number).family for number in range(143, 195)} == {"hexagonal"}


def test_operations_are_whole_on_the_primitive_basis():
    arrays = group_arrays()
    assert (np.abs(np.linalg.det(arrays.rotations)).round(9) == 1).all()
    assert len(arrays.family) == 230
    assert arrays.family.max() == len(FAMILIES) - 1


@pytest.mark.parametrize("number", [0, 231, -1, 2.0, True, "P1"])
def test_what_is_no_space_group_is_refused(number):
    with pytest.raises(InputError, match="1 to 230"):
        space_group(number)


def test_unknown_letter_is_refused_with_those_that_exist():
    with pytest.raises(InputError, match="a, b, c, d, e, f, g, h, i; not 'z'"):
        space_group(2).position("z")


def test_wrong_number_of_parameters_is_refused():
    with pytest.raises(InputError, match="takes 3 parameters; 1 were given"):
        space_group(1).places("a", [0.5])
