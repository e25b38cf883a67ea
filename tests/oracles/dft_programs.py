"""Engines that stand in for a DFT program in quick tests: real potentials, with a known basis."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import numpy as np

from materialabs.oracles.dft_engine import NotSelfConsistentError, Question, SinglePoint


class PotentialEngine:
    """An ASE potential, with the error of a finite basis put on top analytically.

    Every atom's energy is too high by ``depth * exp(-cutoff / scale)``, and the stress is that of
    a constant number of plane waves, as DFT programs give it: its Pulay part is then known.
    """

    code, version = "ASE", "test"

    def __init__(self, calculator: Any, *, depth: float = 0.0, scale: float = 100.0) -> None:
        self.calculator, self.depth, self.scale = calculator, depth, scale
        self.questions: list[Question] = []
        self.refused: set[int] = set()

    def single_point(self, question: Question) -> SinglePoint:
        from ase import Atoms

        self.questions.append(question)
        if len(self.questions) in self.refused:
            raise NotSelfConsistentError("The charge density did not settle.")
        atoms = Atoms(
            numbers=question.numbers, cell=question.lattice,
            scaled_positions=question.frac, pbc=True, calculator=self.calculator,
        )  # fmt: skip
        count = len(atoms)
        tail = count * self.depth * np.exp(-question.cutoff / self.scale)
        slope = -tail * question.cutoff / self.scale  # with the logarithm of the cut-off
        pulay = 2 / 3 * slope / atoms.get_volume()
        moments = None if question.moments is None else self.moments(question)
        return SinglePoint(
            float(atoms.get_potential_energy() + tail),
            atoms.get_forces(),
            atoms.get_stress(voigt=False) - pulay * np.eye(3),
            moments,
            0.0 if moments is None else float(moments.sum()),
        )

    def moments(self, question: Question) -> Any:
        """The potential knows no spin: all moments vanish."""
        return np.zeros(len(question.numbers))

    def close(self) -> None:
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
