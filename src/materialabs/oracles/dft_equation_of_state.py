"""Energy against volume: the Birch-Murnaghan equation of state, fitted to a few points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.errors import PhysicsError
from materialabs.units import GPA_PER_EV_PER_CUBIC_ANGSTROM

Floats = NDArray[np.float64]

USUAL_STIFFENING: Final = 4.0
"""Pressure derivative of the bulk modulus; 4 makes the equation of second order."""


@dataclass(frozen=True)
class EquationOfState:
    """A fitted equation of state of one cell.

    Parameters
    ----------
    volume
        Cubic angstrom, at no pressure.
    energy
        eV, there.
    bulk_modulus
        eV/angstrom^3, there.
    stiffening
        Pressure derivative of the bulk modulus.
    misfit
        Root mean square of the residuals, eV.
    """

    volume: float
    energy: float
    bulk_modulus: float
    stiffening: float
    misfit: float

    @property
    def bulk_modulus_gpa(self) -> float:
        """GPa."""
        return self.bulk_modulus * GPA_PER_EV_PER_CUBIC_ANGSTROM

    def energy_at(self, volume: float) -> float:
        """EV at a volume in cubic angstrom (Birch, Phys. Rev. 71, 809, 1947, third order)."""
        x = float((self.volume / volume) ** (2 / 3))
        stretch = 9 * self.volume * self.bulk_modulus / 16
        return self.energy + stretch * ((x - 1) ** 3 * self.stiffening + (x - 1) ** 2 * (6 - 4 * x))

    def pressure_at(self, volume: float) -> float:
        """eV/angstrom^3 at a volume in cubic angstrom: minus the slope of the energy."""
        x = float((self.volume / volume) ** (1 / 3))
        third = 1 + 0.75 * (self.stiffening - 4) * (x**2 - 1)
        return 1.5 * self.bulk_modulus * (x**7 - x**5) * third

    def volume_at(self, pressure: float) -> float:
        """Cubic angstrom at a pressure in eV/angstrom^3, by Newton's steps on the compression."""
        volume = self.volume
        for _ in range(50):
            modulus = max(self.bulk_modulus + self.stiffening * pressure, 0.1 * self.bulk_modulus)
            step = (self.pressure_at(volume) - pressure) / modulus
            volume *= float(np.exp(np.clip(step, -0.1, 0.1)))
            if abs(step) < 1e-12:
                break
        return volume


def fit_equation_of_state(volumes: Sequence[float], energies: Sequence[float]) -> EquationOfState:
    """Fit three points by the equation of second order, more by that of third.

    The energy is a polynomial in volume^(-2/3), so the fit is linear (Birch 1947; ASE's
    ``birchmurnaghan`` is the same curve).

    Parameters
    ----------
    volumes
        [k] cubic angstrom, three or more different ones.
    energies
        [k] eV.

    Raises
    ------
    PhysicsError
        When the points have no minimum.
    """
    v, e = np.asarray(volumes, dtype=float), np.asarray(energies, dtype=float)
    if len(np.unique(v)) < 3:
        raise PhysicsError("An equation of state needs energies at three volumes or more.")
    middle = float(np.median(v))
    x = (middle / v) ** (2 / 3)
    shift = float(e.mean())
    order = 3 if len(np.unique(v)) > 3 else 2
    coefficients = np.polyfit(x, e - shift, order)
    lowest = _minimum(coefficients, x)
    curve = np.poly1d(coefficients)
    second, third = float(curve.deriv(2)(lowest)), float(curve.deriv(3)(lowest))
    volume = middle * lowest ** (-1.5)
    # from d/dV with x = (middle/V)^(2/3): V^2 E_VV = (4/9) x^2 E_xx at the minimum
    modulus = 4 / 9 * lowest**2 * second / volume
    stiffening = 4.0 + 2 / 3 * lowest * third / second if order == 3 else USUAL_STIFFENING
    misfit = float(np.sqrt(np.mean((curve(x) + shift - e) ** 2)))
    return EquationOfState(volume, float(curve(lowest)) + shift, modulus, stiffening, misfit)


def _minimum(coefficients: NDArray[np.float64], x: Floats) -> float:
    """Where the polynomial is least, near the points."""
    curve = np.poly1d(coefficients)
    roots = [float(r.real) for r in np.roots(curve.deriv()) if abs(r.imag) < 1e-10]
    margin = float(np.ptp(x))
    good = [r for r in roots if curve.deriv(2)(r) > 0 and x.min() - margin < r < x.max() + margin]
    if not good:
        raise PhysicsError("These energies have no minimum over volume: widen the range.")
    return min(good, key=lambda root: abs(root - 1.0))
