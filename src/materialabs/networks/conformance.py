"""A conformance kit for models: whoever plugs in a model runs it in a test.

::

    from materialabs.networks.conformance import check_model

    class Mine:
        def predict(self, crystals: Crystals) -> Prediction:
            ...

    def test_my_model_conforms():
        check_model(Mine())
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.occupancy import Occupancy
from materialabs.errors import DisorderError, InputError, MaterialabsError
from materialabs.predictions import Prediction

TOLERANCE: Final = 1e-5
"""In the unit of the prediction (eV/atom for energies): what rounding in single precision may
change when the same crystal is written differently."""

NESTED: Final = (0.1, 0.5, 0.9, 0.99)
"""Probabilities whose intervals must lie inside one another."""

RATTLE: Final = 0.05
"""Angstrom; the crystals of a check are disturbed by this much, so that no symmetry hides an
error."""

SEED: Final = 20240607

STRANGE_ELEMENTS: Final = (84, 85, 87, 88, 96, 97, 98, 100)
"""Po, At, Fr, Ra, Cm, Bk, Cf, Fm: next to no crystal that models learn from has them."""

SUPERCELL: Final = ((2, 0, 0), (1, 1, 0), (0, 0, 1))
"""Rows are the vectors of a cell of twice the size, in units of the old ones."""

OTHER_VECTORS: Final = ((1, 1, 0), (0, 1, 0), (1, 0, 1))
"""Rows are other vectors of the same lattice."""

Rewrite = Callable[[Crystals, np.random.Generator], Crystals]


class Model(Protocol):
    """Anything that predicts a property of crystals."""

    def predict(self, crystals: Crystals) -> Prediction:
        """Predict one value for each crystal, with its uncertainty."""
        ...


class ConformanceError(MaterialabsError, AssertionError):
    """A model does not do what models promise; the sentences say what failed."""

    default_code = "conformance"


def check_model(
    model: Model,
    crystals: Crystals | None = None,
    *,
    strange: Crystals | None = None,
    tolerance: float = TOLERANCE,
) -> Prediction:
    """Refuse a model that breaks a promise, naming every promise that it breaks.

    Checked are: the type, the shapes, the unit and, for energies, kind and level of the answer;
    that values are finite and intervals nested; that a crystal's answer depends neither on the
    batch that it comes in nor on the call, nor on how it is written (order of atoms, orientation,
    origin, periodic images, choice of cell, supercell); that uncertainty grows away from what was
    learned; that partial occupancy is refused with the crystal's id; that no crystals give no
    predictions.

    Parameters
    ----------
    model
        Called as ``model.predict(crystals)``.
    crystals
        Ordinary crystals to ask about; by default eight common ones, disturbed.
    strange
        Crystals far from what the model has learned; by default the same with elements that are
        hardly ever found in tables of crystals.
    tolerance
        Largest difference between two ways to write a crystal, in the unit of the prediction.

    Returns
    -------
    What the first call gave.

    Raises
    ------
    ConformanceError
        With one sentence for each promise that is broken.
    """
    usual = common_crystals() if crystals is None else crystals
    if not len(usual):
        raise InputError("A model is checked on one crystal or more; none were given.")
    answer, broken = _ask(model, usual, "ordinary crystals")
    if answer is None:
        raise ConformanceError(" ".join(broken))
    broken += _check_contents(answer, usual)
    if not broken:
        broken += _check_repeats(model, usual, answer)
        broken += _check_batches(model, usual, answer, tolerance)
        broken += _check_writing(model, usual, answer, tolerance)
        broken += _check_strange(model, usual, answer, strange)
    broken += _check_disorder(model, usual)
    broken += _check_nothing(model)
    if broken:
        raise ConformanceError(" ".join(broken))
    return answer


def common_crystals() -> Crystals:
    """Cu, Mg, Si, NaCl, CsCl, ZnS, CaF2 and SrTiO3, each disturbed by 0.05 angstrom."""
    fcc = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2.0
    hexagonal = np.array([[1, 0, 0], [-0.5, np.sqrt(0.75), 0], [0, 0, 1.6235]])
    corner, middle = [0.0, 0.0, 0.0], [0.5, 0.5, 0.5]
    faces = [[0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]]
    quarter, last = [0.25, 0.25, 0.25], [0.75, 0.75, 0.75]
    rows = [
        ("Cu", fcc * 3.61, [corner], [29]),
        ("Mg", hexagonal * 3.21, [[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]], [12, 12]),
        ("Si", fcc * 5.43, [corner, quarter], [14, 14]),
        ("NaCl", fcc * 5.64, [corner, middle], [11, 17]),
        ("CsCl", np.eye(3) * 4.12, [corner, middle], [55, 17]),
        ("ZnS", fcc * 5.41, [corner, quarter], [30, 16]),
        ("CaF2", fcc * 5.46, [corner, quarter, last], [20, 9, 9]),
        ("SrTiO3", np.eye(3) * 3.91, [corner, middle, *faces], [38, 22, 8, 8, 8]),
    ]
    names, lattices, places, numbers = zip(*rows, strict=True)
    made = Crystals.from_arrays(lattices, places, numbers, columns={"id": list(names)})
    random = np.random.default_rng(SEED)
    steps = random.normal(0.0, RATTLE, made.frac.shape)
    inverse = np.linalg.inv(made.lattice)[made.owners]
    return made.replace(frac=made.frac + np.einsum("ij,ijk->ik", steps, inverse))


# -- the answer ---------------------------------------------------------------------------------


def _ask(model: Model, crystals: Crystals, what: str) -> tuple[Prediction | None, list[str]]:
    try:
        answer: object = model.predict(crystals)
    except Exception as error:  # whatever a foreign model raises is a finding
        return None, [f"predict raised {type(error).__name__} for {what}: {error}."]
    if not isinstance(answer, Prediction):
        return None, [f"A model gives a Prediction, not {type(answer).__name__}."]
    if len(answer) != len(crystals):
        return None, [f"{len(crystals)} crystals were given and {len(answer)} values came back."]
    return answer, []


def _check_contents(answer: Prediction, crystals: Crystals) -> list[str]:
    broken = []
    for name, values in (("mean", answer.mean), ("std", answer.std)):
        bad = np.asarray(~np.isfinite(values).reshape(len(crystals), -1).all(axis=1))
        if bad.any():
            broken.append(f"The {name} of crystal {_first(crystals, bad)} is not a number.")
    if "eV/atom" in answer.unit and (answer.kind is None or answer.level is None):
        broken.append("Energies in eV/atom need kind and level, so that they find their hull.")
    if broken:
        return broken
    ends = [answer.interval(probability) for probability in NESTED]
    inner = [answer.mean.clip(*answer.bounds)] * 2
    for low, high in ends:
        if (low > inner[0]).any() or (high < inner[1]).any():
            broken.append("An interval of higher probability must hold those of lower ones.")
            break
        inner = [low, high]
    return broken


def _check_repeats(model: Model, crystals: Crystals, answer: Prediction) -> list[str]:
    again, broken = _ask(model, crystals, "the same crystals")
    if again is not None and not (
        np.array_equal(again.mean, answer.mean) and np.array_equal(again.std, answer.std)
    ):
        broken.append("The same crystals gave other values the second time.")
    return broken


def _check_batches(
    model: Model, crystals: Crystals, answer: Prediction, tolerance: float
) -> list[str]:
    backwards = np.arange(len(crystals))[::-1]
    asked = [
        ("in another order", crystals.take(backwards), answer.take(backwards)),
        ("alone", crystals[:1], answer[:1]),
    ]
    broken = []
    for how, batch, expected in asked:
        found, trouble = _ask(model, batch, f"crystals {how}")
        broken += trouble
        if found is not None:
            broken += _compare(found, expected, batch, tolerance, f"when it comes {how}")
    return broken


# -- the same crystal, written differently ------------------------------------------------------


def _check_writing(
    model: Model, crystals: Crystals, answer: Prediction, tolerance: float
) -> list[str]:
    broken = []
    for how, rewrite in WRITINGS.items():
        written = rewrite(crystals, np.random.default_rng(SEED))
        found, trouble = _ask(model, written, f"crystals with {how}")
        broken += trouble
        if found is not None:
            broken += _compare(found, answer, crystals, tolerance, f"with {how}")
    return broken


def _compare(
    found: Prediction, expected: Prediction, crystals: Crystals, tolerance: float, how: str
) -> list[str]:
    broken = []
    for name in ("mean", "std"):
        gaps = np.abs(getattr(found, name) - getattr(expected, name))
        gaps = gaps.reshape(len(crystals), -1).max(axis=1)
        bad = ~(gaps <= tolerance)
        if bad.any():
            worst = int(np.argmax(np.where(np.isfinite(gaps), gaps, np.inf)))
            broken.append(
                f"The {name} of crystal {crystals.ids()[worst]!r} changes by {gaps[worst]:.2g} "
                f"{expected.unit} {how}."
            )
    return broken


def _reordered(crystals: Crystals, random: np.random.Generator) -> Crystals:
    order = np.lexsort((random.random(len(crystals.frac)), crystals.owners))
    return crystals.replace(
        frac=crystals.frac[order], numbers=crystals.numbers[order], site_columns=None
    )


def _rotated(crystals: Crystals, random: np.random.Generator) -> Crystals:
    turn = np.linalg.qr(random.normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    return crystals.replace(lattice=crystals.lattice @ turn)


def _moved(crystals: Crystals, random: np.random.Generator) -> Crystals:
    return crystals.replace(frac=crystals.frac + random.random((len(crystals), 3))[crystals.owners])


def _in_other_images(crystals: Crystals, random: np.random.Generator) -> Crystals:
    return crystals.replace(frac=crystals.frac + random.integers(-2, 3, crystals.frac.shape))


def _in_another_cell(crystals: Crystals, random: np.random.Generator) -> Crystals:
    matrix = np.array(OTHER_VECTORS, dtype=np.float64)
    return crystals.replace(
        lattice=matrix @ crystals.lattice, frac=crystals.frac @ np.linalg.inv(matrix)
    )


def _doubled(crystals: Crystals, random: np.random.Generator) -> Crystals:
    """Every crystal in a cell of twice its size."""
    matrix = np.array(SUPERCELL, dtype=np.float64)
    inverse = np.linalg.inv(matrix)
    first = crystals.frac @ inverse
    second = first + inverse[0]  # one old vector on
    owners = np.concatenate([crystals.owners, crystals.owners])
    order = np.argsort(owners, kind="stable")
    return Crystals(
        matrix @ crystals.lattice,
        np.concatenate([first, second])[order],
        np.concatenate([crystals.numbers, crystals.numbers])[order],
        crystals.offsets * 2,
        columns=crystals.columns,
    )


WRITINGS: Final[dict[str, Rewrite]] = {
    "its atoms in another order": _reordered,
    "another orientation": _rotated,
    "another origin": _moved,
    "atoms moved by whole cells": _in_other_images,
    "other vectors of the same lattice": _in_another_cell,
    "a cell of twice the size": _doubled,
}
"""Ways to write the same crystal, by what the sentence calls them."""


# -- strange, partly occupied, none -------------------------------------------------------------


def _check_strange(
    model: Model, crystals: Crystals, answer: Prediction, strange: Crystals | None
) -> list[str]:
    odd = _with_strange_elements(crystals) if strange is None else strange
    found, broken = _ask(model, odd, "crystals far from what it learned")
    if found is None:
        return broken
    if not (np.isfinite(found.mean).all() and np.isfinite(found.std).all()):
        return ["Crystals far from what was learned need finite values too, with wide intervals."]
    if not found.classes and not np.median(found.std) > np.median(answer.std):
        broken.append(
            "Crystals far from what was learned get no wider intervals "
            f"(median std {np.median(found.std):.3g}, ordinary ones {np.median(answer.std):.3g})."
        )
    scored = np.isfinite(found.in_domain).all() and np.isfinite(answer.in_domain).all()
    if scored and not np.median(found.in_domain) < np.median(answer.in_domain):
        broken.append("Crystals far from what was learned get no lower in-domain score.")
    return broken


def _with_strange_elements(crystals: Crystals) -> Crystals:
    """Every element replaced by one that tables of crystals hardly have."""
    elements, place = np.unique(crystals.numbers, return_inverse=True)
    chosen = np.array(STRANGE_ELEMENTS)[np.arange(len(elements)) % len(STRANGE_ELEMENTS)]
    return crystals.replace(numbers=chosen[place])


def _check_disorder(model: Model, crystals: Crystals) -> list[str]:
    full = Occupancy.full(crystals.numbers)
    shares = full.fractions.copy()
    shares[-1] = 0.5  # of the last atom of the last crystal
    name = crystals.ids()[-1]
    partly = crystals.replace(occupancy=Occupancy(full.offsets, full.occupants, shares))
    try:
        model.predict(partly)
    except DisorderError as error:
        if name in str(error):
            return []
        return [f"Partial occupancy is refused without naming the crystal, {name!r}."]
    except Exception as error:  # whatever a foreign model raises is a finding
        return [
            f"Partial occupancy is refused by {type(error).__name__}, not by a DisorderError: "
            "call crystals.require_order(...)."
        ]
    return ["Partly occupied sites were taken for full ones: call crystals.require_order(...)."]


def _check_nothing(model: Model) -> list[str]:
    return _ask(model, Crystals.empty(), "no crystals")[1]


def _first(crystals: Crystals, bad: NDArray[np.bool_]) -> str:
    return repr(crystals.ids()[int(np.argmax(bad))])
