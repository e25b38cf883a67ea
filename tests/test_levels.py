"""Levels compare as a whole, and energies of different levels or kinds do not mix."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materialabs.errors import InputError, LevelError
from materialabs.levels import ALEXANDRIA_PBE, MP2018, MP2020, Energies, Level

PBE = Level("PBE")
POTENTIAL = Level("CHGNet", version="0.4", weights="ab" * 32, emulates=MP2020)

texts = st.text(min_size=0, max_size=8)
levels = st.recursive(
    st.builds(Level, functional=st.text(min_size=1, max_size=8), hubbard=texts, weights=texts),
    lambda inner: st.builds(Level, st.just("potential"), emulates=inner),
    max_leaves=3,
)


@pytest.mark.parametrize("name", [f.name for f in fields(Level) if f.name != "emulates"])
def test_levels_differ_when_any_field_differs(name: str) -> None:
    assert replace(PBE, **{name: "other"}) != PBE


def test_levels_that_emulate_different_levels_differ() -> None:
    assert replace(POTENTIAL, emulates=None) != POTENTIAL


@given(levels)
def test_a_level_survives_a_round_trip_through_a_dictionary(level: Level) -> None:
    assert Level.from_dict(level.to_dict()) == level


def test_only_fields_that_are_set_are_written() -> None:
    assert PBE.to_dict() == {"functional": "PBE"}


def test_a_level_without_a_functional_is_refused() -> None:
    with pytest.raises(InputError, match="needs a functional"):
        Level("")


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({"functional": "PBE", "colour": "red"}, "no field 'colour'"),
        ({"functional": 3}, "is a text"),
        ({"functional": "PBE", "emulates": "MP"}, "written as an object"),
    ],
)
def test_a_wrong_dictionary_is_refused(document: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Level.from_dict(document)


@pytest.mark.parametrize(
    ("level", "text"),
    [
        (PBE, "PBE"),
        (MP2020, "PBE(+U)/MP2020/PAW-PBE/VASP"),
        (POTENTIAL, "CHGNet/0.4/weights abababab"),
        (Level("PBE", settings="0123456789"), "PBE/settings 01234567"),
    ],
)
def test_a_level_shows_what_it_is(level: Level, text: str) -> None:
    assert str(level) == text


def test_the_named_levels_are_distinct() -> None:
    assert len({MP2018, MP2020, ALEXANDRIA_PBE}) == 3


def test_energies_cannot_be_written_to() -> None:
    energies = Energies([1.0], "total", PBE)
    with pytest.raises(ValueError, match="read-only"):
        energies.values[0] = 2.0


def test_energies_do_not_follow_the_array_they_came_from() -> None:
    source = np.array([1.0])
    energies = Energies(source, "total", PBE)
    source[0] = 5.0
    assert energies.values.tolist() == [1.0]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (([[1.0]], "total", PBE), "one number for each"),
        (([1.0], "free", PBE), "'total' or 'formation'"),
        (([1.0], "total", "PBE"), "is a Level, not str"),
    ],
)
def test_wrong_energies_are_refused(arguments: tuple[object, ...], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Energies(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("selection", [slice(1, 3), [1, 2], np.array([False, True, True])])
def test_a_part_of_energies_keeps_kind_and_level(selection: object) -> None:
    part = Energies([1.0, 2.0, 3.0], "formation", PBE)[selection]  # type: ignore[index]
    assert (part.values.tolist(), part.kind, part.level) == ([2.0, 3.0], "formation", PBE)


def test_one_energy_is_still_a_batch() -> None:
    assert len(Energies([1.0, 2.0], "total", PBE)[1]) == 1


def test_energies_of_one_kind_and_level_join() -> None:
    joined = Energies([1.0], "total", PBE).concat(Energies([2.0], "total", PBE))
    assert joined.values.tolist() == [1.0, 2.0]


def test_kinds_do_not_mix() -> None:
    with pytest.raises(LevelError, match="total and formation") as caught:
        Energies([1.0], "total", PBE).concat(Energies([1.0], "formation", PBE))
    assert caught.value.code == "level.kind"


def test_levels_do_not_mix_and_both_are_named() -> None:
    with pytest.raises(LevelError, match=r"MP2018.*MP2020") as caught:
        Energies([1.0], "total", MP2020).concat(Energies([1.0], "total", MP2018))
    assert caught.value.code == "level.mixed"


def test_an_emulating_potential_is_admitted_only_on_request() -> None:
    real, emulated = Energies([1.0], "total", MP2020), Energies([1.0], "total", POTENTIAL)
    with pytest.raises(LevelError, match="allow_emulated=True"):
        real.require_comparable(emulated)
    real.require_comparable(emulated, allow_emulated=True)


def test_emulation_holds_in_one_direction_only() -> None:
    real, emulated = Energies([1.0], "total", MP2020), Energies([1.0], "total", POTENTIAL)
    with pytest.raises(LevelError):
        emulated.require_comparable(real, allow_emulated=True)
