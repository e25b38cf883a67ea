from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from materialabs.crystals.batch import Crystals
from materialabs.errors import ExternalError, FileError, InputError, NotFound
from materialabs.oracles import espresso_oracle as rooms
from materialabs.oracles.dft_engine import DftTimeoutError, NotSelfConsistentError, Question
from materialabs.oracles.dft_oracle import DftOracle
from materialabs.oracles.espresso_engine import EspressoEngine, complaint, smearing_term
from materialabs.oracles.espresso_gth import cp2k_file, elements_in, read_cp2k, read_file
from materialabs.oracles.espresso_oracle import espresso_oracle, fingerprint, upf_files

SILICON = """\
Si GTH-PBE-q4 GTH-PBE
    2    2
     0.44000000    1    -6.26928833
    2
     0.43563383    2     8.95174150    -2.70627082
                                        3.49378060
     0.49794218    1     2.43127673
"""


@pytest.fixture
def program() -> str:
    if shutil.which("pw.x") is None or cp2k_file() is None:
        pytest.skip("no Quantum ESPRESSO here: apt-get install quantum-espresso cp2k-data")
    return "pw.x"


@pytest.fixture
def oracle(program: str, tmp_path: Path) -> DftOracle:
    return espresso_oracle("Si", cutoff=300.0, logs=tmp_path, command=program)


def silicon(oracle: DftOracle, **changes: object) -> Question:
    atoms = bulk("Si", a=5.47)
    fields: dict[str, object] = {
        "lattice": atoms.cell.array, "frac": atoms.get_scaled_positions(),
        "numbers": atoms.numbers.astype(np.uint8), "mesh": (2, 2, 2),
        "cutoff": oracle.settings.cutoff, "smearing": 0.01,
    }  # fmt: skip
    return Question(**(fields | changes))  # type: ignore[arg-type]


# -- pseudopotentials -----------------------------------------------------------------------------


def test_cp2ks_silicon_is_written_as_abinit_prints_form_10() -> None:
    lines = read_cp2k(SILICON, "Si").to_abinit().splitlines()
    assert lines[1].split()[:2] == ["14", "4"]
    assert lines[2].split()[:2] == ["10", "11"]
    assert lines[3].split() == ["0.44000000", "1", "-6.26928833"]
    assert lines[5].split() == ["0.43563383", "2", "8.95174150", "-2.70627082"]
    assert lines[6].split() == ["3.49378060"]
    assert lines[7].split() == ["0.49794218", "1", "2.43127673"]
    assert lines[8].split() == ["0.0"]  # no spin-orbit coupling of the p projector


def test_an_element_that_is_not_in_the_file_is_named() -> None:
    with pytest.raises(NotFound, match="GTH-PBE potential for Cu"):
        read_cp2k(SILICON, "Cu")


@pytest.mark.parametrize("cut", ["     0.4979", "    2\n     0.43"])
def test_a_damaged_file_is_refused(cut: str) -> None:
    with pytest.raises(FileError, match="cannot be read"):
        read_cp2k(SILICON[: SILICON.index(cut)], "Si")


def test_every_potential_of_cp2ks_file_can_be_read() -> None:
    found = cp2k_file()
    if found is None:
        pytest.skip("no cp2k-data here")
    text = read_file(found)
    elements = elements_in(text)
    assert len(elements) > 80
    assert all(read_cp2k(text, symbol).electrons > 0 for symbol in elements)


def test_upf_files_are_found_by_element_and_their_cutoff_is_read(tmp_path: Path) -> None:
    (tmp_path / "Si.pbe-n.UPF").write_text("Suggested minimum cutoff for wavefunctions:  44. Ry")
    (tmp_path / "s_pbe.upf").write_text('wfc_cutoff=" 3.5E+01"')
    place, files, cutoff = upf_files(["Si", "S"], tmp_path)
    assert place == tmp_path
    assert files == {"Si": "Si.pbe-n.UPF", "S": "s_pbe.upf"}
    assert cutoff == pytest.approx(44 * 13.605693)


def test_a_missing_upf_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="UPF file for Si"):
        upf_files(["Si"], tmp_path)
    with pytest.raises(NotFound, match="no folder"):
        upf_files(["Si"], tmp_path / "absent")


def test_a_cutoff_is_asked_for_where_the_files_state_none(tmp_path: Path) -> None:
    (tmp_path / "Si.upf").write_text("nothing")
    with pytest.raises(InputError, match="give `cutoff`"):
        espresso_oracle("Si", pseudopotentials=tmp_path, logs=tmp_path)


def test_other_pseudopotentials_are_another_level(tmp_path: Path) -> None:
    (tmp_path / "Si.upf").write_text("one")
    first = fingerprint(tmp_path, {"Si": "Si.upf"})
    (tmp_path / "Si.upf").write_text("two")
    assert fingerprint(tmp_path, {"Si": "Si.upf"}) != first


def test_without_any_pseudopotentials_the_way_out_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms, "cp2k_file", lambda: None)
    with pytest.raises(NotFound, match="apt-get install cp2k-data"):
        espresso_oracle("Si", logs=tmp_path)


# -- the program ----------------------------------------------------------------------------------


def test_without_the_program_the_way_out_is_said(tmp_path: Path) -> None:
    engine = EspressoEngine(tmp_path, {"Si": "Si.upf"}, tmp_path / "log", command="no-pw.x")
    with pytest.raises(ExternalError, match="install Quantum ESPRESSO"):
        _ = engine.version


def test_what_pw_complains_of_is_told() -> None:
    text = " %%%%\n Error in routine readpp (1):\n file Si.upf not found\n %%%%"
    assert "readpp" in complaint(text)
    assert "not found" in complaint(text)
    assert complaint("") == "it printed nothing"


def test_the_entropy_term_is_that_of_the_last_cycle() -> None:
    text = "smearing contrib. (-TS) = -0.1 Ry\nsmearing contrib. (-TS) = -0.2 Ry"
    assert smearing_term(text) == pytest.approx(-0.2 * 13.605693)
    assert smearing_term("") == 0.0


def test_pw_gives_forces_that_are_slopes_of_its_energy(oracle: DftOracle) -> None:
    moved = np.array([[0.0, 0.0, 0.0], [0.26, 0.25, 0.245]])
    with oracle, oracle.engine() as engine:
        point = engine.single_point(silicon(oracle, frac=moved))
        energies = []
        for sign in (1, -1):
            frac = moved.copy()
            frac[1, 0] += sign * 5e-3
            energies.append(engine.single_point(silicon(oracle, frac=frac)).energy)
    slope = (energies[0] - energies[1]) / 1e-2
    assert slope == pytest.approx(-float(point.forces[1] @ silicon(oracle).lattice[0]), rel=0.01)


def test_pw_that_cannot_settle_is_said_after_every_remedy(oracle: DftOracle) -> None:
    with oracle.engine() as engine, pytest.raises(NotSelfConsistentError, match="in 3 ways"):
        engine.single_point(silicon(oracle, scf_steps=1))


def test_pw_that_takes_too_long_is_stopped(oracle: DftOracle) -> None:
    with oracle.engine() as engine:
        assert isinstance(engine, EspressoEngine)
        engine.seconds = 1e-3
        with pytest.raises(DftTimeoutError, match="was stopped"):
            engine.single_point(silicon(oracle))


@pytest.mark.slow
def test_pw_relaxes_silicon_to_the_published_pbe_lattice_constant(
    program: str, tmp_path: Path
) -> None:
    """PBE 5.47 angstrom (Haas, Tran and Blaha, Phys. Rev. B 79, 085104, 2009: 5.475)."""
    oracle = espresso_oracle("Si", cutoff=350.0, logs=tmp_path, command=program)
    with oracle:
        (done,) = oracle.relax(Crystals.from_ase(bulk("Si", a=5.40)))
    assert done.status == "converged", done.reason
    assert (4 * done.crystal.volumes[0]) ** (1 / 3) == pytest.approx(5.475, rel=0.01)
    assert done.level.code == "Quantum ESPRESSO"
    assert "GTH-PBE" in done.level.pseudopotentials
