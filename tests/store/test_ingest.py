"""What files say enters the store with its method, level, unit and conditions, once."""

from __future__ import annotations

import gzip
import json
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from materialabs.crystals.batch import Crystals
from materialabs.crystals.files import write
from materialabs.errors import InputError, IntegrityError
from materialabs.hull.hull import Hull
from materialabs.levels import MP2018, MP2020, Energies, Level
from materialabs.store import ingest
from materialabs.store.crystal_values import observed_values
from materialabs.store.ingest import (
    crystal_properties,
    ingest_crystals,
    ingest_table,
    method_of,
)
from materialabs.store.levels_of_files import correction_scheme, hubbard_scheme, stated_method
from materialabs.store.mapping import meanings_of
from materialabs.store.observations import read_record
from materialabs.store.records import Method, Property, Record
from materialabs.store.spectra import list_property, read_spectrum, spectrum_property
from materialabs.store.store import Store
from materialabs.store.tables import holds_crystals, is_table, open_table
from tests.crystals.test_files_fuzz import VASPRUN

DFT = method_of("dft", "VASP", level="PBE")
MEASURED = method_of("experiment")


def properties(store: Store) -> list[Property]:
    with store.engine.connect() as connection:
        bodies = connection.execute(text("select body from records order by id")).all()
    return [one for (body,) in bodies for one in read_record(bytes(body)).properties]


def records(store: Store) -> list[Record]:
    with store.engine.connect() as connection:
        bodies = connection.execute(text("select body from records order by id")).all()
    return [read_record(bytes(body)) for (body,) in bodies]


def salt(count: int = 1, **columns: Any) -> Crystals:
    cells = [np.eye(3) * (5 + 0.01 * i) for i in range(count)]
    return Crystals.from_arrays(
        cells, [[[0, 0, 0], [0.5, 0.5, 0.5]]] * count, [[11, 17]] * count, columns=columns
    )


def rows_file(path: Path, rows: list[dict[str, Any]]) -> Path:
    base = {"lattice": (np.eye(3) * 5).tolist(), "species": ["Na", "Cl"],
            "frac": [[0, 0, 0], [0.5, 0.5, 0.5]]}  # fmt: skip
    path.write_text("".join(json.dumps({**base, **row}) + "\n" for row in rows))
    return path


def table_file(path: Path, lines: str) -> Path:
    path.write_text(lines)
    return path


def take_in(store: Store, path: Path | str, method: Method = MEASURED, **options: Any) -> Any:
    table = open_table(path)
    return ingest_table(
        store, table, meanings_of(table.headers, table.first_rows(), **options), method=method
    )


# -- levels ---------------------------------------------------------------------------------------


def test_a_vasp_run_brings_functional_u_and_convergence(
    sqlite_store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "vasprun.xml"
    path.write_text(VASPRUN)
    ingest_crystals(sqlite_store, [path], progress=False)
    found = {one.name: one for one in properties(sqlite_store)}
    level = found["energy"].method.level
    assert level == Level("PBE", hubbard="Na:4", pseudopotentials="PAW-PBE", code="VASP")
    assert found["energy"].value == pytest.approx(-3.05)
    assert found["energy"].method.version == "6.3.0"
    assert found["energy"].method.settings == "PAW_PBE Na, PAW_PBE Cl"
    assert found["forces"].value == [0, 0, 1, 0, 0, -1]
    assert found["stress"].unit == "eV/angstrom^3"
    assert found["stress"].value[0] == pytest.approx(-1 / 1602.1766339999)


def test_a_run_whose_electrons_did_not_converge_has_a_level_of_its_own() -> None:
    columns = {"functional": "PBE", "cutoff_energy_ev": 520.0, "converged_electronic": False,
               "converged_ionic": False}  # fmt: skip
    method = stated_method(columns)
    assert method is not None
    assert method.level == Level("PBE", settings="520 eV, electronic steps not converged")
    assert method.settings == "relaxation not converged"
    assert stated_method({"functional": "unknown"}) is None


def test_hybrids_stand_above_semilocal_functionals() -> None:
    found = stated_method({"functional": "HSE06"})
    assert found is not None
    assert found.kind == "beyond-dft"


@pytest.mark.parametrize(
    ("values", "scheme"),
    [("Fe:5.3 Ni:6.2", "MP"), ("Fe:5.3 Na:1", "Fe:5.3 Na:1"), ("Fe:4", "Fe:4"), ("", "")],
)
def test_the_materials_project_u_values_are_one_scheme(values: str, scheme: str) -> None:
    assert hubbard_scheme(values) == scheme


def computed(name: str, energy: float, adjustments: list[Any], **parameters: Any) -> dict[str, Any]:
    structure = {
        "@class": "Structure",
        "lattice": {"matrix": (np.eye(3) * (5 + abs(energy) / 100)).tolist()},
        "sites": [
            {"species": [{"element": "Fe", "occu": 1}], "abc": [0, 0, 0]},
            {"species": [{"element": "O", "occu": 1}], "abc": [0.5, 0.5, 0.5]},
        ],
    }
    return {
        "@class": "ComputedStructureEntry", "energy": energy, "entry_id": name,
        "composition": {"Fe": 1, "O": 1}, "correction": sum(one["value"] for one in adjustments),
        "energy_adjustments": adjustments, "structure": structure,
        "parameters": {"potcar_symbols": ["PBE Fe_pv", "PBE O"], **parameters},
    }  # fmt: skip


def test_adjustments_of_mp2020_make_the_level_and_the_energy(
    sqlite_store: Store, tmp_path: Path
) -> None:
    named = [{"value": -2.0, "name": "MP2020 anion correction (oxide)"}]
    entries = [
        computed("a", -10.0, named, run_type="GGA+U", hubbards={"Fe": 5.3, "O": 0}),
        computed("b", -11.0, [], run_type="GGA"),
        computed("c", -12.0, named, run_type="GGA+U", hubbards={"Fe": 4.0}),
        computed("d", -13.0, [], run_type="R2SCAN"),
    ]
    path = tmp_path / "entries.json"
    path.write_text(json.dumps(entries))
    assert correction_scheme(path) == "MP2020"
    ingest_crystals(sqlite_store, [path], progress=False)
    found = {
        record.source: (one.value, one.method.level)
        for record in records(sqlite_store)
        for one in record.properties
        if one.name == "energy"
    }
    assert found["a"] == (-6.0, MP2020)
    assert found["b"] == (-5.5, MP2020)
    assert found["c"] == (
        -6.0,
        Level("PBE", hubbard="Fe:4", pseudopotentials="PAW-PBE", code="VASP"),
    )
    assert found["d"][1].functional == "r2SCAN"
    kept = [one.value for one in properties(sqlite_store) if one.name == "energy_correction"]
    assert kept == [-1.0, -1.0]


def test_files_that_name_no_scheme_have_none(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[]")
    (tmp_path / "b.json").write_text('{"cls": "MaterialsProjectCompatibility"}')
    (tmp_path / "c.json.gz").write_bytes(b"\x1f\x8b broken")
    schemes = [
        correction_scheme(tmp_path / name) for name in ("a.json", "b.json", "c.json.gz", "-")
    ]
    assert schemes == ["", "MP2018", "", ""]


# -- crystals -------------------------------------------------------------------------------------


def test_values_without_origin_are_refused(sqlite_store: Store, tmp_path: Path) -> None:
    path = rows_file(tmp_path / "a.jsonl", [{"e_form_per_atom": -1.0}])
    with pytest.raises(InputError, match="say how they were obtained"):
        ingest_crystals(sqlite_store, [path], progress=False)
    with pytest.raises(InputError, match="without its level"):
        ingest_crystals(sqlite_store, [path], method=method_of("dft"), progress=False)
    done = ingest_crystals(sqlite_store, [path], crystals_only=True, progress=False)
    assert (done.written.crystals, properties(sqlite_store)) == (1, [])


def test_well_known_columns_are_taken_and_others_are_told(
    sqlite_store: Store, tmp_path: Path
) -> None:
    path = rows_file(tmp_path / "a.jsonl", [{"mp_id": "mp-1", "e_form_per_atom": -1.0, "gap_pbe": 2,
                                             "bulk_modulus_vrh": 53.0, "heat": 4}])  # fmt: skip
    done = ingest_crystals(
        sqlite_store, [path], method=method_of("dft", level="MP2018"),
        columns=["gap_pbe=band_gap:eV", "e_form_per_atom=formation_energy:meV/atom"],
        progress=False,
    )  # fmt: skip
    found = {one.name: (one.value, one.unit) for one in properties(sqlite_store)}
    assert found == {"band_gap": (2, "eV"), "bulk_modulus": (53, "GPa"),
                     "formation_energy": (-1, "meV/atom")}  # fmt: skip
    assert done.left_out == {"heat": "no unit is stated"}
    assert records(sqlite_store)[0].source == "mp-1"
    assert properties(sqlite_store)[0].method.level == MP2018


def test_cells_that_are_no_numbers_are_listed_and_the_crystal_stays(sqlite_store: Store) -> None:
    batch = salt(6, source=[f"x#{i}" for i in range(6)], note=["1", "2", "3", "4", "5", "about 6"])
    seen = observed_values(batch, DFT, ["note=hardness:HV"])
    assert [len(values) for values in seen.properties] == [1, 1, 1, 1, 1, 0]
    assert seen.refused == [("x#5", "note holds 'about 6', which is not a number.")]


def test_text_truth_and_lists_are_values_too() -> None:
    batch = salt(1, a=["soft"], b=["True"], c=[[1.0, 2.0]])
    stated = ["a=feel:text", "b=is_soft:1", "c=pair:eV@temperature=300 K"]
    values = {one.name: one.value for one in observed_values(batch, DFT, stated).properties[0]}
    assert values == {"feel": "soft", "is_soft": True, "pair": [1.0, 2.0]}


def test_a_malformed_column_is_refused() -> None:
    with pytest.raises(InputError, match="must read HEADER=PROPERTY:UNIT"):
        observed_values(salt(1), DFT, ["gap"])
    assert crystal_properties(salt(2), None) == [(), ()]


def test_the_same_command_twice_stores_nothing_new(sqlite_store: Store, tmp_path: Path) -> None:
    path = rows_file(
        tmp_path / "a.jsonl", [{"band_gap": 1.0}, {"band_gap": 2.0}, {"band_gap": 1.0}]
    )
    first = ingest_crystals(sqlite_store, [path], method=DFT, progress=False).written
    again = ingest_crystals(sqlite_store, [path], method=DFT, progress=False).written
    # ids are made from the lines, so that the third line is a record of its own
    assert (first.crystals, first.records, first.known) == (1, 3, 0)
    assert (again.crystals, again.records, again.known, again.size) == (0, 0, 3, first.size)


# -- spectra --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "kept"), [(50, "record"), (2000, "blob")])
def test_a_spectrum_comes_back_as_it_went_in(sqlite_store: Store, count: int, kept: str) -> None:
    values = np.random.default_rng(1).uniform(0, 5, count).round(6)
    grid = np.linspace(-5, 5, count)
    one, blobs = spectrum_property("dos", values, grid, "1/eV", "eV", DFT,
                                   conditions={"temperature": (300, "K")})  # fmt: skip
    assert ("blob" if one.blob else "record") == kept
    assert sum(len(blob) > 4096 for blob in blobs.values()) == (kept == "blob")
    sqlite_store.add_records([Record((one,), composition="Si")], blobs)
    found = read_spectrum(sqlite_store, properties(sqlite_store)[0])
    assert np.allclose(found.values, values, rtol=1e-11)
    assert np.allclose(found.grid, grid, atol=1e-9)
    assert (found.unit, found.grid_unit) == ("1/eV", "eV")


def test_an_uneven_grid_is_kept_in_a_blob(sqlite_store: Store) -> None:
    one, blobs = spectrum_property("dos", [1, 2, 3], [0, 1, 3], "1/eV", "eV", DFT)
    assert one.blob
    sqlite_store.add_records([Record((one,), composition="Si")], blobs)
    assert read_spectrum(sqlite_store, one).grid.tolist() == [0, 1, 3]


@pytest.mark.parametrize(
    ("values", "grid"),
    [([1], [0]), ([1, 2], [0, 1, 2]), ([1, 2], [1, 0]), ([1, np.nan], [0, 1]), (["a"] * 2, [0, 1])],
)
def test_a_malformed_spectrum_is_refused(values: Any, grid: Any) -> None:
    with pytest.raises(InputError):
        spectrum_property("dos", values, grid, "1/eV", "eV", DFT)


def test_forces_of_many_atoms_are_a_blob(sqlite_store: Store) -> None:
    forces = np.arange(900.0).reshape(300, 3) / 7
    one, blobs = list_property("forces", forces, "eV/angstrom", DFT)
    sqlite_store.add_records([Record((one,), composition="Si")], blobs)
    assert np.allclose(read_spectrum(sqlite_store, one).values.reshape(-1, 3), forces)
    short, none = list_property("forces", forces[:2], "eV/angstrom", DFT)
    assert none == {}
    assert read_spectrum(sqlite_store, short).grid.size == 0


def test_what_is_no_spectrum_is_refused(sqlite_store: Store) -> None:
    with pytest.raises(InputError, match="not a spectrum"):
        read_spectrum(sqlite_store, Property("band_gap", 1.0, "eV", DFT))
    one, blobs = list_property("forces", np.arange(900.0) / 7, "eV/angstrom", DFT)
    sqlite_store.add_records([Record((one,), composition="Si")], blobs)
    with sqlite_store.engine.begin() as connection:
        connection.execute(text("update blobs set content = :bad"), {"bad": b"[1]"})
    with pytest.raises(IntegrityError):
        read_spectrum(sqlite_store, one)


# -- tables ---------------------------------------------------------------------------------------

TABLE = (
    "composition,T (°C),gap (eV),gap_err (eV),ref,id,Phase\n"
    "Fe2O3,25,2.1,0.1,https://doi.org/10.1021/abc.,a,alpha phase\n"
    "TiO2,100,3.0(2),,,b,\n"
    "Xx2,25,1.0,,,c,\n"
    "NiO,25,<3,,,d,\n"
    "CuO,25,,,,e,\n"
    "TiO2,100,3.0(2),,,b,\n"
)


def test_a_table_keeps_conditions_uncertainty_doi_and_bad_rows(
    sqlite_store: Store, tmp_path: Path
) -> None:
    path = table_file(tmp_path / "a.csv", TABLE)
    done = take_in(sqlite_store, path)
    assert (done.written.records, done.written.known) == (2, 1)
    assert [place.rpartition(" ")[2] for place, _ in done.refused] == ["4", "5", "6"]
    assert "no value" in done.refused[2][1]
    first, second = records(sqlite_store)
    assert (first.composition, first.doi, first.source) == ("Fe2O3", "10.1021/abc", "a")
    assert first.properties[0].conditions == {"temperature": (298.15, "K")}
    assert (first.properties[0].value, first.properties[0].uncertainty) == (2.1, 0.1)
    assert second.properties[0].uncertainty == pytest.approx(0.2)
    assert take_in(sqlite_store, path).written.records == 0


def test_words_and_constant_conditions_are_kept(sqlite_store: Store, tmp_path: Path) -> None:
    path = table_file(tmp_path / "a.csv", TABLE)
    take_in(sqlite_store, path, columns=["Phase=phase:text", "gap (eV)=band_gap:eV@pressure=1 GPa",
                                         "gap_err (eV)=band_gap.uncertainty:meV"])  # fmt: skip
    first = records(sqlite_store)[0]
    assert {one.name: one.value for one in first.properties} == {"band_gap": 2.1,
                                                                "phase": "alpha phase"}  # fmt: skip
    gap = next(one for one in first.properties if one.name == "band_gap")
    assert gap.conditions == {"temperature": (298.15, "K"), "pressure": (1.0, "GPa")}
    assert gap.uncertainty == pytest.approx(1e-4)


def test_columns_of_amounts_and_objects_are_compositions(
    sqlite_store: Store, tmp_path: Path
) -> None:
    take_in(sqlite_store, table_file(tmp_path / "a.csv", "Al,Co,Cr,is_bcc\n0.5,0.5,0,True\n"))
    path = tmp_path / "b.json"
    path.write_text(json.dumps([{"composition": {"Li": 6, "P": 2, "S": 8}, "gap": 2.0}]))
    take_in(sqlite_store, path)
    assert [record.composition for record in records(sqlite_store)] == ["Al0.5Co0.5", "Li3PS4"]


def test_a_table_without_values_or_level_is_refused(sqlite_store: Store, tmp_path: Path) -> None:
    path = table_file(tmp_path / "a.csv", "formula,hardness\nFe,1\n")
    with pytest.raises(InputError, match="No column of values"):
        take_in(sqlite_store, path)
    path = table_file(tmp_path / "b.csv", "formula,formation_energy\nFe,1\n")
    with pytest.raises(InputError, match="without its level"):
        take_in(sqlite_store, path, method_of("dft"))


def test_long_tables_are_stored_in_parts(
    sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "ROWS_AT_ONCE", 3)
    lines = "".join(f"Fe{i}O{i + 1},{i}\n" for i in range(1, 11))
    done = take_in(sqlite_store, table_file(tmp_path / "a.csv", "formula,gap\n" + lines))
    assert done.written.records == 10


# -- interrupted ----------------------------------------------------------------------------------


def run_ingest(place: str, keys: Path, path: str) -> None:
    with Store(place, keys=keys) as store:
        ingest_crystals(store, [path], method=DFT, progress=False)


def test_a_killed_ingest_is_completed_by_the_same_command(tmp_path: Path) -> None:
    path, keys, place = tmp_path / "many.jsonl", tmp_path / "keys", str(tmp_path / "lab.db")
    write(salt(4500, id=[f"s{i}" for i in range(4500)], band_gap=np.arange(4500.0)), path)
    source = random.Random(3)
    for _ in range(2):
        process = multiprocessing.get_context("fork").Process(
            target=run_ingest, args=(place, keys, str(path))
        )
        process.start()
        time.sleep(source.uniform(0.5, 2.0))
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    run_ingest(place, keys, str(path))
    with Store(place, keys=keys) as store:
        assert len(store) == 4500
        names = [entry.record for entry in store.entries() if entry.record]
        assert len(names) == len(set(names)) == 4500


# -- real data ------------------------------------------------------------------------------------

EXPERIMENTS: list[tuple[str, str, list[str], int]] = [
    ("experiments/HEA_formed_phases.csv", "", ["Phase(s)=phases:text"], 550),
    ("experiments/MPEA_dataset.csv", "", [], 1480),
    ("experiments/dopnet_mrl.xlsx", "", ["seebeck_coefficient=seebeck_coefficient:uV/K"], 570),
    ("experiments/estm.xlsx", "", [], 5205),
    ("experiments/formation_enthalpy_efe.xlsx", "", ["form_eng_exp=formation_energy:eV/atom"],
     1190),
    ("experiments/matbench_expt_gap.json.bz2", "", [], 4604),
    ("experiments/matbench_expt_is_metal.json.bz2", "", [], 4921),
    ("experiments/matbench_glass.json.bz2", "", [], 5680),
    ("experiments/matbench_steels.json.bz2", "", ["yield strength=yield_strength:MPa"], 312),
    ("experiments/metallic_glass_Dmax.csv", "", ["Dmax=critical_diameter:mm"], 5900),
    ("applications/OBELiX_train.csv", "", [], 440),
    ("applications/Supercon_data_2018_Stanev.csv", "", ["Tc=critical_temperature:K"], 16200),
    ("applications/migration_barriers.xlsx", "", [], 470),
    ("applications/mp_battery_electrodes_2019.csv", "formula_discharge",
     ["average_voltage=average_voltage:V", "capacity_grav=capacity:mAh/g"], 5100),
    ("applications/battery_cathodes_sparks.xlsx", "cathode material",
     ["discharge voltage1=discharge_voltage:V"], 1),
    ("applications/MLORR_perovskite_ORR.xlsx#ABO3", "",
     ["650=area_specific_resistance:ohm cm^2@temperature=923.15 K"], 78),
]  # fmt: skip

NO_TABLES: list[tuple[str, str]] = [
    ("applications/oer_plate_3496.csv", "has no headers"),
    ("applications/oer_plate_3851.csv", "has no headers"),
    ("applications/oer_plate_3496.config.json", "is not a table"),
    ("applications/oer_plate_3851.config.json", "is not a table"),
    ("applications/sac_oer_energies.csv", "No column of formulas"),
    ("applications/MLORR_perovskite_ORR.xlsx", "No column of formulas"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "formula", "columns", "least"), EXPERIMENTS)
def test_public_tables_are_taken_in(
    sqlite_store: Store, data_folder: Path, name: str, formula: str, columns: list[str], least: int
) -> None:
    path = f"{data_folder}/{name}"
    assert is_table(path)
    assert not holds_crystals(path)
    done = take_in(sqlite_store, path, formula=formula, columns=columns)
    assert done.written.records >= least


@pytest.mark.slow
@pytest.mark.parametrize(("name", "sentence"), NO_TABLES)
def test_public_files_without_compositions_are_refused(
    sqlite_store: Store, data_folder: Path, name: str, sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        take_in(sqlite_store, data_folder / name)


@pytest.mark.slow
def test_every_public_table_is_spoken_of(data_folder: Path) -> None:
    known = {name.partition("#")[0] for name, *_ in (*EXPERIMENTS, *NO_TABLES)}
    there = {
        f"{folder}/{path.name}"
        for folder in ("experiments", "applications")
        for path in (data_folder / folder).iterdir()
    }
    assert there - known == {"applications/2dmatpedia_filtered1224.db"}


@pytest.mark.slow
def test_computed_entries_give_their_published_hull(sqlite_store: Store, data_folder: Path) -> None:
    ingest_crystals(sqlite_store, [data_folder / "hulls/Fe_Li_O_P_entries.json.gz"], progress=False)
    energies = {
        record.source: (record.crystal, one.value)
        for record in records(sqlite_store)
        for one in record.properties
        if one.name == "energy" and one.method.level == MP2020
    }
    assert len(energies) == 943
    formulas = {record.source: record.composition for record in records(sqlite_store)}
    values = [float(energies[name][1]) for name in energies]
    chosen = [formulas[name] for name in energies]
    hull = Hull(chosen, Energies(values, "total", MP2020))
    distances = hull.distance(chosen, Energies(values, "total", MP2020))
    assert int((np.asarray(distances) < 1e-8).sum()) == 40


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "level", "columns", "least"),
    [
        ("mp_binary_elasticity.json.gz", "PBE", [], 3950),
        ("perov5_val.csv", "RPBE", ["heat_all=formation_energy:eV/atom", "dir_gap=band_gap:eV"],
         3780),
        ("nomad2018_structures.jsonl.gz", "PBE", ["bandgap_energy_ev=band_gap:eV"], 2990),
        ("matbench_phonons.json.gz", "PBE", ["last phdos peak=last_phonon_dos_peak:1/cm"], 1265),
    ],
)  # fmt: skip
def test_public_crystals_bring_their_values(
    sqlite_store: Store, data_folder: Path, name: str, level: str, columns: list[str], least: int
) -> None:
    done = ingest_crystals(
        sqlite_store, [data_folder / "structures" / name], method=method_of("dft", level=level),
        columns=columns, progress=False,
    )  # fmt: skip
    assert done.written.records >= least
    assert properties(sqlite_store)


@pytest.mark.slow
def test_materials_project_crystals_bring_energy_and_gap(
    sqlite_store: Store, data_folder: Path, tmp_path: Path
) -> None:
    part = tmp_path / "part.jsonl"
    with gzip.open(data_folder / "structures/mp36k.jsonl.gz", "rt") as stream:
        part.write_text("".join(line for _, line in zip(range(500), stream, strict=False)))
    ingest_crystals(
        sqlite_store, [part], method=method_of("dft", level="MP2018"),
        columns=["gap_pbe_megnet2018=band_gap:eV"], progress=False,
    )  # fmt: skip
    found = properties(sqlite_store)
    assert {one.method.level for one in found} == {MP2018}
    assert sum(one.name == "formation_energy" for one in found) == 500
    assert sqlite_store.query("band_gap>1").count() > 100
