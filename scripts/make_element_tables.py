"""Write src/materialabs/elements.json: tables by atomic number, each with unit and source.

Run with ``python scripts/make_element_tables.py``; the file is committed. Values come from
tables that pymatgen and ASE ship; the lists of hazardous elements are written out here, each
with the published list that it restates.
"""

from __future__ import annotations

import csv
import json
import math
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.data
import pymatgen.analysis.cost
from pymatgen.core import Element

TARGET = Path(__file__).parent.parent / "src" / "materialabs" / "elements.json"
ANALYSIS = Path(pymatgen.analysis.cost.__file__).parent
ELEMENTS = [Element.from_Z(number) for number in range(1, 119)]
LAST_CORDERO = 96
"""Cordero et al. end at curium; ASE fills the rest with a placeholder."""

COORDINATION = {
    name: number
    for number, names in {
        1: ["I"], 2: ["II"], 3: ["III", "IIIPY"], 4: ["IV", "IVSQ", "IVPY"], 5: ["V"], 6: ["VI"],
        7: ["VII"], 8: ["VIII"], 9: ["IX"], 10: ["X"], 11: ["XI"], 12: ["XII"], 14: ["XIV"],
    }.items()
    for name in names
}  # fmt: skip
LOST_CHARGE = 3
"""pymatgen's one row without a charge is Shannon's Eu 3+ in 7-coordination."""
GEOMETRY = {"IVSQ": "square planar", "IVPY": "pyramidal", "IIIPY": "pyramidal"}
SPIN = {"": "", "High Spin": "high", "Low Spin": "low"}

HAZARD_LISTS = {
    "RoHS": {
        "source": "Directive 2011/65/EU (RoHS 2), Annex II: lead, mercury, cadmium and hexavalent "
        "chromium are restricted in electrical equipment. Chromium stands in the list of its own, "
        "'RoHS hexavalent', since only Cr(VI) is meant",
        "symbols": ["Cd", "Hg", "Pb"],
    },
    "RoHS hexavalent": {
        "source": "Directive 2011/65/EU (RoHS 2), Annex II, hexavalent chromium",
        "symbols": ["Cr"],
    },
    "ICH Q3D class 1": {
        "source": "ICH guideline Q3D(R2) on elemental impurities (2022), class 1: human toxicants "
        "with limited or no use",
        "symbols": ["As", "Cd", "Hg", "Pb"],
    },
    "ICH Q3D class 2": {
        "source": "ICH guideline Q3D(R2) on elemental impurities (2022), classes 2A and 2B: "
        "toxicity depends on the route of exposure",
        "symbols": [
            "Co", "Ni", "V",
            "Ag", "Au", "Ir", "Os", "Pd", "Pt", "Rh", "Ru", "Se", "Tl",
        ],
    },
    "IARC group 1": {
        "source": "IARC Monographs vol. 100C (2012), carcinogenic to humans, where the agent is "
        "the element's compounds at large: arsenic, beryllium, cadmium and nickel compounds "
        "(chromium only as Cr(VI) is left out; radionuclides are marked radioactive)",
        "symbols": ["As", "Be", "Cd", "Ni"],
    },
    "CLP acute": {
        "source": "Regulation (EC) 1272/2008 (CLP, the EU's GHS), Annex VI table 3: the entry of "
        "the element itself or the group entry of its inorganic compounds has the harmonised "
        "class Acute Tox. 1, 2 or 3",
        "symbols": ["As", "Be", "Cd", "Hg", "Se", "Tl", "U"],
    },
}  # fmt: skip


def number_or_none(value: Any) -> float | None:
    """A finite float, or nothing."""
    return None if value is None or not math.isfinite(float(value)) else float(value)


def table(unit: str, source: str, of: Callable[[Element], Any]) -> dict[str, Any]:
    """One value for each element."""
    values = [of(element) for element in ELEMENTS]
    shown = [v if isinstance(v, (str, list, bool)) else number_or_none(v) for v in values]
    whole = [int(v) if isinstance(v, float) and v.is_integer() else v for v in shown]
    return {"unit": unit, "source": source, "values": whole}


def shells(element: Element) -> dict[str, int] | None:
    """Electrons outside the noble-gas core by kind of shell, or nothing where unknown."""
    structure = element.data.get("Electronic structure")
    text = (structure or {}).get("0")
    if text is None:
        return None
    found = {"s": 0, "p": 0, "d": 0, "f": 0}
    core = re.search(r"\[(\w+)\]", text)
    for shell, count in re.findall(r"\d([spdf])(\d+)", text):
        found[shell] += int(count)
    beyond = 0 if core is None else Element(core.group(1)).Z
    if sum(found.values()) + beyond != element.Z:
        raise ValueError(f"{element.symbol}: {text} does not add up")
    return found


def valence(element: Element) -> int | None:
    """Electrons that bind: filled inner d and f shells are left out."""
    found = shells(element)
    if found is None:
        return None
    inner_d = found["d"] if found["p"] and element.Z > 18 else 0
    inner_f = found["f"] if found["f"] == 14 and (found["d"] or found["p"]) else 0
    return sum(found.values()) - inner_d - inner_f


def covalent_radius(element: Element) -> float | None:
    """Cordero's radius; ASE's low-spin values where two are given."""
    return float(ase.data.covalent_radii[element.Z]) if element.Z <= LAST_CORDERO else None


def costs() -> dict[str, float]:
    """US dollars a kilogram; the row 'Ne' cites a page about neptunium and is given to Np."""
    with (ANALYSIS / "costdb_elements.csv").open() as file:
        rows = {row[0]: float(row[1]) for row in csv.reader(file) if row}
    rows["Np"] = rows.pop("Ne")
    return rows


def concentration() -> dict[str, tuple[float, float]]:
    """Herfindahl-Hirschman index of production and of reserves."""
    with (ANALYSIS / "hhi_data.csv").open() as file:
        rows = [row for row in csv.reader(file) if row and not row[0].startswith("#")]
    return {row[0]: (float(row[1]), float(row[2])) for row in rows}


def ion_rows() -> list[list[Any]]:
    """Shannon's rows: Z, charge, coordination, geometry, spin, ionic and crystal radius."""
    rows = []
    for element in ELEMENTS:
        for charge, by_site in (element.data.get("Shannon radii") or {}).items():
            for site, by_spin in by_site.items():
                for spin, radii in by_spin.items():
                    rows.append([
                        element.Z, int(charge or LOST_CHARGE), COORDINATION[site],
                        GEOMETRY.get(site, ""), SPIN[spin],
                        radii["ionic_radius"], radii["crystal_radius"],
                    ])  # fmt: skip
    return rows


def states(name: str) -> Callable[[Element], list[int]]:
    """Oxidation states of one of pymatgen's lists, rising."""
    return lambda element: sorted(int(q) for q in element.data.get(name) or [])


def datum(name: str, factor: float = 1.0) -> Callable[[Element], float | None]:
    """One of pymatgen's numbers."""

    def of(element: Element) -> float | None:
        value = element.data.get(name)
        return None if value is None else float(value) * factor

    return of


def shell(kind: str) -> Callable[[Element], int | None]:
    """Electrons in one kind of shell outside the noble-gas core."""
    return lambda element: (shells(element) or {kind: None})[kind]


def tables() -> dict[str, Any]:
    """All tables by name."""
    price, index = costs(), concentration()
    configuration = (
        "ground-state configurations as tabulated by pymatgen 2026.10 (NIST Atomic Spectra "
        "Database); none above Z = 104"
    )
    return {
        "electronegativity": table(
            "Pauling scale",
            "Pauling electronegativities as tabulated by pymatgen 2026.10 (CRC Handbook of "
            "Chemistry and Physics)",
            lambda e: float(e.X),
        ),
        "atomic_mass": table(
            "amu",
            "standard atomic weights as tabulated by pymatgen 2026.10 (IUPAC); the mass number of "
            "the longest-lived isotope where there is no weight",
            datum("Atomic mass"),
        ),
        "covalent_radius": table(
            "angstrom", "Cordero et al., Dalton Trans. 2832 (2008), as in ase.data", covalent_radius
        ),
        "atomic_radius": table(
            "angstrom",
            "empirical radii of Slater, J. Chem. Phys. 41, 3199 (1964), as in pymatgen 2026.10",
            datum("Atomic radius"),
        ),
        "metallic_radius": table(
            "angstrom",
            "12-coordinate metallic radii as in pymatgen 2026.10 (Greenwood and Earnshaw, "
            "Chemistry of the Elements; Wells, Structural Inorganic Chemistry)",
            datum("Metallic radius"),
        ),
        "vdw_radius": table(
            "angstrom",
            "van der Waals radii as in pymatgen 2026.10 (CRC Handbook of Chemistry and Physics; "
            "Alvarez and predecessors)",
            datum("Van der waals radius"),
        ),
        "valence_electrons": table(
            "electrons",
            "counted from the configurations: electrons outside the noble-gas core, without the "
            "filled d shell of p-block elements and the filled f shell beyond the f block; "
            + configuration,
            valence,
        ),
        **{
            f"valence_{kind}": table(
                "electrons", f"{kind} electrons outside the noble-gas core; {configuration}",
                shell(kind),
            )
            for kind in "spdf"
        },
        "group": table(
            "", "IUPAC groups; the f block counts as group 3 (pymatgen's convention)",
            lambda e: e.group,
        ),
        "period": table("", "rows of the periodic table (IUPAC)", lambda e: period(e.Z)),
        "block": table(
            "", "block of the periodic table: La-Yb and Ac-No are f, Lu and Lr d, He s",
            lambda e: "s" if e.Z == 2 else e.block,
        ),
        "mendeleev_number": table(
            "",
            "Pettifor's order of the elements, Solid State Commun. 51, 31 (1984), as in pymatgen",
            datum("Mendeleev no"),
        ),
        "ionization_energy": table(
            "eV",
            "first ionisation energies, NIST Atomic Spectra Database as in pymatgen 2026.10; "
            "up to Z = 108",
            lambda e: (e.data.get("Ionization energies") or [None])[0] if e.Z <= 108 else None,
        ),
        "electron_affinity": table(
            "eV",
            "electron affinities as in pymatgen 2026.10 (Andersen, Haugen and Hotop 1999 and "
            "later); negative where the anion is unbound, such values are estimates",
            datum("Electron affinity"),
        ),
        "melting_point": table(
            "K", "melting points as in pymatgen 2026.10 (WebElements)", melting_point
        ),
        "molar_volume": table(
            "cm^3/mol", "volume of the solid or liquid element as in pymatgen 2026.10 "
            "(WebElements)", datum("Molar volume"),
        ),
        "common_oxidation_states": table(
            "e", "common oxidation states as in pymatgen 2026.10 (Greenwood and Earnshaw, "
            "Chemistry of the Elements, 2nd ed.)", states("Common oxidation states"),
        ),
        "oxidation_states": table(
            "e", "all oxidation states as in pymatgen 2026.10 (Greenwood and Earnshaw, "
            "Chemistry of the Elements, 2nd ed.)", states("Oxidation states"),
        ),
        "icsd_oxidation_states": table(
            "e", "oxidation states with at least 10 ordered ICSD crystals as in pymatgen 2026.10",
            states("ICSD oxidation states"),
        ),
        "is_metal": table(
            "", "metals as pymatgen 2026.10 classes them: groups 1-13 without H and B, the f "
            "block, Sn, Pb and Bi and heavier", lambda e: bool(e.is_metal),
        ),
        "is_radioactive": table(
            "", "elements without a stable isotope: Tc, Pm and Po onwards (bismuth, half-life "
            "2e19 years, counts as stable)", lambda e: e.Z in (43, 61) or e.Z >= 84,
        ),
        "price": table(
            "USD/kg",
            "pymatgen's costdb_elements.csv: Wolfram Alpha and Wikipedia as of 2013, six gases "
            "and rare elements as of 2019-2020; not corrected for inflation, good to a factor of "
            "a few. Its row Ne cites a page about neptunium and is given to Np here",
            lambda e: price.get(e.symbol),
        ),
        "hhi_production": table(
            "",
            "Herfindahl-Hirschman index of production, Gaultois et al., Chem. Mater. 25, 2911 "
            "(2013), as in pymatgen",
            lambda e: index.get(e.symbol, (None, None))[0],
        ),
        "hhi_reserve": table(
            "",
            "Herfindahl-Hirschman index of reserves, Gaultois et al., Chem. Mater. 25, 2911 "
            "(2013), as in pymatgen",
            lambda e: index.get(e.symbol, (None, None))[1],
        ),
    }  # fmt: skip


def period(number: int) -> int:
    """Row of the periodic table, from the noble gases that close the rows."""
    return 1 + sum(number > closing for closing in (2, 10, 18, 36, 54, 86))


def melting_point(element: Element) -> float | None:
    """Kelvin; nothing where the table holds no plain number."""
    value = element.data.get("Melting point")
    return float(value) if isinstance(value, (int, float)) else None


def main() -> None:
    """Write the file."""
    warnings.simplefilter("ignore")
    document = {
        "symbols": [e.symbol for e in ELEMENTS],
        "tables": tables(),
        "ion_radii": {
            "unit": "angstrom",
            "source": "effective ionic radii and crystal radii of Shannon, Acta Cryst. A32, 751 "
            "(1976), as in pymatgen 2026.10",
            "columns": ["Z", "charge", "coordination", "geometry", "spin", "ionic", "crystal"],
            "rows": ion_rows(),
        },
        "hazard_lists": HAZARD_LISTS,
    }
    lines = json.dumps(document, separators=(",", ":"))
    for key in ('"symbols":', '"tables":', '"ion_radii":', '"hazard_lists":', '"rows":'):
        lines = lines.replace(key, "\n" + key)
    lines = re.sub(r'("\w+":\{"unit":|\[\d+,-?\d+,\d+,"|"[\w ]+":\{"source":)', r"\n\1", lines)
    TARGET.write_text(lines + "\n")


if __name__ == "__main__":
    main()
