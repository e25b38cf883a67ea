"""The OPTIMADE face as others see it: their validator and their client."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import httpx
import pytest

from materialabs.levels import MP2020
from materialabs.store.export import export
from materialabs.store.store import Store
from tests.server.conftest import CRYSTALS, Node
from tests.store.made_crystals import made_crystals, made_properties, odd_crystals

FILTER = '_materialabs_crystal_system="hexagonal" AND _materialabs_band_gap>=1'
CLIENT_SECONDS = 120


def judge(programs: Path, url: str, seed: int) -> dict[str, int]:
    done = subprocess.run(
        [programs / "optimade-validator", url, "--json", "--random-seed", str(seed)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    found: dict[str, int] = json.loads(done.stdout)
    return found


def assert_no_failure(programs: Path, url: str, seed: int) -> None:
    found = judge(programs, url, seed)
    failed = {name: found[name] for name in found if "fail" in name and "messages" not in name}
    assert not any(failed.values()), found
    assert found["success_count"] > 50
    assert found["optional_success_count"] > 5


@pytest.mark.parametrize("base", ["/optimade", "/optimade/v1"])
def test_the_validator_finds_no_failure(base: str, node: Node, validator_programs: Path) -> None:
    assert_no_failure(validator_programs, node.url + base, 1)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("base", ["/optimade", "/optimade/v1"])
def test_the_validator_finds_no_failure_at_any_seed(
    base: str, seed: int, node: Node, validator_programs: Path
) -> None:
    assert_no_failure(validator_programs, node.url + base, seed)


def test_the_public_client_fetches_what_a_filter_selects(
    node: Node, validator_programs: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [validator_programs / "optimade-get", "--filter", FILTER, "--silent",
         "--max-results-per-provider", "-1",
         "--output-file", tmp_path / "found.json", node.url + "/optimade"],
        capture_output=True, text=True, timeout=CLIENT_SECONDS, check=True,
    )  # fmt: skip
    assert done.returncode == 0
    found = json.loads((tmp_path / "found.json").read_text())
    answers = found["structures"][FILTER][node.url + "/optimade"]
    with Store(node.place, keys=node.keys) as store:
        wanted = store.query('crystal_system="hexagonal" AND band_gap>=1').names()
    assert wanted
    assert sorted(entry["id"] for entry in answers["data"]) == sorted(wanted)


def test_every_value_comes_with_its_unit_method_level_and_record(node: Node) -> None:
    answer = httpx.get(
        f"{node.url}/optimade/v1/structures",
        params={"filter": '_materialabs_source="made-0-3"',
                "response_fields": "_materialabs_band_gap,_materialabs_values"},
    ).json()  # fmt: skip
    found = answer["data"][0]["attributes"]
    gap, energy = found["_materialabs_values"]
    wanted = [(one.name, one.value, one.unit) for one in made_properties(CRYSTALS)[3]]
    assert [(one["property"], one["value"], one["unit"]) for one in (gap, energy)] == wanted
    assert {(one["method"], one["level"]) for one in (gap, energy)} == {("dft", str(MP2020))}
    assert found["_materialabs_band_gap"] == gap["value"]
    record = httpx.get(f"{node.url}/api/v1/records/{gap['record']}").json()
    assert record["properties"][0]["value"] == gap["value"]


def test_values_are_given_only_where_they_are_asked_for(node: Node) -> None:
    address = f"{node.url}/optimade/v1/structures?page_limit=1"
    everything = httpx.get(address).json()["data"][0]["attributes"]
    assert len(everything["_materialabs_values"]) == 2
    few = httpx.get(address + "&response_fields=nsites").json()["data"][0]["attributes"]
    assert set(few) == {"nsites"}


MODELS = """
import json, sys, warnings
from optimade.models import StructureResource
warnings.simplefilter("error")
for line in sys.stdin:
    entry = json.loads(line)
    if "attributes" in entry:
        StructureResource(**entry)
        print(entry["id"])
"""


def test_the_reference_models_take_every_kind_of_structure(
    tmp_path: Path, validator_programs: Path
) -> None:
    path = tmp_path / "all.optimade.jsonl"
    with Store(tmp_path / "lab.db", keys=tmp_path / "keys") as store:
        for crystals in odd_crystals().values():
            store.add(crystals)
        store.add(made_crystals(20), made_properties(20))
        export(store, path, progress=False)
        names = store.query("").names()
    done = subprocess.run(
        [validator_programs / "python", "-c", MODELS], input=path.read_text(),
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert (done.stdout.split(), done.stderr) == (names, "")


@pytest.mark.parametrize("base", ["/optimade", "/optimade/v1", "/optimade/v1.2"])
def test_every_page_is_reached_by_the_links(base: str, node: Node) -> None:
    address: str | None = f"{node.url}{base}/structures?page_limit=50&response_fields=nsites"
    seen: list[str] = []
    while address:
        answer = httpx.get(address).json()
        assert answer["meta"]["data_returned"] >= CRYSTALS
        seen += [entry["id"] for entry in answer["data"]]
        address = answer["links"]["next"]
    assert len(seen) == len(set(seen)) == answer["meta"]["data_available"]


def test_the_links_name_the_host_that_was_asked(node: Node) -> None:
    answer = httpx.get(
        f"{node.url}/optimade/v1/structures?page_limit=1", headers={"host": "lab.example:8080"}
    ).json()
    assert answer["links"]["next"].startswith("http://lab.example:8080/optimade/v1/structures?")


def test_a_version_that_is_not_served_is_553(node: Node) -> None:
    assert httpx.get(f"{node.url}/optimade/v7/structures").status_code == 553


def test_unknown_names_come_with_the_nearest(node: Node) -> None:
    answer = httpx.get(f"{node.url}/optimade/v1/structures", params={"filter": "nsitess=2"})
    assert answer.status_code == 400
    assert "nsites" in answer.json()["errors"][0]["detail"]


def test_another_providers_property_is_null_and_a_warning(node: Node) -> None:
    answer = httpx.get(f"{node.url}/optimade/v1/structures", params={"filter": "_exmpl_x=2"}).json()
    assert answer["data"] == []
    assert "_exmpl_x" in answer["meta"]["warnings"][0]["detail"]
