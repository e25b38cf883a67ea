"""JSON and database forms: what each object is, whose energies are whose, and odd nestings."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from materialabs.crystals.batch import Crystals
from materialabs.crystals.files import ReadReport, read, write
from materialabs.crystals.files.json_text import elements
from materialabs.crystals.files.limits import Limits
from materialabs.crystals.files.opening import Source
from materialabs.errors import FileError

ROW: dict[str, Any] = {
    "lattice": [[5.64, 0, 0], [0, 5.64, 0], [0, 0, 5.64]],
    "species": ["Na", "Cl"],
    "frac": [[0, 0, 0], [0.5, 0.5, 0.5]],
}


def structure() -> Any:
    from pymatgen.core import Lattice, Structure

    return Structure(
        Lattice.from_parameters(4, 5, 6, 80, 95, 100),
        ["Fe3+", {"O2-": 0.5, "S2-": 0.25}],
        [[0.1, 0.2, 0.3], [0.6, 0.7, 0.8]],
        charge=1.5,
        site_properties={"magmom": [2.0, -1.0], "selective_dynamics": [[True] * 3, [False] * 3]},
        labels=["Fe_a", "mix"],
        properties={"band_gap": 1.5},
    )


def load(tmp_path: Path, document: Any, name: str = "x.json") -> Crystals:
    path = tmp_path / name
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return read(path)


def why(tmp_path: Path, document: Any) -> str:
    with pytest.raises(FileError) as caught:
        load(tmp_path, document)
    return str(caught.value)


# -- pymatgen ---------------------------------------------------------------------------------


def test_a_structure_of_pymatgen_is_read_whole(tmp_path: Path) -> None:
    crystals = load(tmp_path, structure().to_json())
    assert crystals.site_columns["oxidation_state"].tolist() == [3.0, -2.0]
    assert crystals.site_columns["magnetic_moment"].tolist() == [2.0, -1.0]
    assert crystals.site_columns["fixed"].tolist() == [[False] * 3, [True] * 3]
    assert crystals.site_columns["label"].tolist() == ["Fe_a", "mix"]
    assert crystals.columns["charge"].tolist() == [1.5]
    assert crystals.columns["band_gap"].tolist() == [1.5]
    np.testing.assert_allclose(crystals.lattice[0], structure().lattice.matrix)
    (back,) = crystals.to_pymatgen()
    assert back.composition.element_composition == structure().composition.element_composition


def test_pymatgen_reads_what_is_written_and_nothing_is_lost(tmp_path: Path) -> None:
    from pymatgen.core import Structure

    before = load(tmp_path, structure().to_json())
    (path,) = write(before, tmp_path / "back.json")
    assert Structure.from_file(path).composition == structure().composition


def test_a_computed_entry_gives_energies_of_the_cell_by_atom(tmp_path: Path) -> None:
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    entry = ComputedStructureEntry(
        structure(), -10.0, correction=-1.0, entry_id="mp-7", data={"band_gap": 2.0},
        parameters={"run_type": "GGA+U", "hubbards": {"Fe": 5.3, "O": 0.0},
                    "potcar_symbols": ["PBE Fe_pv", "PBE O"]},
    )  # fmt: skip
    crystals = load(tmp_path, entry.to_json())
    row = crystals.columns.row(0)
    assert row["energy"] == pytest.approx(-10.0 / 1.75)
    assert row["correction"] == pytest.approx(-1.0 / 1.75)
    assert (row["id"], row["functional"], row["hubbard"]) == ("mp-7", "PBE", "Fe:5.3")
    assert row["pseudopotentials"] == "PBE Fe_pv, PBE O"
    (path,) = write(crystals, tmp_path / "back.json")
    back = ComputedStructureEntry.from_dict(json.loads(path.read_text()))
    assert (back.energy, back.entry_id) == (pytest.approx(-11.0), "mp-7")
    assert back.parameters["run_type"] == "GGA+U"


def test_entries_of_the_materials_project_agree_with_pymatgen(data_folder: Path) -> None:
    import gzip

    from pymatgen.entries.computed_entries import ComputedStructureEntry

    path = data_folder / "hulls" / "Mn_O_Y_entries.json.gz"
    crystals = read(path)
    documents = json.loads(gzip.decompress(path.read_bytes()))
    for crystal, document in zip(crystals, documents, strict=True):
        theirs = ComputedStructureEntry.from_dict(document)
        row = crystal.columns.row(0)
        assert row["energy"] + row["correction"] == pytest.approx(theirs.energy_per_atom)
        assert row["id"] == theirs.entry_id
        expected = theirs.structure.site_properties["magmom"]
        found = crystal.site_columns["magnetic_moment"].tolist()
        assert found == pytest.approx([np.nan if m is None else m for m in expected], nan_ok=True)


def test_corrections_are_added_up_where_no_sum_is_given(tmp_path: Path) -> None:
    document = {
        "@class": "ComputedStructureEntry", "energy": -4.0, "structure": json.loads(
            structure().to_json()), "energy_adjustments": [
            {"value": -1.0}, {"adj_per_atom": -0.5, "n_atoms": 3}],
    }  # fmt: skip
    correction = load(tmp_path, document).columns["correction"]
    assert correction.tolist() == [pytest.approx(-2.5 / 1.75)]


def test_an_entry_without_a_structure_is_no_crystal(tmp_path: Path) -> None:
    entry = {"@class": "ComputedEntry", "energy": -1, "composition": {"Fe": 1}, "correction": 0}
    assert "no structure" in why(tmp_path, [entry])
    assert "no structure" in why(tmp_path, [{"composition": {"Fe": 1}, "energy": -1}])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["lattice"].pop("matrix"), None),
        (lambda d: [d["lattice"].pop(n) for n in ("matrix", "a")], "without a matrix"),
        (lambda d: [site.pop("abc") for site in d["sites"]], None),
        (lambda d: [site.pop(n) for site in d["sites"] for n in ("abc", "xyz")], "coordinates"),
        (lambda d: d["sites"].append(3), "not objects"),
        (lambda d: d["sites"][0].pop("species"), "lacks the field 'species'"),
        (lambda d: d["sites"][0].update(abc=[1, 2]), "cannot be read"),
        (lambda d: d["sites"][0].update(species=[]), "nobody occupies"),
        (lambda d: d["sites"][0].update(species=[{"element": "Fe", "occu": 2}]), "above one"),
        (lambda d: d["sites"][0].update(species=[{"element": "Fe", "occu": -1}]), "occupancy"),
        (lambda d: d["lattice"].update(matrix=[[1, 2], [3, 4]]), "neither three vectors"),
        (lambda d: d["lattice"].update(matrix=[["x"] * 3] * 3), "cannot be read"),
    ],
)
def test_damaged_structures_are_refused_with_a_reason(
    tmp_path: Path, change: Any, words: str | None
) -> None:
    document = json.loads(structure().to_json())
    change(document)
    if words is None:
        assert load(tmp_path, document).volumes == pytest.approx([structure().volume])
    else:
        assert words in why(tmp_path, document)


# -- rows and nestings ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [
        ROW,
        {**ROW, "lattice": [5.64, 5.64, 5.64, 90, 90, 90]},
        {**ROW, "lattice": [5.64, 5.64, 5.64]},
        {**ROW, "lattice": np.diag([5.64] * 3).reshape(-1).tolist()},
        {"cell": ROW["lattice"], "numbers": [11, 17], "positions": [[0, 0, 0], [2.82] * 3]},
        {"matrix": ROW["lattice"], "symbols": ["Na", "Cl"], "cart": [[0, 0, 0], [2.82] * 3]},
        {"lattice_mat": ROW["lattice"], "elements": ["Na", "Cl"], "cartesian": False,
         "coords": ROW["frac"]},
        {"lattice_mat": ROW["lattice"], "elements": ["Na", "Cl"], "cartesian": True,
         "coords": [[0, 0, 0], [2.82] * 3]},
        {"atoms": {"lattice_mat": ROW["lattice"], "elements": ["Na", "Cl"], "cartesian": False,
                   "coords": ROW["frac"], "abc": [5.64] * 3}, "jid": "JVASP-1"},
        {**ROW, "species": [11, 17]},
        {**ROW, "elements": ["Na"], "atomic_numbers": [11, 17]},
    ],
)  # fmt: skip
def test_rows_are_understood_under_their_usual_names(tmp_path: Path, row: Any) -> None:
    crystals = load(tmp_path, row)
    assert crystals.formulas() == ["Na1 Cl1"] or crystals.reduced_formulas() == ["NaCl"]
    np.testing.assert_allclose(crystals.lattice[0], np.eye(3) * 5.64, atol=1e-12)
    np.testing.assert_allclose(crystals.frac, ROW["frac"], atol=1e-12)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"lattice": ROW["lattice"], "species": ["Na"], "coords": [[0, 0, 0]]}, "Cartesian"),
        ({**ROW, "species": ["Na"]}, "2 positions for 1 atoms"),
        ({**ROW, "lattice": [1, 2]}, "neither three vectors"),
        ({**ROW, "species": ["Na", ["Cl"]]}, "not the symbol"),
        ({**ROW, "lattice": [1, 1, 1, 10, 10, 100]}, "without volume"),
        ({**ROW, "lattice": [1, 1, 0, 90, 90, 90]}, "without volume"),
        ({**ROW, "lattice": [1, 1, float("nan"), 90, 90, 90]}, "not made of numbers"),
        ({**ROW, "pbc": [True]}, "periodicity"),
    ],
)
def test_rows_that_cannot_be_understood_say_why(tmp_path: Path, row: Any, words: str) -> None:
    assert words in why(tmp_path, row)


@pytest.mark.parametrize(
    ("document", "ids"),
    [
        ([ROW, {**ROW, "id": "b"}], ["x-1", "b"]),
        ({"a": ROW, "b": {"structure": ROW, "gap": 1}}, ["a", "b"]),
        ({"columns": ["structure", "gap"], "index": ["p", "q"], "data": [[ROW, 1], [ROW, 2]]},
         ["p", "q"]),
        ({"structure": [ROW, ROW], "id": ["m", "n"], "other": [1]}, ["m", "n"]),
        ({"structure": {"0": ROW, "1": ROW}, "gap": {"0": 1, "1": 2}}, ["0", "1"]),
        ({"Fe": {"structure": [ROW], "energy_per_atom": [-3.0]}}, ["x-1"]),
        ([{"structure": json.dumps(ROW), "material_id": "s"}], ["s"]),
        ([{"cif": "data_c\n_cell_length_a 4\n_cell_length_b 4\n_cell_length_c 4\n"
           "_cell_angle_alpha 90\n_cell_angle_beta 90\n_cell_angle_gamma 90\nloop_\n"
           "_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"
           "Na1 0 0 0\n"}], ["c"]),
    ],
)  # fmt: skip
def test_crystals_are_found_wherever_they_nest(
    tmp_path: Path, document: Any, ids: list[str]
) -> None:
    assert load(tmp_path, document).ids() == ids


def test_a_field_of_an_object_that_is_no_cif_is_refused(tmp_path: Path) -> None:
    assert "holds no data_ block" in why(tmp_path, [{"cif": "nothing"}])
    assert "without atoms" in why(tmp_path, [{"cif": "data_x\n_a 1\n"}])
    assert "not a crystal" in why(tmp_path, [{"structure": '{"a": 1}'}])


def test_names_that_say_their_unit_become_registered_columns(tmp_path: Path) -> None:
    row = {**ROW, "e_form_per_atom": -1.0, "energy_per_atom": -2.0, "formation_energy": -9.0,
           "spacegroup": 225, "space_group": "Fm-3m", "nothing": None}  # fmt: skip
    columns = load(tmp_path, row).columns.row(0)
    assert (columns["formation_energy"], columns["energy"]) == (-1.0, -2.0)
    assert columns["formation_energy_unstated"] == -9.0
    assert (columns["space_group"], columns["space_group_unstated"]) == (225, "Fm-3m")
    assert "nothing" not in columns


def test_a_long_list_is_read_element_by_element(tmp_path: Path) -> None:
    values = [{"text": "λ" * 200_000, "n": index} for index in range(12)]
    path = tmp_path / "x.json"
    path.write_text(json.dumps(values, ensure_ascii=False, indent=1))
    found = [value["n"] for _, value in elements(Source(path, Limits()))]
    assert found == list(range(12))


def test_an_element_longer_than_allowed_ends_the_list(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('[{"a": "' + "x" * 5_000_000)
    with pytest.raises(FileError, match="in its list"):
        list(elements(Source(path, Limits(entry_bytes=1_500_000))))


@pytest.mark.parametrize(
    "text", ["[1 2]", "[1,]", '[{"a": 1}  ', '{"a": 1}', "[" + "9" * 5000 + "]"]
)
def test_lists_that_are_no_json_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(FileError):
        list(elements(Source(path, Limits())))


# -- OPTIMADE ---------------------------------------------------------------------------------


def resource(**changes: Any) -> dict[str, Any]:
    attributes = {
        "lattice_vectors": [[4, 0, 0], [0, 4, 0], [0, 0, 4]],
        "cartesian_site_positions": [[0, 0, 0], [2, 2, 2]],
        "species_at_sites": ["mix", "O"],
        "species": [
            {"name": "mix", "chemical_symbols": ["Ti", "vacancy"], "concentration": [0.75, 0.25]},
            {"name": "O", "chemical_symbols": ["O"], "concentration": [1.0]},
        ],
        "dimension_types": [1, 1, 1],
        "nelements": 2,
        "_other_band_gap": 1.0,
        **changes,
    }
    return {"id": "odb-1", "type": "structures", "attributes": attributes}


@pytest.mark.parametrize(
    "document",
    [
        {"data": [resource()], "meta": {"api_version": "1.2.0"}},
        {"data": resource(), "meta": {}},
        resource(),
    ],
)
def test_answers_of_optimade_are_read_with_their_vacancies(tmp_path: Path, document: Any) -> None:
    crystals = load(tmp_path, document)
    assert crystals.ids() == ["odb-1"]
    assert crystals.occupancy is not None
    assert crystals.occupancy.totals().tolist() == [0.75, 1.0]
    assert crystals.columns["_other_band_gap"].tolist() == [1.0]
    assert "nelements" not in crystals.columns


def test_optimade_json_lines_have_a_header(tmp_path: Path) -> None:
    lines = [{"x-optimade": {"api_version": "1.2.0"}}, {"type": "info", "id": "structures"},
             resource()]  # fmt: skip
    crystals = load(tmp_path, "\n".join(json.dumps(line) for line in lines), "x.jsonl")
    assert crystals.ids() == ["odb-1"]


def test_open_directions_of_optimade_get_a_vector_and_room(tmp_path: Path) -> None:
    document = resource(
        lattice_vectors=[[4, 0, 0], [0, 4, 0], [None, None, None]], dimension_types=[1, 1, 0]
    )
    crystals = load(tmp_path, document)
    assert crystals.pbc.tolist() == [[True, True, False]]
    assert np.linalg.norm(crystals.lattice[0, 2]) == pytest.approx(22.0)
    gap = crystals.positions[1] - crystals.positions[0]
    np.testing.assert_allclose(gap, [2, 2, 2], atol=1e-12)


def test_fractions_that_contradict_the_positions_are_not_believed(tmp_path: Path) -> None:
    document = resource(fractional_site_positions=[[0, 0, 0], [0.1, 0.1, 0.1]])
    np.testing.assert_allclose(load(tmp_path, document).frac[1], [0.5] * 3)


def test_a_site_of_unknown_species_is_refused(tmp_path: Path) -> None:
    assert "'Zz'" in why(tmp_path, resource(species_at_sites=["mix", "Zz"]))


def test_what_optimade_says_beyond_sites_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    changed = resource(assemblies=[{"sites_in_groups": [[0], [1]]}])
    changed["attributes"]["species"][1]["attached"] = ["H"]
    path.write_text(json.dumps(changed))
    report = ReadReport()
    read(path, report=report)
    assert len(report.notes) == 2


def test_written_answers_have_the_derived_fields_of_the_standard(tmp_path: Path) -> None:
    crystals = load(tmp_path, structure().to_json())
    (path,) = write(crystals[:1], tmp_path / "x.optimade.json")
    (found,) = json.loads(path.read_text())["data"]
    attributes = found["attributes"]
    assert attributes["elements"] == ["Fe", "O", "S"]
    assert sum(attributes["elements_ratios"]) == pytest.approx(1.0)
    assert attributes["structure_features"] == ["disorder"]
    assert attributes["nperiodic_dimensions"] == 3
    (plain,) = write(load(tmp_path, {**ROW, "species": ["Na", "Na"]}), tmp_path / "y.optimade.json")
    attributes = json.loads(plain.read_text())["data"][0]["attributes"]
    assert attributes["chemical_formula_reduced"] == "Na"
    assert attributes["chemical_formula_anonymous"] == "A"


# -- ASE --------------------------------------------------------------------------------------


def slab() -> Any:
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.constraints import FixAtoms, FixCartesian

    atoms = Atoms("PtOH", [[0, 0, 5], [0, 1, 6.5], [0, 1.9, 6.9]], cell=[3, 3, 15],
                  pbc=[True, True, False], magmoms=[1, 0, 0], tags=[1, 0, 0])  # fmt: skip
    atoms.set_constraint([FixAtoms([0]), FixCartesian([1], mask=[True, False, False])])
    atoms.calc = SinglePointCalculator(
        atoms, energy=-6.0, forces=np.arange(9.0).reshape(3, 3), stress=[1, 2, 3, 4, 5, 6],
        magmom=1.5,
    )  # fmt: skip
    return atoms


def assert_is_slab(crystals: Crystals) -> None:
    row = crystals.columns.row(0)
    assert row["energy"] == pytest.approx(-2.0)
    assert row["magnetization"] == pytest.approx(1.5)
    np.testing.assert_allclose(row["stress"], [[1, 6, 5], [6, 2, 4], [5, 4, 3]])
    np.testing.assert_allclose(crystals.site_columns["force"], np.arange(9).reshape(3, 3))
    assert crystals.pbc.tolist() == [[True, True, False]]
    np.testing.assert_allclose(crystals.positions, slab().positions, atol=1e-12)


@pytest.mark.parametrize("name", ["x.db", "x.traj", "x.extxyz", "x.json"])
def test_what_ase_writes_is_read(tmp_path: Path, name: str) -> None:
    import ase.db
    import ase.io

    path = tmp_path / name
    if name in ("x.db", "x.json"):
        with ase.db.connect(path) as database:
            database.write(slab(), kind="slab", data={"extra": [1, 2], "array": np.ones(2)})
    else:
        ase.io.write(path, slab())
    crystals = read(path, report=ReadReport())
    assert_is_slab(crystals)
    assert crystals.site_columns["magnetic_moment"].tolist() == [1.0, 0.0, 0.0]
    if name != "x.extxyz":
        fixed = [[True] * 3, [True, False, False], [False] * 3]
        assert crystals.site_columns["fixed"].tolist() == fixed
    if name in ("x.db", "x.json"):
        assert crystals.columns["kind"].tolist() == ["slab"]
        assert crystals.columns["extra"].tolist() == [[1, 2]]


@pytest.mark.parametrize("name", ["x.db", "x.traj", "x.extxyz"])
def test_ase_reads_what_is_written(tmp_path: Path, name: str) -> None:
    import ase.io

    ase.io.write(tmp_path / "first.traj", slab())
    (path,) = write(read(tmp_path / "first.traj"), tmp_path / name)
    atoms = ase.io.read(path)
    assert atoms.get_potential_energy() == pytest.approx(-6.0)
    np.testing.assert_allclose(
        atoms.get_forces(apply_constraint=False), slab().calc.results["forces"]
    )
    np.testing.assert_allclose(atoms.get_stress(voigt=True), [1, 2, 3, 4, 5, 6])
    np.testing.assert_allclose(atoms.positions, slab().positions, atol=1e-12)


def test_every_frame_of_a_trajectory_is_a_crystal(tmp_path: Path) -> None:
    import ase.io

    other = slab()
    other.positions[2, 2] += 0.1
    third = slab()[:2]
    ase.io.write(tmp_path / "x.traj", [slab(), other, third])
    assert read(tmp_path / "x.traj").counts.tolist() == [3, 3, 2]


def test_a_molecule_without_a_cell_gets_room(tmp_path: Path) -> None:
    from ase.build import molecule
    from ase.io import write as ase_write

    for name in ("x.xyz", "x.traj", "x.db"):
        ase_write(tmp_path / name, molecule("H2O"))
        crystals = read(tmp_path / name)
        assert not crystals.pbc.any()
        gaps = crystals.positions - crystals.positions[0]
        expected = molecule("H2O").positions - molecule("H2O").positions[0]
        np.testing.assert_allclose(gaps, expected, atol=1e-8)


@pytest.mark.parametrize("charges", [0.5, "ab", {"Na": 1, "Cl": -1}, [0.5], [0.5, -0.5]])
def test_what_is_not_one_value_for_each_atom_is_no_site_column(
    tmp_path: Path, charges: Any
) -> None:
    from ase.io import write as ase_write

    path = tmp_path / "x.json"
    ase_write(path, slab()[:2])
    document = json.loads(path.read_text())
    document["1"]["initial_charges"] = charges
    path.write_text(json.dumps(document))
    crystals: Any = read(path)
    assert len(crystals) == 1
    held = [name for name in crystals.site_columns if "charge" in name]
    assert bool(held) == (charges == [0.5, -0.5])


def test_a_packed_database_is_read(tmp_path: Path) -> None:
    import gzip

    import ase.db

    with ase.db.connect(tmp_path / "x.db") as database:
        database.write(slab())
    (tmp_path / "y.db.gz").write_bytes(gzip.compress((tmp_path / "x.db").read_bytes()))
    assert_is_slab(read(tmp_path / "y.db.gz"))


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("CREATE TABLE other (id)", "without ASE's table"),
        ("CREATE TABLE systems (id)", "is not ASE's"),
        ("CREATE TABLE t (id); CREATE VIEW systems AS SELECT id FROM t", "without ASE's table"),
        ("CREATE TABLE systems (id, numbers, positions, cell, pbc);"
         "INSERT INTO systems VALUES (1, 'a', 'b', 'c', 7)", "not bytes"),
        ("CREATE TABLE systems (id, numbers, positions, cell, pbc);"
         "INSERT INTO systems VALUES (1, x'00', x'00', x'00', 7)", "cannot be read"),
    ],
)  # fmt: skip
def test_databases_that_are_not_ases_say_so(tmp_path: Path, script: str, words: str) -> None:
    connection = sqlite3.connect(tmp_path / "x.db")
    connection.executescript(script)
    connection.close()
    with pytest.raises(FileError, match=words):
        read(tmp_path / "x.db")
