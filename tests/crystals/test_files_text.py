"""POSCAR, extended XYZ, tables, and vasprun.xml."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from materialabs.crystals.batch import Crystals
from materialabs.crystals.files import ReadReport, read, write
from materialabs.crystals.files.vasprun import functional_of
from materialabs.errors import FileError

HEAD = "NaCl test\n1.0\n5 0 0\n0 6 0\n0 0 7\n"


def load(tmp_path: Path, text: str, name: str = "POSCAR") -> Crystals:
    path = tmp_path / name
    path.write_text(text)
    return read(path, report=ReadReport())


def why(tmp_path: Path, text: str, name: str = "POSCAR") -> str:
    with pytest.raises(FileError) as caught:
        load(tmp_path, text, name)
    return str(caught.value)


# -- POSCAR -----------------------------------------------------------------------------------

BODY = "Direct\n0 0 0\n0.5 0.5 0.5\n"


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "Na Cl\n1 1\n" + BODY,
        HEAD + "Na_sv/1a2b Cl_h\n1 1 ! comment\n" + BODY,
        HEAD.replace("NaCl test", "Na Cl") + "1 1\n" + BODY,
        HEAD + "1 1\nDirect\n0 0 0 Na\n0.5 0.5 0.5 Cl\n",
        HEAD + "Na Cl\n1 1\nCartesian\n0 0 0\n2.5 3 3.5\n",
        "x\n2.0\n2.5 0 0\n0 3 0\n0 0 3.5\nNa Cl\n1 1\nkartesian\n0 0 0\n1.25 1.5 1.75\n",
        "x\n-210\n10 0 0\n0 12 0\n0 0 14\nNa Cl\n1 1\nC\n0 0 0\n5 6 7\n",
        "x\n1 2 0.5\n5 0 0\n0 3 0\n0 0 14\nNa Cl\n1 1\nC\n0 0 0\n2.5 1.5 7\n",
        HEAD.replace("5 0 0", "5.0D+00 0 0") + "Na Cl\n1 1\n" + BODY,
        HEAD + "Na Cl\n1 1\nSelective dynamics\nDirect\n0 0 0 T T F\n0.5 0.5 0.5 F F F\n",
        HEAD + "Na Cl\n1 1\n" + BODY + "\n0.1 0.2 0.3\n0 0 0\n",
        HEAD + "Na Cl\n1 1\n" + BODY + "Lattice velocities and vectors\n" + "1\n" * 7
        + "Cartesian\n0.1 0.2 0.3\n0 0 0\n",
    ],
)  # fmt: skip
def test_every_form_of_a_poscar_is_the_same_crystal(tmp_path: Path, text: str) -> None:
    crystals = load(tmp_path, text)
    assert crystals.numbers.tolist() == [11, 17]
    np.testing.assert_allclose(crystals.lattice[0], np.diag([5, 6, 7]), atol=1e-12)
    np.testing.assert_allclose(crystals.frac, [[0, 0, 0], [0.5] * 3], atol=1e-12)
    if "Selective" in text:
        assert crystals.site_columns["fixed"].tolist() == [[False, False, True], [True] * 3]
    if "0.1 0.2 0.3" in text:
        assert crystals.site_columns["velocity"][0].tolist() == [0.1, 0.2, 0.3]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD + "1 1\n" + BODY, "VASP 4"),
        (HEAD, "too short"),
        (HEAD + "Na Cl\n1 1\nDirect\n0 0 0\n", "fewer positions"),
        (HEAD + "Na Cl\n1\n" + BODY, "2 elements and 1 numbers"),
        (HEAD + "Na Cl\nx y\n" + BODY, "no numbers of atoms"),
        (HEAD + "Na Xx\n1 1\n" + BODY, "'Xx'"),
        (HEAD + "Na Cl\n9999 9999\n" + BODY, "19,998 atoms"),
        (HEAD + "Na Cl\n999999999 1\n" + BODY, "1,000,000,000 atoms"),
        (HEAD.replace("1.0", "zero") + "Na Cl\n1 1\n" + BODY, "scale of the cell"),
        (HEAD.replace("5 0 0", "5 0") + "Na Cl\n1 1\n" + BODY, "three vectors"),
        (HEAD.replace("5 0 0", "0 0 0").replace("1.0", "-9") + "Na Cl\n1 1\n" + BODY, "volume"),
        (HEAD + "Na Cl\n1 1\nDirect\n0 0 a\n0 0 0\n", "cannot be read as a POSCAR"),
        (HEAD + "Na Cl\n1 1\nSelective\nDirect\n0 0 0 T\n0 0 0 T\n", "three T or F"),
        (HEAD + "Na Cl\n1 1", "cannot be read as a POSCAR: it ends too early"),
    ],
)
def test_each_fault_of_a_poscar_has_its_sentence(tmp_path: Path, text: str, words: str) -> None:
    assert words in why(tmp_path, text)


@pytest.mark.parametrize("tail", ["\n1 2 3\n", "\na b c\n0 0 0\n", "Direct\n1 1 1\n1 1 1\n"])
def test_velocities_that_cannot_be_used_are_left_out(tmp_path: Path, tail: str) -> None:
    assert "velocity" not in load(tmp_path, HEAD + "Na Cl\n1 1\n" + BODY + tail).site_columns


def test_poscars_are_read_as_pymatgen_reads_them(tmp_path: Path) -> None:
    from pymatgen.core import Lattice, Structure
    from pymatgen.io.vasp import Poscar

    structure = Structure(Lattice.from_parameters(4, 5, 6, 80, 95, 100), ["Fe", "O", "Fe"],
                          [[0, 0, 0], [0.3, 0.4, 0.5], [0.7, 0.1, 0.9]])  # fmt: skip
    Poscar(structure).write_file(str(tmp_path / "POSCAR"))
    crystals = read(tmp_path / "POSCAR")
    np.testing.assert_allclose(crystals.lattice[0], structure.lattice.matrix, atol=1e-9)
    np.testing.assert_allclose(crystals.frac, structure.frac_coords, atol=1e-9)
    assert crystals.ids() == [tmp_path.name]


# -- extended XYZ -----------------------------------------------------------------------------

FRAME = '2\nLattice="5 0 0 0 5 0 0 0 5" Properties=species:S:1:pos:R:3 {more}\nNa 0 0 0\nCl 2 2 2\n'


def test_values_of_a_comment_line_are_read_in_every_spelling(tmp_path: Path) -> None:
    text = FRAME.format(
        more='energy=-4 a=1 b=2.5 c=T d="1 2 3" e={4 5} f=[T F] g=\'x y\' h="q \\" r" flag '
        'j="_JSON [1, {\\"k\\": null}]" "odd key"=7 s="a=b" virial="5 0 0 0 5 0 0 0 5" pbc="T T F"'
    )
    crystals = load(tmp_path, text, "x.xyz")
    row = crystals.columns.row(0)
    assert (row["energy"], row["a"], row["b"], bool(row["c"])) == (-2.0, 1, 2.5, True)
    assert (row["d"].tolist(), row["e"].tolist(), row["f"]) == ([1, 2, 3], [4, 5], [True, False])
    assert (row["g"], row["h"], bool(row["flag"]), row["odd key"]) == ("x y", 'q " r', True, 7)
    assert (row["j"], row["s"]) == ([1, {"k": None}], "a=b")
    np.testing.assert_allclose(row["stress"], -np.eye(3) * 5 / 125)
    assert crystals.pbc.tolist() == [[True, True, False]]


def test_frames_of_ase_are_read_as_ase_reads_them(tmp_path: Path) -> None:
    import ase.io
    from ase.build import bulk

    rng = np.random.default_rng(0)
    frames = []
    for element in ("Cu", "Fe", "Si"):
        atoms = bulk(element) * (2, 1, 1)
        atoms.rattle(0.1, seed=1)
        atoms.arrays["spin"] = rng.normal(size=(len(atoms), 2))
        atoms.arrays["kind"] = np.array(["a"] * len(atoms))
        atoms.info = {"name": element, "step": 3, "point": np.arange(3.0)}
        frames.append(atoms)
    ase.io.write(tmp_path / "x.extxyz", frames)
    crystals = read(tmp_path / "x.extxyz")
    for crystal, theirs in zip(crystals, ase.io.iread(tmp_path / "x.extxyz"), strict=True):
        np.testing.assert_allclose(crystal.positions, theirs.positions, atol=1e-9)
        np.testing.assert_allclose(crystal.site_columns["spin"], theirs.arrays["spin"])
        assert crystal.site_columns["kind"].tolist() == list(theirs.arrays["kind"])
        assert crystal.columns.row(0)["name"] == theirs.info["name"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x\n", "number of atoms"),
        ("2\n\nNa 0 0 0\n", "ends after 1 of its 2"),
        ("1\n\nQq 0 0 0\n", "'Qq'"),
        ("1\nProperties=species:S:1\nNa\n", "species and pos"),
        ("1\nProperties=species:S\nNa\n", "name:type:columns"),
        ("1\nProperties=species:Q:1:pos:R:3\nNa 0 0 0\n", "not understood"),
        ("1\nProperties=species:S:1:pos:R:4\nNa 0 0 0\n", "without the column"),
        ("1\nProperties=species:S:1:pos:R:3:m:L:1\nNa 0 0 0 x\n", "T or F"),
        ("1\n\nNa 0 0 x\n", "cannot be read"),
        ('1\nLattice="1 2 3"\nNa 0 0 0\n', "cannot be read"),
        ('1\nLattice="5 0 0 0 5 0 0 0 5" stress="1 2"\nNa 0 0 0\n', "six or nine"),
        ('1\nLattice="5 0 0 0 5 0 0 0 5" a="_JSON {"\nNa 0 0 0\n', "cannot be read"),
        ("9999\n\n" + "Na 0 0 0\n" * 9999, "9,999 atoms"),
    ],
)
def test_each_fault_of_a_frame_has_its_sentence(tmp_path: Path, text: str, words: str) -> None:
    assert words in why(tmp_path, text, "x.xyz")


def test_a_bad_frame_does_not_stop_the_next(tmp_path: Path) -> None:
    good = FRAME.format(more="")
    text = good + "\n" + good.replace("Na", "Qq") + "7000\n\n" + "Na 0 0 0\n" * 7000 + good
    crystals = load(tmp_path, text, "x.xyz")
    assert crystals.ids() == ["x", "x-4"]


def test_magnetic_moments_of_a_result_go_before_initial_ones(tmp_path: Path) -> None:
    text = ('1\nLattice="5 0 0 0 5 0 0 0 5" Properties=Z:I:1:pos:R:3:magmoms:R:1:'
            "initial_magmoms:R:1:move_mask:L:1\n26 0 0 0 2.2 5.0 F\n")  # fmt: skip
    crystals = load(tmp_path, text, "x.xyz")
    assert crystals.site_columns["magnetic_moment"].tolist() == [2.2]
    assert crystals.site_columns["fixed"].tolist() == [[True] * 3]


def test_what_a_frame_cannot_hold_is_left_out(tmp_path: Path) -> None:
    crystals = load(tmp_path, FRAME.format(more=""), "x.xyz")
    labelled = crystals.with_site_columns(label=["a b", "c"], **{"bad name": [1.0, 2.0]})
    ranked = labelled.with_site_columns(rank=np.ma.MaskedArray([1, 2], mask=[True, False]))
    (path,) = write(ranked, tmp_path / "y.extxyz")
    back = read(path).site_columns
    assert set(back) == {"rank"}
    assert np.isnan(back["rank"][0])


# -- tables -----------------------------------------------------------------------------------


def test_rows_of_a_table_become_crystals_and_columns(tmp_path: Path) -> None:
    crystals = load(tmp_path, FRAME.format(more=""), "x.xyz")
    (path,) = write(crystals, tmp_path / "one.cif")
    cif = path.read_text().replace('"', '""')
    text = (
        ",material_id,cif,gap,count,ok,formula,empty\n"
        f'0,007,"{cif}",1.5,3,True,In,\n1,b,"{cif}",NaN,4,False,Inf,\n2,c,,1,1,True,x,\n'
        "3,d,data_x,1,1,True,x,\n"
    )
    report = ReadReport()
    (tmp_path / "t.csv").write_text(text)
    found = read(tmp_path / "t.csv", report=report)
    assert found.ids() == ["007", "b"]
    assert found.columns["gap"][0] == 1.5
    assert np.isnan(found.columns["gap"][1])
    assert found.columns["formula"].tolist() == ["In", "Inf"]
    assert [entry.place for entry in report.entries] == ["row 4", "row 5"]


def test_a_table_of_json_structures_is_read(tmp_path: Path) -> None:
    row = '{"lattice": [4, 4, 4], "species": ["Fe"], "frac": [[0, 0, 0]]}'
    text = "id\tstructure\nx\t" + '"' + row.replace('"', '""') + '"\n'
    assert load(tmp_path, text, "t.tsv").ids() == ["x"]


# -- VASP -------------------------------------------------------------------------------------


def vasp_files() -> list[Path]:
    import ase.test

    folder = Path(ase.test.__file__).parent / "testdata" / "vasp"
    files = sorted(folder.glob("vasprun*.xml"))
    if not files:
        pytest.skip("this ASE ships no vasprun.xml")
    return files


def test_vaspruns_are_read_as_ase_reads_them(tmp_path: Path) -> None:
    import ase.io

    for path in vasp_files():
        packed = tmp_path / f"{path.name}.gz"
        packed.write_bytes(gzip.compress(path.read_bytes()))
        crystals, theirs = read(packed), ase.io.read(path)
        row = crystals.columns.row(0)
        assert row["energy"] * len(theirs) == pytest.approx(theirs.get_potential_energy(), abs=1e-7)
        np.testing.assert_allclose(crystals.site_columns["force"], theirs.get_forces())
        np.testing.assert_allclose(row["stress"], theirs.get_stress(voigt=False), atol=1e-8)
        np.testing.assert_allclose(crystals.lattice[0], theirs.cell.array)
        assert crystals.ids() == [path.stem]


def test_a_vasprun_says_what_theory_it_was() -> None:
    path = next(path for path in vasp_files() if "dfpt" in path.name)
    row = read(path).columns.row(0)
    assert (row["functional"], row["code"], row["code_version"]) == ("PBE", "VASP", "6.3.2")
    assert row["pseudopotentials"] == "PAW_PBE Na 08Apr2002, PAW_PBE Cl 06Sep2000"
    assert row["hubbard"] == ""
    assert bool(row["converged_electronic"])
    assert bool(row["converged_ionic"])


def edited(tmp_path: Path, *pairs: tuple[str, str]) -> Crystals:
    text = next(path for path in vasp_files() if "dfpt" in path.name).read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    folder = tmp_path / "run"
    folder.mkdir(exist_ok=True)
    (folder / "vasprun.xml").write_text(text)
    return read(folder / "vasprun.xml")


def test_plus_u_and_unfinished_relaxations_are_told(tmp_path: Path) -> None:
    extra = (
        '<i type="logical" name="LDAU"> T </i><v name="LDAUU"> 4.0 0.0</v>'
        '<v name="LDAUJ"> 1.0 0.0</v><i type="int" name="NSW"> 2 </i></incar>'
    )
    text = next(path for path in vasp_files() if "dfpt" in path.name).read_text()
    start, stop = text.index("<calculation>"), text.index("</calculation>") + 14
    steps = (text[start:stop], text[start:stop] * 2)
    crystals = edited(tmp_path, ("</incar>", extra), steps)
    row = crystals.columns.row(0)
    assert row["hubbard"] == "Na:3"
    assert not row["converged_ionic"]
    assert crystals.ids() == ["run"]


def test_a_run_that_was_cut_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vasprun.xml"
    path.write_text(vasp_files()[0].read_text()[:-2000])
    with pytest.raises(FileError, match="did not finish"):
        read(path)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("<calculation>", "<calculus>", "not valid XML"),
        ('varray name="positions"', 'varray name="places"', "without a cell or positions"),
        ("<c>Na</c>", "<c>Qq</c>", "'Qq'"),
    ],
)
def test_each_fault_of_a_vasprun_has_its_sentence(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    with pytest.raises(FileError, match=words):
        edited(tmp_path, (old, new))


@pytest.mark.parametrize(
    ("settings", "titles", "name"),
    [
        ({"GGA": "PE"}, [], "PBE"),
        ({"GGA": "--"}, ["PAW_PBE Fe_pv"], "PBE"),
        ({"GGA": "--"}, ["PAW C"], "LDA"),
        ({"GGA": "PS"}, [], "PBEsol"),
        ({"GGA": "--"}, ["PAW_PBE C", "PAW O"], "unknown"),
        ({"GGA": "PE", "METAGGA": "R2SCAN"}, [], "r2SCAN"),
        ({"GGA": "PE", "METAGGA": "--"}, [], "PBE"),
        ({"GGA": "PE", "LHFCALC": True, "HFSCREEN": 0.2}, [], "HSE06"),
        ({"GGA": "PE", "LHFCALC": True, "HFSCREEN": 0.3}, [], "HSE03"),
        ({"GGA": "PE", "LHFCALC": True, "HFSCREEN": 0.0}, [], "PBE0"),
        ({"GGA": "PE", "LHFCALC": True, "AEXX": 1.0}, [], "HF"),
        ({"GGA": "PE", "LHFCALC": True, "AEXX": 0.35}, [], "PBE(AEXX=0.35,HFSCREEN=0)"),
        ({"GGA": "PE", "IVDW": 12}, [], "PBE-D3(BJ)"),
        ({"GGA": "BO", "LUSE_VDW": True}, [], "optB88-vdW"),
    ],
)
def test_functionals_have_their_names(
    settings: dict[str, object], titles: list[str], name: str
) -> None:
    assert functional_of(settings, titles) == name


def test_a_bare_poscar_is_named_after_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "relax_7"
    folder.mkdir()
    (folder / "POSCAR").write_text(HEAD + "Na Cl\n1 1\nDirect\n0 0 0\n.5 .5 .5\n")
    monkeypatch.chdir(folder)
    assert read("POSCAR").ids() == read(folder / "POSCAR").ids() == ["relax_7"]
