"""Oracles by name, as settings files and the command line know them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from materialabs.errors import InputError

if TYPE_CHECKING:
    from materialabs.oracles.oracle import BaseOracle


def oracle_by_name(name: str, **options: Any) -> BaseOracle:
    """Make an oracle from its name and keyword arguments.

    Parameters
    ----------
    name
        ``"chgnet"`` and ``"chgnet-r2scan"``; ``"gpaw"`` and ``"espresso"`` for density-functional
        theory, with the option ``system``; any ASE calculator (``"emt"``, ``"mace"``, ``"vasp"``,
        ``"module:attribute"`` ...). With the option ``python`` a calculator runs in the process
        of that other Python.
    options
        Keyword arguments of the oracle or calculator.

    Examples
    --------
    >>> oracle_by_name("emt").level.functional
    'emt'
    """
    if name in ("chgnet", "chgnet-r2scan"):
        from materialabs.oracles.chgnet import ChgnetOracle

        return ChgnetOracle("r2scan" if name.endswith("r2scan") else "pbe", **options)
    if name in ("gpaw", "espresso"):
        return _dft_oracle(name, **options)
    from materialabs.oracles.calculators import AseOracle, ExternalOracle

    if "python" in options:
        return ExternalOracle(options.pop("python"), name, **options)
    return AseOracle(name, **options)


def _dft_oracle(name: str, *, system: str = "", **options: Any) -> BaseOracle:
    if not system:
        raise InputError(f"{name} is set up for a chemical system: pass system='Mg-Si'.")
    if name == "gpaw":
        from materialabs.oracles.gpaw_oracle import gpaw_oracle

        return gpaw_oracle(system, **options)
    from materialabs.oracles.espresso_oracle import espresso_oracle

    return espresso_oracle(system, **options)
