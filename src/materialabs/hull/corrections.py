"""The corrections of the Materials Project (MP2020), so that GGA and GGA+U share one hull."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from materialabs.crystals.compositions import Compositions
from materialabs.elements import atomic_number
from materialabs.errors import InputError
from materialabs.hull.entries import EntryTable
from materialabs.levels import MP2020, Energies

if TYPE_CHECKING:
    from pymatgen.entries.computed_entries import ComputedEntry


@dataclass(frozen=True, eq=False)
class Corrected(EntryTable):
    """Entries at the level MP2020.

    Parameters
    ----------
    refused
        Names of the entries that the scheme does not cover, such as runs with other +U values or
        pseudopotentials; they are left out.
    """

    refused: list[str]


def corrected(entries: Sequence[ComputedEntry | Mapping[str, Any]]) -> Corrected:
    """Apply the MP2020 corrections to uncorrected energies, through pymatgen.

    Parameters
    ----------
    entries
        pymatgen ``ComputedEntry`` or ``ComputedStructureEntry``, or their dictionaries, with the
        run type, +U values and pseudopotentials of the Materials Project in ``parameters``.
        Corrections that they carry are taken off first.

    Returns
    -------
    Corrected
        Total energies in eV/atom, Wang et al., Sci. Rep. 11, 15496 (2021).
    """
    from pymatgen.analysis.compatibility import MaterialsProject2020Compatibility

    given = [_entry(entry) for entry in entries]
    for number, entry in enumerate(given):
        entry.data = {**(entry.data or {}), "materialabs_number": number}
    scheme = MaterialsProject2020Compatibility(check_potcar=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kept = scheme.process_entries(given, clean=True, inplace=False, on_error="ignore")
    if not kept:
        raise InputError(
            "The MP2020 scheme covers none of the entries: they need run_type, hubbards and "
            "potcar_symbols in their parameters."
        )
    numbers = [entry.data["materialabs_number"] for entry in kept]
    missing = sorted(set(range(len(given))) - set(numbers))
    names = [_name(entry, number) for number, entry in enumerate(given)]
    return Corrected(
        Compositions.from_dicts(
            [
                {atomic_number(symbol): amount for symbol, amount in
                 entry.composition.get_el_amt_dict().items()}
                for entry in kept
            ]
        ),
        Energies([entry.energy_per_atom for entry in kept], "total", MP2020),
        [names[number] for number in numbers],
        [names[number] for number in missing],
    )  # fmt: skip


def _entry(entry: ComputedEntry | Mapping[str, Any]) -> Any:
    from pymatgen.entries.computed_entries import ComputedEntry, ComputedStructureEntry

    if not isinstance(entry, Mapping):
        return entry.copy()
    kind = ComputedStructureEntry if "structure" in entry else ComputedEntry
    try:
        return kind.from_dict(dict(entry))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"A computed entry cannot be read: {error}.") from error


def _name(entry: Any, number: int) -> str:
    return str(entry.entry_id) if entry.entry_id is not None else str(number)
