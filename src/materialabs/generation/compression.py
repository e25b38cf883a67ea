"""How much a crystal shrinks under pressure, estimated from its volume alone."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from materialabs.errors import InputError

BULK_MODULUS_SCALE: Final = 13400.0
"""GPa; bulk modulus of a crystal that takes 1 cubic angstrom per atom, in the law below."""

BULK_MODULUS_EXPONENT: Final = 1.72
"""B falls as this power of the volume per atom. Both numbers are a least-absolute-deviation fit
to the 3,947 binary compounds of the Materials Project (CC BY 4.0) with a bulk modulus of 1 to
600 GPa, by estimated volume: median error 34 %, within a factor of two for 79 %. The form is that
of Anderson and Nafe (J. Geophys. Res. 70, 3951, 1965) and Cohen (Phys. Rev. B 32, 7988, 1985)."""

BULK_MODULUS_SLOPE: Final = 4.0
"""dB/dP; Birch's second-order value (Phys. Rev. 71, 809, 1947), between 3 and 6 for most solids."""


def estimated_bulk_modulus(volume_per_atom: ArrayLike) -> NDArray[np.float64]:
    """Estimate bulk moduli in GPa from volumes per atom in cubic angstrom, at no pressure."""
    volumes = np.asarray(volume_per_atom, dtype=np.float64)
    return np.asarray(BULK_MODULUS_SCALE * volumes**-BULK_MODULUS_EXPONENT)


def compression(
    pressure: float, bulk_modulus: ArrayLike, *, slope: float = BULK_MODULUS_SLOPE
) -> NDArray[np.float64]:
    """Volume under pressure over the volume without, (1 + B' P / B)^(-1/B').

    The equation of state is Murnaghan's (Proc. Natl. Acad. Sci. 30, 244, 1944).

    Parameters
    ----------
    pressure
        GPa; positive compresses.
    bulk_modulus
        GPa, at no pressure.
    slope
        dB/dP.

    Raises
    ------
    InputError
        When the pressure is not finite, or tension would tear the crystal apart.
    """
    modulus = np.asarray(bulk_modulus, dtype=np.float64)
    stretch = 1.0 + slope * pressure / modulus
    if not np.isfinite(pressure) or (stretch <= 0.0).any():
        raise InputError(
            f"A pressure of {pressure:g} GPa is beyond the equation of state: give one above "
            f"{-float(np.min(modulus)) / slope:.3g} GPa."
        )
    return np.asarray(stretch ** (-1.0 / slope))
