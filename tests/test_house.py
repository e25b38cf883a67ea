"""The promises of the package as a whole: names, floors, quick import, a true manual."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import materialabs

ROOT = Path(__file__).parent.parent
MANUAL = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
ROOMS = {
    "cli", "crystals", "discovery", "generation", "hull", "ledger", "networks", "oracles", "server",
    "store", "transfer",
}  # fmt: skip

PUBLIC_NAMES = {
    "materialabs": [
        "Campaign", "Crystals", "Energies", "Hull", "Level", "Model", "Prediction", "Store",
        "__version__", "discover", "generate", "load_model", "predict", "read", "train", "write",
    ],
}  # fmt: skip

LONGEST_IMPORT_S = 0.2
TRIES = 7


def modules() -> list[str]:
    found = pkgutil.walk_packages(materialabs.__path__, prefix="materialabs.")
    return [module.name for module in found]


@pytest.mark.parametrize("name", modules())
def test_every_module_imports(name: str) -> None:
    assert importlib.import_module(name).__doc__


@pytest.mark.parametrize("name", sorted(PUBLIC_NAMES))
def test_public_names_are_locked(name: str) -> None:
    for submodule in modules():
        importlib.import_module(submodule)
    module = importlib.import_module(name)
    assert sorted(module.__all__) == PUBLIC_NAMES[name]
    for public in module.__all__:
        value = getattr(module, public)
        assert not inspect.ismodule(value), f"{public} is shadowed by a module"


def test_no_public_function_bears_a_rooms_name() -> None:
    for public in materialabs.__all__:
        assert public not in ROOMS


def test_import_takes_less_than_a_fifth_of_a_second() -> None:
    code = (
        "import time; start = time.perf_counter(); import materialabs;"
        "print(time.perf_counter() - start)"
    )
    times = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        for _ in range(TRIES)
    ]
    assert min(times) < LONGEST_IMPORT_S


@pytest.mark.parametrize("heavy", ["torch", "pymatgen", "numba", "plotly", "ase", "scipy"])
def test_importing_the_package_loads_nothing_heavy(heavy: str) -> None:
    code = (
        "import sys, materialabs.crystals, materialabs.hull, materialabs.generation;"
        "import materialabs.ledger, materialabs.store, materialabs.server, materialabs.cli;"
        "import materialabs.networks, materialabs.oracles, materialabs.discovery;"
        f"print({heavy!r} in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "False"


def verbs() -> list[str]:
    import typer.main

    from materialabs.cli.app import app

    def walk(command: object, path: list[str]) -> list[str]:
        children = getattr(command, "commands", None)
        if not children:
            return [" ".join(path)]
        return [verb for name, child in children.items() for verb in walk(child, [*path, name])]

    return walk(typer.main.get_command(app), ["materialabs"])


@pytest.mark.parametrize("verb", verbs())
def test_every_verb_is_in_the_guides(verb: str) -> None:
    guides = [page for page in MANUAL if "reference" not in page.parts]
    assert any(verb in page.read_text() for page in guides)


@pytest.mark.parametrize("name", [n for n in PUBLIC_NAMES["materialabs"] if n[0] != "_"])
def test_every_public_name_is_in_the_guides(name: str) -> None:
    guides = [page for page in MANUAL if "reference" not in page.parts]
    assert any(name in page.read_text() for page in guides)


@pytest.mark.parametrize("page", ["cli.md", "python.md"])
def test_reference_pages_are_up_to_date(page: str) -> None:
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        made = importlib.import_module("make_reference").PAGES[page]()
    finally:
        sys.path.pop(0)
    assert made == (ROOT / "docs" / "reference" / page).read_text(), (
        "run: python scripts/make_reference.py"
    )


def examples() -> list[tuple[Path, int, str, str]]:
    """Fenced blocks of the manual: page, line, language, text."""
    found = []
    for page in MANUAL:
        text = page.read_text()
        for match in re.finditer(r"^```(python|console)\n(.*?)^```", text, re.S | re.M):
            line = text[: match.start()].count("\n") + 1
            found.append((page, line, match.group(1), match.group(2)))
    return found


PYTHON_PAGES = sorted({page for page, _, language, _ in examples() if language == "python"})
CONSOLE = [(p, n, text) for p, n, language, text in examples() if language == "console"]


@pytest.mark.parametrize("page", PYTHON_PAGES, ids=lambda page: page.name)
def test_python_examples_of_a_page_run_in_order(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _bring_examples(tmp_path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "example"}
    for where, line, language, text in examples():
        if where == page and language == "python":
            exec(compile("\n" * line + text, str(page), "exec"), names)


@pytest.mark.parametrize(
    ("page", "line", "text"), CONSOLE, ids=[f"{p.name}:{n}" for p, n, _ in CONSOLE]
)
def test_console_examples_print_what_they_show(
    page: Path, line: int, text: str, tmp_path: Path
) -> None:
    """Lines after ``$`` are run; what follows must be printed, ``...`` standing for anything."""
    _bring_examples(tmp_path)
    for block in re.split(r"^\$ ", text, flags=re.M)[1:]:
        command, _, shown = block.partition("\n")
        if not command.startswith("materialabs"):
            continue
        done = subprocess.run(
            [sys.executable, "-c", "from materialabs.cli import main; main()", *_words(command)],
            capture_output=True, text=True, cwd=tmp_path, check=False,
            env=os.environ | {"MATERIALABS_KEYS": str(tmp_path / "keys")},
        )  # fmt: skip
        printed = done.stdout + done.stderr
        pattern = ".*".join(re.escape(part) for part in _lines(shown).split("..."))
        assert re.search(pattern, _lines(printed), re.S), f"{command}\n{printed}"


def _words(command: str) -> list[str]:
    import shlex

    return shlex.split(command)[1:]


def _lines(text: str) -> str:
    """Text without the spaces that only lay it out."""
    return "\n".join(" ".join(line.split()) for line in text.strip().splitlines() if line.strip())


def _bring_examples(folder: Path) -> None:
    import shutil

    shutil.copytree(ROOT / "docs" / "examples", folder, dirs_exist_ok=True)


BANNED = re.compile(r"/work/|\.library|h200|pypi\.org|issue #?\d", re.I)


def test_public_texts_speak_of_the_product_alone() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    for name in listed:
        path = ROOT / name
        if path.suffix in {".md", ".py", ".toml", ".yml", ".txt"} and path != Path(__file__):
            assert not BANNED.search(path.read_text()), name
