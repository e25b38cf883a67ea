"""Batches against pymatgen, and against the list of their own crystals."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from materialabs.crystals.batch import Crystals
from materialabs.crystals.columns import Columns
from materialabs.crystals.occupancy import Occupancy
from materialabs.errors import DisorderError, InputError


def random_batch(seed: int, count: int) -> Crystals:
    random = np.random.default_rng(seed)
    sizes = random.integers(1, 6, count)
    return Crystals.from_arrays(
        [np.eye(3) * 4 + random.normal(0, 0.4, (3, 3)) for _ in sizes],
        [random.normal(0.5, 1.0, (size, 3)) for size in sizes],
        [random.integers(1, 95, size) for size in sizes],
        columns={"id": [f"c{i}" for i in range(count)], "energy": random.normal(size=count)},
    ).with_site_columns(force=random.normal(size=(int(sizes.sum()), 3)))


batches = st.builds(random_batch, st.integers(0, 10_000), st.integers(1, 6))


def same(first: Crystals, second: Crystals) -> bool:
    return first.to_bytes() == second.to_bytes()


def shared_site() -> Crystals:
    full = Occupancy.full(np.array([3, 8], np.uint8))
    half = Occupancy(full.offsets, full.occupants, np.array([0.5, 1.0]))
    return Crystals(
        np.eye(3)[None] * 4, [[0, 0, 0], [0.5, 0.5, 0.5]], [3, 8], [0, 2], occupancy=half  # type: ignore[arg-type]
    )  # fmt: skip


@given(batches)
def test_volumes_and_positions_agree_with_pymatgen(batch: Crystals) -> None:
    structures = [
        Structure(Lattice(one.lattice[0]), one.numbers.tolist(), one.frac) for one in batch
    ]
    assert batch.volumes == pytest.approx([structure.volume for structure in structures])
    expected = np.concatenate([structure.cart_coords for structure in structures])
    assert batch.positions == pytest.approx(expected)


@given(batches)
def test_a_batch_is_the_join_of_its_crystals(batch: Crystals) -> None:
    assert same(Crystals.concat(list(batch)), batch)


@given(batches, st.data())
def test_taking_rows_takes_whole_crystals(batch: Crystals, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, len(batch) - 1), min_size=1, max_size=5))
    assert same(batch[rows], Crystals.concat([batch[row] for row in rows]))


@given(batches)
def test_slices_masks_and_negative_places_choose(batch: Crystals) -> None:
    mask = np.arange(len(batch)) > 0
    assert same(batch[1:], batch[mask])
    assert same(batch[-1], batch[len(batch) - 1])


@given(batches, st.integers(1, 4))
def test_chunks_make_the_whole(batch: Crystals, size: int) -> None:
    parts = list(batch.chunks(size))
    assert all(len(part) <= size for part in parts)
    assert same(Crystals.concat(parts), batch)


@given(batches)
def test_wrapped_coordinates_differ_by_whole_cells(batch: Crystals) -> None:
    wrapped = batch.wrapped()
    shift = batch.frac - wrapped.frac
    assert np.allclose(shift, np.rint(shift), atol=1e-9)
    assert ((wrapped.frac >= 0) & (wrapped.frac < 1)).all()


def test_a_tiny_negative_coordinate_wraps_to_zero() -> None:
    batch = Crystals(np.eye(3)[None] * 3, [[-1e-18, 0, 0]], [1], [0, 1])  # type: ignore[arg-type]
    assert batch.wrapped().frac[0, 0] == 0.0


def test_open_directions_are_not_wrapped() -> None:
    batch = Crystals(np.eye(3)[None] * 3, [[1.5, 1.5, 1.5]], [1], [0, 1], [[True, False, True]])  # type: ignore[arg-type]
    assert batch.wrapped().frac.tolist() == [[0.5, 1.5, 0.5]]


@given(batches, st.floats(10, 1000))
def test_scaled_cells_have_the_volume_asked_for(batch: Crystals, volume: float) -> None:
    scaled = batch.scaled(np.full(len(batch), volume))
    assert scaled.volumes == pytest.approx(volume)
    ratio = scaled.lattice / batch.lattice
    assert np.allclose(ratio, ratio[:, :1, :1])


def test_a_batch_cannot_be_written_to() -> None:
    batch = random_batch(0, 2)
    for array in (batch.lattice, batch.frac, batch.numbers, batch.offsets, batch.pbc):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_a_batch_is_periodic_unless_said_otherwise() -> None:
    assert random_batch(0, 3).pbc.all()


def test_owners_name_the_crystal_of_each_atom() -> None:
    batch = random_batch(1, 3)
    assert batch.owners.tolist() == np.repeat([0, 1, 2], batch.counts).tolist()


def test_a_crystal_without_an_id_is_known_by_its_place() -> None:
    batch = random_batch(0, 2)
    assert batch.replace(columns=None).ids() == ["0", "1"]
    assert batch.with_columns(id=["a", None]).ids() == ["a", "1"]


def test_columns_absent_from_one_batch_are_missing_after_joining() -> None:
    plain = random_batch(0, 1).replace(columns=None)
    joined = Crystals.concat([random_batch(1, 1), plain])
    assert np.isnan(joined.columns["energy"][1])


def test_joining_or_building_nothing_gives_an_empty_batch() -> None:
    assert len(Crystals.concat([])) == len(Crystals.empty()) == 0
    assert len(Crystals.from_arrays([], [], [])) == 0
    assert Crystals.empty().formulas() == []


def test_joining_one_batch_gives_it_back() -> None:
    batch = random_batch(0, 2)
    assert Crystals.concat([Crystals.empty(), batch]) is batch


def test_an_index_beyond_the_end_is_refused() -> None:
    with pytest.raises(IndexError, match="crystal 5 of 2"):
        random_batch(0, 2)[5]


def test_a_batch_survives_pickling() -> None:
    batch = random_batch(3, 3)
    assert same(pickle.loads(pickle.dumps(batch)), batch)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"numbers": [0, 1]}, "run from 1 to 118"),
        ({"numbers": [1, 119]}, "run from 1 to 118"),
        ({"numbers": [1]}, "need lattice"),
        ({"offsets": [0, 1]}, "offsets must rise from 0"),
        ({"offsets": [1, 2]}, "offsets must rise from 0"),
        ({"offsets": [0, 3, 2]}, "offsets must rise from 0"),
        ({"lattice": np.full((1, 3, 3), np.nan)}, "A cell has coordinates that are not numbers"),
        ({"frac": [[np.inf, 0, 0], [0, 0, 0]]}, "An atom has coordinates that are not numbers"),
        ({"lattice": np.zeros((1, 3, 3))}, "The cell of crystal 0 has no volume"),
        ({"lattice": np.eye(3)[None].repeat(2, 0)}, "need lattice"),
        ({"pbc": [[True, True]]}, "need lattice"),
        ({"columns": Columns(3)}, "columns has 3 rows where 1 are needed"),
        ({"columns": {"id": ["a", "b"]}}, "'id' has 2 rows"),
        ({"site_columns": Columns(1)}, "site_columns has 1 rows where 2 are needed"),
        ({"occupancy": Occupancy.full(np.array([3], np.uint8))}, "one row for each atom"),
        ({"colour": 1}, "have no field 'colour'"),
    ],
)
def test_what_is_not_a_batch_is_refused_in_one_sentence(
    changes: dict[str, Any], sentence: str
) -> None:
    batch = Crystals(np.eye(3)[None] * 4, [[0, 0, 0], [0.5, 0.5, 0.5]], [3, 9], [0, 2])  # type: ignore[arg-type]
    with pytest.raises(InputError, match=sentence):
        batch.replace(**changes)


def test_disorder_is_counted_in_the_formula() -> None:
    assert shared_site().formulas() == ["Li0.5O"]


def test_a_function_that_needs_order_names_the_crystal() -> None:
    batch = Crystals.concat([random_batch(0, 1), shared_site().with_columns(id=["half"])])
    assert batch.disordered().tolist() == [False, True]
    with pytest.raises(DisorderError, match=r"Drawing needs .* crystal 'half' .*\.ordered\(\)"):
        batch.require_order("Drawing")


def test_ordered_crystals_pass_where_order_is_needed() -> None:
    random_batch(0, 2).require_order("Drawing")


@pytest.mark.parametrize(
    ("count", "text"), [(0, "Crystals(none)"), (1, "Crystals(1: "), (5, ", ...; ")]
)
def test_a_batch_shows_what_it_holds(count: int, text: str) -> None:
    batch = random_batch(0, count) if count else Crystals.empty()
    assert text in repr(batch)


def test_a_notebook_shows_a_table_and_escapes_names() -> None:
    batch = random_batch(0, 12).with_columns(id=["<script>"] * 12)
    html = batch._repr_html_()
    assert "<script>" not in html
    assert html.count("<tr>") == 11
    assert "and 2 more" in html
    assert "more" not in batch[:3]._repr_html_()


def test_pymatgen_and_ase_objects_go_in_and_come_out() -> None:
    batch = random_batch(2, 2)
    assert len(Crystals.from_pymatgen(batch.to_pymatgen())) == 2
    assert len(Crystals.from_ase(batch.to_ase())) == 2
    assert same(Crystals.from_bytes(batch.to_bytes()), batch)


@pytest.mark.parametrize("numbers", [[6.7], [np.nan], ["Na"]])
def test_an_atomic_number_that_is_not_whole_is_refused(numbers: list[Any]) -> None:
    with pytest.raises(InputError, match="whole"):
        Crystals(4 * np.eye(3)[None], np.zeros((1, 3)), np.array(numbers), np.array([0, 1]))


@pytest.mark.parametrize("volumes", [[-5.0], [0.0], [np.nan], [1.0, 2.0]])
def test_a_cell_is_scaled_only_to_a_volume_of_its_own(volumes: list[float]) -> None:
    one = Crystals(4 * np.eye(3)[None], np.zeros((1, 3)), np.array([6]), np.array([0, 1]))
    with pytest.raises(InputError, match="olumes"):
        one.scaled(volumes)
