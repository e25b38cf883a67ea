"""What OPTIMADE 1.3 adds to structures, checked against its definitions, rewritten here.

From ``schemas/src/defs/v1.3/properties/optimade/structures`` of the specification (November 2025):
the reference models know version 1.2 only.
"""

from __future__ import annotations

from typing import Any

import httpx
import jsonschema_rs
import numpy as np
import pytest

from materialabs.crystals.batch import Crystals
from materialabs.store.documents import attributes
from materialabs.store.store import Store
from tests.server.conftest import Node
from tests.store.made_crystals import made_crystals, odd_crystals

NUMBERS = {"type": "array", "items": {"type": "number"}, "minItems": 3, "maxItems": 3}
SPANS = ["fundamental_domain", "asymmetric_unit", "molecular_fundamental_domain",
         "molecular_asymmetric_unit", "unit_cell", "molecular_unit_cell", "molecular_entities",
         "other", None]  # fmt: skip
KINDS = ["experimental", "hybrid", "global", "local", "none", "indeterminate", "other", None]
SCHEMAS: dict[str, dict[str, Any]] = {
    "fractional_site_positions": {"type": ["array", "null"], "items": NUMBERS},
    "site_coordinate_span": {"type": ["string", "null"], "enum": SPANS},
    "site_coordinate_span_description": {"type": ["string", "null"]},
    "optimization_type": {"type": ["string", "null"], "enum": KINDS},
    "wyckoff_positions": {
        "type": ["array", "null"], "items": {"type": "string", "pattern": "^[a-z]$"},
    },
}  # fmt: skip
POSITION_TOLERANCE = 1e-9
"""Angstrom."""


def documents(tmp_path: Any, crystals: Crystals) -> list[dict[str, Any]]:
    """Attributes of stored crystals."""
    with Store(tmp_path / "lab.db", keys=tmp_path / "keys") as store:
        store.add(crystals)
        return [attributes(row, store.crystals([row["id"]])) for row in store.query()]


@pytest.mark.parametrize("kind", ["made", *odd_crystals()])
def test_every_new_property_is_of_its_definition(kind: str, tmp_path: Any) -> None:
    crystals = made_crystals(5) if kind == "made" else odd_crystals()[kind]
    for document in documents(tmp_path, crystals):
        for name, schema in SCHEMAS.items():
            jsonschema_rs.validate(schema, document[name])


def test_fractions_of_the_vectors_are_the_cartesian_positions_site_by_site(tmp_path: Any) -> None:
    for document in documents(tmp_path, made_crystals(20)):
        fractions = np.array(document["fractional_site_positions"])
        assert len(fractions) == document["nsites"] == len(document["species_at_sites"])
        positions = fractions @ np.array(document["lattice_vectors"])
        wanted = document["cartesian_site_positions"]
        assert np.allclose(positions, wanted, rtol=0, atol=POSITION_TOLERANCE)


def test_a_crystal_is_given_by_its_whole_cell(tmp_path: Any) -> None:
    assert {one["site_coordinate_span"] for one in documents(tmp_path, made_crystals(3))} == {
        "unit_cell"
    }


def test_a_molecule_has_no_fractions_of_vectors_that_it_lacks(tmp_path: Any) -> None:
    found = documents(tmp_path, odd_crystals()["molecule"])[0]
    assert found["lattice_vectors"] == [[None] * 3] * 3
    assert found["fractional_site_positions"] is None
    assert found["site_coordinate_span"] is None


def test_the_new_properties_are_given_where_they_are_asked_for(node: Node) -> None:
    answer = httpx.get(
        f"{node.url}/optimade/v1/structures",
        params={"response_fields": ",".join(SCHEMAS), "page_limit": 3},
    ).json()
    assert len(answer["data"]) == 3
    for entry in answer["data"]:
        assert set(entry["attributes"]) == set(SCHEMAS)
        for name, schema in SCHEMAS.items():
            jsonschema_rs.validate(schema, entry["attributes"][name])
        assert entry["attributes"]["site_coordinate_span"] == "unit_cell"


def test_answers_of_version_1_2_hold_what_1_2_knows(node: Node) -> None:
    told = httpx.get(f"{node.url}/optimade/v1/info/structures").json()["data"]["properties"]
    assert not told.keys() & SCHEMAS.keys()
    entry = httpx.get(f"{node.url}/optimade/v1/structures?page_limit=1").json()["data"][0]
    assert not entry["attributes"].keys() & SCHEMAS.keys()
    assert "lattice_vectors" in entry["attributes"]


@pytest.mark.parametrize(
    "text", ['optimization_type="local"', 'wyckoff_positions HAS "a"',
             "site_coordinate_span_description IS KNOWN"],
)  # fmt: skip
def test_a_filter_on_a_new_property_that_is_not_kept_selects_nothing(node: Node, text: str) -> None:
    answer = httpx.get(f"{node.url}/optimade/v1/structures", params={"filter": text})
    assert answer.status_code == 200
    assert answer.json()["data"] == []


@pytest.mark.parametrize("name", ["fractional_site_positions", "site_coordinate_span"])
def test_a_filter_on_the_positions_is_not_implemented(node: Node, name: str) -> None:
    answer = httpx.get(f"{node.url}/optimade/v1/structures", params={"filter": f"{name} IS KNOWN"})
    assert answer.status_code == 501
