"""CIF: agreement with pymatgen's parser, disorder, and what is unusual."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path

import numpy as np
import pytest

import materialabs.crystals.files.cif as cif_module
from materialabs.crystals.batch import Crystals
from materialabs.crystals.files import ReadReport, read, write, write_symmetrised_cif
from materialabs.crystals.files.cif import entries_of
from materialabs.crystals.files.cif_symmetry import images, read_operations
from materialabs.crystals.files.cif_text import parse_block, split_blocks
from materialabs.crystals.files.entries import Entry, Refused
from materialabs.errors import FileError

SALT = """data_salt
_cell_length_a 5.64(2)
_cell_length_b 5.64
_cell_length_c 5.64
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
{operations}
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
{rows}
"""


def salt(rows: str, operations: str = "") -> str:
    return SALT.format(rows=rows, operations=operations)


def one(text: str) -> Entry:
    entry = next(entries_of(split_blocks(text), "", 5000))
    assert isinstance(entry, Entry), entry
    return entry


def refusal(text: str) -> str:
    entry = next(entries_of(split_blocks(text), "", 5000))
    assert isinstance(entry, Refused), entry
    return entry.reason


def assert_agrees_with_pymatgen(text: str, entry: Entry) -> None:
    from pymatgen.io.cif import CifParser

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (theirs,) = CifParser.from_str(text).parse_structures(primitive=False)
    assert len(theirs) == len(entry.numbers)
    assert entry.shares is None
    lattice = np.asarray(entry.lattice)
    np.testing.assert_allclose(lattice @ lattice.T, theirs.lattice.matrix @ theirs.lattice.matrix.T,
                               rtol=1e-6, atol=1e-6)  # fmt: skip
    gap = np.asarray(entry.frac)[:, None] - theirs.frac_coords[None]
    near = (np.abs(gap - np.round(gap)) < 2e-4).all(axis=2)
    same = np.array(entry.numbers)[:, None] == np.array(theirs.atomic_numbers)[None]
    assert ((near & same).sum(axis=0) == 1).all()


def perovskites(folder: Path, count: int) -> list[str]:
    with (folder / "structures" / "perov5_val.csv").open() as stream:
        return [row["cif"] for _, row in zip(range(count), csv.DictReader(stream), strict=False)]


def without_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("handed to pymatgen")

    monkeypatch.setattr("materialabs.crystals.files.cif_pymatgen.entry_through_pymatgen", fail)


def test_perovskites_are_read_as_pymatgen_reads_them(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_fallback(monkeypatch)
    for text in perovskites(data_folder, 60):
        assert_agrees_with_pymatgen(text, one(text))


@pytest.mark.slow
def test_all_perovskites_are_read_as_pymatgen_reads_them(data_folder: Path) -> None:
    for text in perovskites(data_folder, 10_000):
        assert_agrees_with_pymatgen(text, one(text))


def symmetric_cifs(folder: Path, count: int) -> list[str]:
    from pymatgen.io.cif import CifWriter

    crystals = read(folder / "structures" / "matbench_phonons.json.gz")
    chosen = np.random.default_rng(0).choice(len(crystals), count, replace=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [
            str(CifWriter(crystal.to_pymatgen()[0], symprec=0.01)) for crystal in crystals[chosen]
        ]


def test_symmetric_cifs_are_read_as_pymatgen_reads_them(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_fallback(monkeypatch)
    for text in symmetric_cifs(data_folder, 40):
        assert_agrees_with_pymatgen(text, one(text))


@pytest.mark.slow
def test_many_symmetric_cifs_are_read_as_pymatgen_reads_them(data_folder: Path) -> None:
    for text in symmetric_cifs(data_folder, 800):
        assert_agrees_with_pymatgen(text, one(text))


def test_minerals_of_the_open_database_have_the_atoms_that_pymatgen_finds() -> None:
    import ase.test
    from pymatgen.io.cif import CifParser

    files = sorted((Path(ase.test.__file__).parent / "testdata" / "minerals").glob("*.cif"))
    if not files:
        pytest.skip("this ASE ships no minerals")
    for path in files:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            (theirs,) = CifParser(path, occupancy_tolerance=1.01).parse_structures(primitive=False)
        ours = read(path, report=ReadReport())
        amounts = {str(e): a for e, a in theirs.composition.element_composition.items()}
        from materialabs.elements import SYMBOLS

        found = {SYMBOLS[number]: a for number, a in next(iter(ours.compositions)).items()}
        assert found == pytest.approx(amounts, rel=1e-3), path.name


def test_shared_sites_are_merged_and_kept() -> None:
    entry = one(salt("A1 Na 0 0 0 0.25\nA2 K 0 0 0 0.75\nCl1 Cl .5 .5 .5 1"))
    assert entry.shares == [{11: 0.25, 19: 0.75}, {17: 1.0}]
    assert list(entry.numbers) == [19, 17]


def test_partial_occupancy_survives_symmetry() -> None:
    operations = "loop_\n_symmetry_equiv_pos_as_xyz\n'x,y,z'\n'-x,-y,-z'"
    entry = one(salt("Na1 Na 0.1 0.2 0.3 0.5\nK1 K 0.9 0.8 0.7 0.25", operations))
    assert entry.shares == [{11: 0.5, 19: 0.25}] * 2


def test_occupancies_rounded_in_print_are_scaled_to_one() -> None:
    entry = one(salt("A1 Na 0 0 0 0.3334\nA2 K 0 0 0 0.6667"))
    assert entry.shares is not None
    assert sum(entry.shares[0].values()) == pytest.approx(1.0)


def test_a_disordered_cif_is_kept_by_read_and_refused_by_poscar(tmp_path: Path) -> None:
    from materialabs.errors import DisorderError

    path = tmp_path / "mixed.cif"
    path.write_text(salt("A1 Na 0 0 0 0.5\nA2 K 0 0 0 0.5"))
    crystals = read(path)
    assert crystals.disordered().tolist() == [True]
    with pytest.raises(DisorderError, match="salt"):
        write(crystals, tmp_path / "POSCAR")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mixed.cif"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (salt("X1 Na 0 0 0 1.5"), "above one"),
        (salt("X1 Na 0 0 0 -0.5"), "below zero"),
        (salt("X1 Na 0 0 0 0"), "no atoms"),
        (salt("X1 Na 0 oops 0 1"), "'oops'"),
        (salt("X1 Na 0 0 0"), "do not fill its rows"),
        (salt("Na1 Na 0 nan 0 1"), "not numbers"),
        (salt("Na1 Na 0 0 0 1").replace("_cell_angle_gamma 90", "_cell_angle_gamma 190"), "angles"),
        (salt("Na1 Na 0 0 0 1").replace("_cell_length_c 5.64", "_cell_length_c 0"), "volume"),
        (salt("Na1 Na 0 0 0 1").replace("fract", "Cartn"), "Cartesian"),
        (salt("Na1 Na 0 0 0 1", "_symmetry_equiv_pos_as_xyz 'x,y'"), "symmetry operation"),
        (salt("Na1 Na 0 0 0 1", "_symmetry_equiv_pos_as_xyz 'x,y,z/0'"), "symmetry operation"),
        (salt("Na1 Na 0 0 0 1", "_symmetry_equiv_pos_as_xyz 'x,y,x'"), "no volume"),
        ("data_a\n_cell_length_a 3", "without atoms"),
        (salt("Zz1 Qq 0 0 0 1"), "cannot be read as a CIF"),
    ],
)
def test_each_fault_of_a_cif_has_its_sentence(text: str, words: str) -> None:
    assert words in refusal(text)


def test_a_block_without_operations_goes_to_pymatgen_for_its_space_group() -> None:
    text = salt("Na1 Na 0 0 0 1\nCl1 Cl 0.5 0.5 0.5 1").replace("'P 1'", "'F m -3 m'")
    assert sorted(one(text).numbers) == [11] * 4 + [17] * 4


def test_pymatgens_warnings_become_notes(tmp_path: Path) -> None:
    path = tmp_path / "water.cif"
    path.write_text(salt("Ow Ow 0 0 0 1\nFe1 Fe 0.5 0.5 0.5 1"))
    report = ReadReport()
    assert len(read(path, report=report)) == 1
    assert any("Ow" in str(note) for note in report.notes)


def test_deuterium_is_kept_as_hydrogen_and_noted() -> None:
    entry = one(salt("D1 D 0 0 0 1"))
    assert (entry.numbers, entry.notes) == ([1], ["D is kept as H"])


def test_charges_of_symbols_are_oxidation_states() -> None:
    entry = one(salt("Fe1 Fe3+ 0 0 0 1\nO1 O2- 0.5 0.5 0.5 1"))
    assert entry.site_columns["oxidation_state"] == [3.0, -2.0]


def test_quotes_text_fields_and_comments_are_read() -> None:
    block = parse_block(
        "data_x # comment\n_a 'it''s' # more\n_b \"two words\"\n_c\n;line one\nline two\n;\n"
        "_D.e 5\n"
        "loop_\n_f _g\n1 '#no comment'\n2 ;\n"
    )
    assert block.items == {
        "_a": "it''s",
        "_b": "two words",
        "_c": "line one\nline two",
        "_d_e": "5",
    }
    assert block.loops["_g"] == ["#no comment", ";"]


def test_every_block_with_atoms_is_a_crystal(tmp_path: Path) -> None:
    path = tmp_path / "several.cif"
    first = salt("Na1 Na 0 0 0 1")
    path.write_text("data_global\n_a 1\n" + first + first.replace("data_salt", "data_other"))
    assert read(path).ids() == ["salt", "other"]


def test_thirds_cut_short_do_not_make_extra_atoms() -> None:
    operations = "loop_\n_symmetry_equiv_pos_as_xyz\n" + "\n".join(
        ["x,y,z", "-y,x-y,z", "-x+y,-x,z"]
    )
    text = salt("Na1 Na 0.3333 0.6667 0.5 1", operations)
    entry = one(text.replace("_cell_angle_gamma 90", "_cell_angle_gamma 120"))
    np.testing.assert_allclose(entry.frac, [[1 / 3, 2 / 3, 0.5]])


def test_operations_are_read_in_every_spelling() -> None:
    found = read_operations(("1/2+X, -y + .25,z-x", "+x,y,2/3 - z"))
    np.testing.assert_allclose(found.rotations[0], [[1, 0, 0], [0, -1, 0], [-1, 0, 1]])
    np.testing.assert_allclose(found.translations, [[0.5, 0.25, 0], [0, 0, 2 / 3]])


def test_images_of_a_general_position_are_as_many_as_operations() -> None:
    operations = read_operations(("x,y,z", "-x,-y,z", "-x,y,-z", "x,-y,-z"))
    assert len(images(np.array([[0.1, 0.2, 0.3]]), operations)[0]) == 4
    assert len(images(np.array([[0.0, 0.0, 0.3]]), operations)[0]) == 2


def test_a_left_handed_cell_keeps_its_handedness(tmp_path: Path) -> None:
    lattice = np.array([[4.0, 0, 0], [0, 0, 6.0], [0, 5.0, 0]])
    frac = np.array([[0, 0, 0], [0.3, 0.1, 0], [0.1, 0.4, 0.2], [0.6, 0.2, 0.7]])
    before = Crystals(lattice[None], frac, [3, 8, 15, 16], [0, 4])
    write(before, tmp_path / "left.cif")
    after = read(tmp_path / "left.cif")
    volume = [np.linalg.det((c.frac[1:] - c.frac[0]) @ c.lattice[0]) for c in (before, after)]
    assert volume[0] == pytest.approx(volume[1])


def test_a_symmetrised_cif_is_the_same_crystal(tmp_path: Path) -> None:
    from pymatgen.core import Lattice, Structure
    from pymatgen.core.structure_matcher import StructureMatcher

    salt_structure = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    before = Crystals.from_pymatgen(salt_structure.get_primitive_structure())
    (path,) = write_symmetrised_cif(before.with_columns(id=["my salt"]), tmp_path / "salt.cif")
    assert "F" in path.read_text().split("space_group_name_H-M")[1].splitlines()[0]
    after = read(path)
    assert len(after.frac) == 8
    assert StructureMatcher().fit(after.to_pymatgen()[0], salt_structure)
    (in_folder,) = write_symmetrised_cif(before, tmp_path / "many/")
    assert in_folder.parent.name == "many"


def test_a_block_too_large_for_pymatgen_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("materialabs.crystals.files.cif_pymatgen.LONGEST_TEXT", 10)
    assert "unusual" in refusal(salt("Na1 Na 0 0 0 1").replace("'P 1'", "'P n m a'"))


def test_too_many_images_are_refused_before_they_are_made() -> None:
    rows = "\n".join(f"Na{i} Na {i / 200} 0 0 1" for i in range(200))
    entry = next(entries_of(split_blocks(salt(rows)), "", 5))
    assert isinstance(entry, Refused)
    assert "raise the limit" in entry.reason


def test_number_reads_uncertainties_and_refuses_words() -> None:
    assert cif_module.number("5.431(2)") == 5.431
    with pytest.raises(FileError, match="'x1'"):
        cif_module.number("x1")


def test_magnetic_cifs_keep_their_moments(tmp_path: Path) -> None:
    text = salt("Fe1 Fe 0 0 0 1\nFe2 Fe 0.5 0.5 0.5 1").replace(
        "_symmetry_space_group_name_H-M 'P 1'",
        "loop_\n_space_group_symop_magn_operation.id\n_space_group_symop_magn_operation.xyz\n"
        "1 x,y,z,+1",
    )
    text += (
        "loop_\n_atom_site_moment.label\n_atom_site_moment.crystalaxis_x\n"
        "_atom_site_moment.crystalaxis_y\n_atom_site_moment.crystalaxis_z\n"
        "Fe1 0 0 2.0\nFe2 0 0 -2.0\n"
    )
    path = tmp_path / "iron.mcif"
    path.write_text(text)
    crystals = read(path, report=ReadReport())
    name = next(n for n in crystals.site_columns if n.startswith("magnetic_moment"))
    assert np.sort(crystals.site_columns[name].reshape(2, -1)[:, -1]).tolist() == [-2.0, 2.0]


NAMED = """data_named
_cell_length_a {a}
_cell_length_b {b}
_cell_length_c {c}
_cell_angle_alpha {alpha}
_cell_angle_beta {beta}
_cell_angle_gamma {gamma}
_symmetry_space_group_name_H-M '{group}'
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
{row}
"""


def named(cell: tuple[float, ...], group: str, row: str) -> str:
    names = ("a", "b", "c", "alpha", "beta", "gamma")
    return NAMED.format(**dict(zip(names, cell, strict=True)), group=group, row=row)


RHOMBOHEDRAL = (4.746, 4.746, 4.746, 57.23, 57.23, 57.23)
HEXAGONAL = (4.546, 4.546, 11.862, 90, 90, 120)
DIAMOND = (3.567, 3.567, 3.567, 90, 90, 90)


@pytest.mark.parametrize(
    ("cell", "group", "row", "sites", "volume"),
    [
        (RHOMBOHEDRAL, "R -3 m", "Bi1 0.234 0.234 0.234", 2, 35.4),
        (RHOMBOHEDRAL, "R -3 m :R", "Bi1 0.234 0.234 0.234", 2, 35.4),
        (HEXAGONAL, "R -3 m :H", "Bi1 0 0 0.234", 6, 35.4),
        (HEXAGONAL, "R -3 m H", "Bi1 0 0 0.234", 6, 35.4),
        (HEXAGONAL, "R -3 m", "Bi1 0 0 0.234", 6, 35.4),
        (DIAMOND, "F d -3 m :1", "C1 0 0 0", 8, 5.67),
        (DIAMOND, "F d -3 m S", "C1 0 0 0", 8, 5.67),
        (DIAMOND, "F d -3 m :2", "C1 0.125 0.125 0.125", 8, 5.67),
        (DIAMOND, "F d -3 m Z", "C1 0.125 0.125 0.125", 8, 5.67),
    ],
)
def test_a_named_setting_gives_the_cell_of_bismuth_and_of_diamond(
    cell: tuple[float, ...], group: str, row: str, sites: int, volume: float
) -> None:
    entry = one(named(cell, group, row))
    assert len(entry.numbers) == sites
    assert abs(np.linalg.det(np.array(entry.lattice))) / sites == pytest.approx(volume, abs=0.05)


def test_an_unknown_space_group_without_operations_is_not_taken_for_p1() -> None:
    reason = refusal(named(DIAMOND, "Q z 9", "C1 0 0 0"))
    assert "'Q z 9', which is not known" in reason


def test_a_cell_that_lacks_the_symmetry_it_states_is_refused() -> None:
    triclinic = (5, 6, 7, 80, 70, 60)
    assert "without the symmetry" in refusal(named(triclinic, "P m -3 m", "Na1 0 0 0"))
    cubic = "loop_\n_symmetry_equiv_pos_as_xyz\n" + "\n".join(["x,y,z", "z,x,y", "y,z,x"])
    text = salt("Na1 Na 0.1 0.2 0.3 1", cubic).replace("_cell_length_b 5.64", "_cell_length_b 9")
    assert "without the symmetry" in refusal(text)


def test_deuterium_is_noted_whoever_parses_the_block() -> None:
    entry = one(named(DIAMOND, "F m -3 m", "D1 0 0 0"))
    assert "D is kept as H" in entry.notes
