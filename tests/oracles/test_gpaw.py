from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from gpaw_here import gpaw_python

from materialabs.crystals.batch import Crystals
from materialabs.errors import ExternalError, NotFound
from materialabs.oracles.dft_engine import DftTimeoutError, NotSelfConsistentError, Question
from materialabs.oracles.dft_oracle import DftLimits, DftOracle
from materialabs.oracles.dft_settings import WITH_DATASET, DftSettings
from materialabs.oracles.gpaw_engine import GpawEngine
from materialabs.oracles.gpaw_oracle import gpaw_oracle
from materialabs.oracles.gpaw_process import GpawProcess
from materialabs.oracles.oracle import Oracle

QUICK = DftSettings(cutoff=200.0, kpoint_density=1.2)
"""Coarse, for tests that differentiate rather than compare with published numbers."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GpawEngine]:
    log = tmp_path_factory.mktemp("gpaw") / "gpaw.log"
    with GpawEngine(log, interpreter=gpaw_python(), seconds=300) as made:
        yield made


@pytest.fixture(scope="module")
def silicon_oracle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DftOracle]:
    logs = tmp_path_factory.mktemp("logs")
    with gpaw_oracle("Si", settings=QUICK, interpreter=gpaw_python(), logs=logs) as made:
        yield made


def silicon(**changes: object) -> Question:
    atoms = bulk("Si", a=5.47)
    fields: dict[str, object] = {
        "lattice": atoms.cell.array, "frac": atoms.get_scaled_positions(),
        "numbers": atoms.numbers.astype(np.uint8), "mesh": (2, 2, 2),
        "cutoff": 200.0, "smearing": 0.05,
    }  # fmt: skip
    return Question(**(fields | changes))  # type: ignore[arg-type]


# -- the process ----------------------------------------------------------------------------------


def test_the_worker_imports_nothing_of_materialabs() -> None:
    source = Path(gpaw_oracle.__code__.co_filename).with_name("gpaw_worker.py").read_text()
    imports = [line for line in source.splitlines() if line.lstrip().startswith(("import", "from"))]
    assert imports
    assert not any("materialabs" in line for line in imports)


def test_the_program_says_its_version_and_its_elements(engine: GpawEngine) -> None:
    assert engine.version.count(".") == 2
    assert engine.elements == WITH_DATASET


def test_a_worker_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, time\nfrom pathlib import Path\n"
        "from materialabs.oracles.gpaw_process import GpawProcess\n"
        f"process = GpawProcess(Path({str(tmp_path / 'log')!r}))\n"
        "print(process.pid, flush=True)\ntime.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert ends_within(worker, 10.0)


def ends_within(pid: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists() or stat.read_text().split(") ")[1].startswith("Z"):
            return True
        time.sleep(0.05)
    return False


def test_ctrl_c_leaves_no_worker_behind(tmp_path: Path) -> None:
    program = (
        "from ase.build import bulk\nfrom materialabs.crystals.batch import Crystals\n"
        "from materialabs.oracles.gpaw_oracle import gpaw_oracle\n"
        f"oracle = gpaw_oracle('Si', interpreter={gpaw_python()!r}, logs={str(tmp_path)!r})\n"
        "oracle.level\nprint(oracle._all[0]._process.pid, flush=True)\n"
        "oracle.relax(Crystals.from_ase(bulk('Si') * (2, 2, 2)))\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    time.sleep(1.0)
    os.kill(parent.pid, signal.SIGINT)
    assert parent.wait(30) != 0
    parent.stdout.close()
    assert ends_within(worker, 10.0)


def test_an_answer_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    with GpawProcess(tmp_path / "log", gpaw_python()) as process:
        with pytest.raises(DftTimeoutError, match="was stopped"):
            process.ask({"task": "hello"}, 1e-3)
        assert not process.running


def test_after_a_timeout_the_engine_starts_anew(tmp_path: Path) -> None:
    with GpawEngine(tmp_path / "log", interpreter=gpaw_python()) as engine:
        engine.seconds = 1e-3
        with pytest.raises(DftTimeoutError):
            engine.single_point(silicon())
        engine.seconds = 300
        assert np.isfinite(engine.single_point(silicon()).energy)


def test_a_killed_worker_is_an_error_that_names_the_log(tmp_path: Path) -> None:
    with GpawProcess(tmp_path / "gpaw.log", gpaw_python()) as process:
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(ExternalError, match=r"gpaw\.log"):
            process.ask({"task": "hello"}, 60)


def test_an_interpreter_without_gpaw_is_told_apart(tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    with (
        GpawEngine(tmp_path / "log", interpreter=bare) as engine,
        pytest.raises(ExternalError, match=r"not installed.*pip install materialabs\[dft\]"),
    ):
        engine.hello()


def test_an_interpreter_that_is_not_there_is_told(tmp_path: Path) -> None:
    with (
        GpawEngine(tmp_path / "log", interpreter=tmp_path / "nothing") as engine,
        pytest.raises(ExternalError, match="cannot be started"),
    ):
        engine.hello()


def test_a_question_that_gpaw_refuses_is_an_error_and_the_worker_lives(engine: GpawEngine) -> None:
    with pytest.raises(ExternalError, match="GPAW failed"):
        engine.single_point(silicon(numbers=np.array([92, 92], np.uint8)))
    assert np.isfinite(engine.single_point(silicon()).energy)


# -- physics at a coarse level --------------------------------------------------------------------


def test_forces_are_the_slope_of_the_energy(engine: GpawEngine) -> None:
    moved = np.array([[0.0, 0.0, 0.0], [0.26, 0.25, 0.245]])
    point = engine.single_point(silicon(frac=moved, smearing=0.01))
    step, energies = 5e-3, []
    for sign in (1, -1):
        frac = moved.copy()
        frac[1, 0] += sign * step
        energies.append(engine.single_point(silicon(frac=frac, smearing=0.01)).energy)
    slope = (energies[0] - energies[1]) / (2 * step)
    assert slope == pytest.approx(-float(point.forces[1] @ silicon().lattice[0]), rel=0.02)


def test_a_tight_question_gives_the_energy_that_gpaw_gives_itself(engine: GpawEngine) -> None:
    program = (
        "from ase.build import bulk\nfrom gpaw import GPAW, PW, FermiDirac\n"
        "a = bulk('Si', a=5.47)\n"
        "a.calc = GPAW(mode=PW(200), xc='PBE', kpts={'size': (2, 2, 2), 'gamma': True},"
        " occupations=FermiDirac(0.05), convergence={'density': 1e-6}, txt=None)\n"
        "print(a.get_potential_energy())\n"
    )
    done = subprocess.run(
        [gpaw_python(), "-c", program], capture_output=True, text=True, check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert engine.single_point(silicon()).energy == pytest.approx(float(done.stdout), abs=1e-3)


def test_a_density_that_cannot_settle_is_said_after_every_remedy(engine: GpawEngine) -> None:
    with pytest.raises(NotSelfConsistentError, match=r"3 ways: .* mixed 5 % .* mixed 1 %"):
        engine.single_point(silicon(scf_steps=2))


def test_dft_that_never_converges_is_a_failed_relaxation(tmp_path: Path) -> None:
    with gpaw_oracle(
        "Si", settings=QUICK, interpreter=gpaw_python(), logs=tmp_path,
        limits=DftLimits(scf_steps=2),
    ) as oracle:  # fmt: skip
        (done,) = oracle.relax(Crystals.from_ase(bulk("Si")))
    assert done.status == "failed"
    assert "did not settle" in done.reason


# -- as an oracle ---------------------------------------------------------------------------------


def test_it_is_an_oracle(silicon_oracle: DftOracle) -> None:
    assert isinstance(silicon_oracle, Oracle)
    assert silicon_oracle.level.code == "GPAW"
    assert silicon_oracle.level.settings == QUICK.hash


def test_energy_is_for_an_atom_and_extensive(silicon_oracle: DftOracle) -> None:
    cells = [bulk("Si", a=5.47), bulk("Si", a=5.47, cubic=True)]
    energies = silicon_oracle.energy(Crystals.from_ase(cells))
    assert energies.kind == "total"
    assert energies.values[0] == pytest.approx(energies.values[1], abs=1e-3)


def test_crystals_of_another_system_fail_with_a_reason(silicon_oracle: DftOracle) -> None:
    (done,) = silicon_oracle.relax(Crystals.from_ase(bulk("Al")))
    assert done.status == "failed"
    assert "holds Al" in done.reason


def test_elements_without_a_dataset_are_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no PBE dataset for U"):
        gpaw_oracle("U-O", logs=tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_the_corrected_stress_is_the_slope_of_the_energy_with_strain(
    tmp_path: Path,
) -> None:
    """The program's own stress is off by its Pulay part; what is left is within 3 kbar."""
    start = bulk("Si", a=5.6)
    cells = [start]
    for strain in (0.01, -0.01):
        atoms = start.copy()
        atoms.set_cell(start.cell.array * (1 + strain), scale_atoms=True)
        cells.append(atoms)
    settings = DftSettings(cutoff=250.0, kpoint_density=2.0)
    with gpaw_oracle("Si", settings=settings, interpreter=gpaw_python(), logs=tmp_path) as oracle:
        found = oracle.evaluate(Crystals.from_ase(start))
        pulled = 2 * oracle.energy(Crystals.from_ase(cells[1:])).values
    slope = (pulled[0] - pulled[1]) / 0.02 / start.get_volume() / 3
    trace = float(np.trace(found.stress[0]) / 3)
    assert trace > 0  # stretched silicon is under tension
    assert trace == pytest.approx(slope, abs=0.3 / 160.2177)
