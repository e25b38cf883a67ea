"""Candidates: substitution, symmetry-aware partial substitution, random search, formulas.

:func:`generate` is the one door: ``generate("saps", parents, limit=1000)``,
``generate("airss", "MgSiO3", 100)``, ``generate("formulas", "Li-P-S", atoms=12)``.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from materialabs.errors import NotFound

GENERATORS: Final[dict[str, tuple[str, str]]] = {
    "saps": ("materialabs.generation.saps", "saps"),
    "airss": ("materialabs.generation.airss", "airss_candidates"),
    "formulas": ("materialabs.generation.formulas", "formulas"),
    "system": ("materialabs.generation.systems", "candidates_for_system"),
    "slabs": ("materialabs.generation.slabs", "random_slabs"),
    "amorphous": ("materialabs.generation.amorphous", "amorphous"),
}
"""Kinds of candidates, and the module and function that make them."""

__all__ = ["GENERATORS", "generate"]


def generate(kind: str, *arguments: Any, **options: Any) -> Any:
    """Make candidates of one kind.

    Parameters
    ----------
    kind
        ``"saps"`` (parents by likely ion substitutions), ``"airss"`` (random crystals of a
        formula), ``"formulas"`` (of a chemical system), ``"system"`` (ranked candidates in one
        chemical system from a pool of parents), ``"slabs"`` or ``"amorphous"``.
    arguments, options
        As the function of that kind takes them; see its page in the manual.

    Raises
    ------
    NotFound
        When the kind is not known, naming those that are.
    """
    if kind not in GENERATORS:
        raise NotFound(f"There is no generator {kind!r}; there are {', '.join(GENERATORS)}.")
    module, name = GENERATORS[kind]
    return getattr(import_module(module), name)(*arguments, **options)
