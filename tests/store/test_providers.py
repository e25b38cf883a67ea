"""Imports from other databases: complete, resumable, patient, with levels."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from sqlalchemy import text

from materialabs.errors import ExternalError, InputError
from materialabs.hull.hull import Hull
from materialabs.levels import ALEXANDRIA_PBE, MP2020, Energies, Level
from materialabs.store.http_json import Fetcher, Patience, Refused, check_url
from materialabs.store.observations import read_record
from materialabs.store.provider_fields import (
    ALEXANDRIA_SCAN,
    MP_MIXED,
    MP_R2SCAN,
    OQMD,
    ProviderFields,
    read_kinds,
)
from materialabs.store.providers import import_optimade
from materialabs.store.records import Method, Record
from materialabs.store.store import Store
from tests.store.fake_provider import Answer, FakeProvider, resource, serving
from tests.store.made_crystals import made_crystals, made_properties

COUNT = 9


def quick(**options: Any) -> Fetcher:
    """A fetcher that does not wait."""
    pauses: list[float] = []
    fetcher = Fetcher(
        Patience(tries=4, first_s=0.5, most_s=2.0, timeout_s=5.0), seed=1, sleep=pauses.append,
        **options,
    )  # fmt: skip
    fetcher.pauses = pauses  # type: ignore[attr-defined]
    return fetcher


def structures(count: int = COUNT) -> list[dict[str, Any]]:
    return [resource(f"x-{i}", ["Na", "Cl"], 5 + 0.1 * i) for i in range(count)]


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with serving(FakeProvider(structures())) as fake:
        yield fake


def records(store: Store) -> list[Record]:
    with store.engine.connect() as connection:
        bodies = connection.execute(text("select body from records order by id")).all()
    return [read_record(bytes(body)) for (body,) in bodies]


def positions(store: Store) -> list[str]:
    with store.engine.connect() as connection:
        return [row[0] for row in connection.execute(text("select position from imports"))]


# -- pages ----------------------------------------------------------------------------------------


def test_all_pages_are_stored_once(sqlite_store: Store, provider: FakeProvider) -> None:
    provider.info = {"available_licenses": ["CC-BY-4.0"]}
    done = import_optimade(sqlite_store, provider.url, fetcher=quick(), progress=False)
    assert (done.written.crystals, done.pages, done.available) == (COUNT, 5, COUNT)
    assert (done.provider, done.licence) == ("Fake", "CC-BY-4.0")
    assert {record.source for record in records(sqlite_store)} == {f"x-{i}" for i in range(COUNT)}
    assert positions(sqlite_store) == []
    again = import_optimade(sqlite_store, provider.url, fetcher=quick(), progress=False)
    assert (again.written.records, again.written.known, again.resumed) == (0, COUNT, False)


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1.2/structures?page_limit=3", "/info"])
def test_any_address_of_a_provider_will_do(
    sqlite_store: Store, provider: FakeProvider, ending: str
) -> None:
    done = import_optimade(sqlite_store, provider.url + ending, fetcher=quick(), progress=False)
    assert done.written.crystals == COUNT


def test_the_filter_is_sent(sqlite_store: Store, provider: FakeProvider) -> None:
    import_optimade(sqlite_store, provider.url, 'elements HAS "Na"', fetcher=quick(),
                    progress=False)  # fmt: skip
    assert "filter=elements+HAS+%22Na%22" in provider.asked[2]


def test_a_dead_provider_is_given_up_and_the_import_goes_on_later(
    sqlite_store: Store, provider: FakeProvider
) -> None:
    provider.trouble = lambda number, _path: (200, {}, b"") if number > 5 else None
    with pytest.raises(ExternalError, match="did not answer after 4 tries"):
        import_optimade(sqlite_store, provider.url, fetcher=quick(), progress=False)
    stored = len(sqlite_store)
    assert 0 < stored < COUNT
    provider.trouble = lambda _number, _path: None
    provider.asked.clear()
    done = import_optimade(sqlite_store, provider.url, fetcher=quick(), progress=False)
    assert done.resumed
    assert done.written.crystals == COUNT - stored
    assert provider.pages() == 5 - stored // 2


def test_an_import_can_be_begun_again(sqlite_store: Store, provider: FakeProvider) -> None:
    provider.trouble = lambda number, _path: (200, {}, b"") if number > 5 else None
    with pytest.raises(ExternalError):
        import_optimade(sqlite_store, provider.url, fetcher=quick(), progress=False)
    provider.trouble = lambda _number, _path: None
    done = import_optimade(
        sqlite_store, provider.url, fetcher=quick(), restart=True, progress=False
    )
    assert (done.resumed, done.pages) == (False, 5)


def test_a_page_of_an_earlier_run_that_is_gone_begins_the_import_again(
    sqlite_store: Store, provider: FakeProvider
) -> None:
    provider.trouble = lambda number, _path: (200, {}, b"") if number > 5 else None
    with pytest.raises(ExternalError):
        import_optimade(sqlite_store, provider.url, fetcher=quick(), progress=False)

    def forgotten(_number: int, path: str) -> Answer | None:
        return (400, {}, b"{}") if path in known else None

    parts = [urlsplit(position) for position in positions(sqlite_store)]
    known = [f"{part.path}?{part.query}" for part in parts]
    provider.trouble = forgotten
    provider.page = 4
    import_optimade(sqlite_store, provider.url, fetcher=quick(), progress=False)
    assert len(sqlite_store) == COUNT


def test_the_next_page_is_kept_by_the_transaction_that_stores_a_page(
    sqlite_store: Store, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    commit = sqlite_store.commit

    def watched(*arguments: Any, **named: Any) -> Any:
        done = commit(*arguments, **named)
        seen.append((len(sqlite_store), len(positions(sqlite_store))))
        return done

    monkeypatch.setattr(sqlite_store, "commit", watched)
    import_optimade(sqlite_store, provider.url, fetcher=quick(), progress=False)
    assert seen == [(2, 1), (4, 1), (6, 1), (8, 1), (9, 0)]


def test_a_page_that_cannot_be_stored_keeps_the_place_before_it(
    sqlite_store: Store, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    from materialabs.store import providers

    keep, calls = providers._keep, [0]

    def broken(*arguments: Any, **named: Any) -> None:
        keep(*arguments, **named)
        calls[0] += 1
        if calls[0] == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(providers, "_keep", broken)
    with pytest.raises(KeyboardInterrupt):
        import_optimade(sqlite_store, provider.url, fetcher=quick(), progress=False)
    assert (len(sqlite_store), len(positions(sqlite_store))) == (4, 1)
    provider.asked.clear()
    done = import_optimade(sqlite_store, provider.url, fetcher=quick(), progress=False)
    assert (done.resumed, done.written.known, done.written.records) == (True, 0, COUNT - 4)


# -- trouble --------------------------------------------------------------------------------------

PASSING: dict[str, Answer] = {
    "too many requests": (429, {"Retry-After": "7"}, b"slow down"),
    "too many until a date": (429, {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, b"slow"),
    "too many until nonsense": (503, {"Retry-After": "nan"}, b"slow"),
    "broken": (500, {}, b"<html>oops</html>"),
    "cut JSON": (200, {}, b'{"data": [{"id": "x-'),
    "short body": (200, {"Content-Length": "100000"}, b'{"data": []}'),
    "dropped": (200, {}, b""),
    "not JSON": (200, {}, b"<html>maintenance</html>"),
}


@pytest.mark.parametrize("name", PASSING)
def test_trouble_that_passes_costs_nothing_but_time(
    sqlite_store: Store, provider: FakeProvider, name: str
) -> None:
    fetcher = quick()
    provider.trouble = lambda number, _path: PASSING[name] if number % 2 else None
    done = import_optimade(sqlite_store, provider.url, fetcher=fetcher, progress=False)
    assert done.written.crystals == COUNT
    pauses = fetcher.pauses  # type: ignore[attr-defined]
    assert len(pauses) == 7
    assert all(pause == 7.0 if name == "too many requests" else 0 <= pause <= 2 for pause in pauses)


def test_a_page_that_comes_again_is_stored_once(
    sqlite_store: Store, provider: FakeProvider
) -> None:
    provider.structures[2:4] = provider.structures[0:2]
    done = import_optimade(sqlite_store, provider.url, fetcher=quick(), progress=False)
    assert (done.written.crystals, done.written.known) == (COUNT - 2, 2)


@pytest.mark.parametrize("kind", ["same link", "other link"])
def test_a_provider_that_turns_in_a_circle_is_left(
    sqlite_store: Store, provider: FakeProvider, kind: str
) -> None:
    def circle(number: int, path: str) -> Answer | None:
        if "/info" in path:
            return None
        link = "/optimade/v1/structures?page_offset=0" + (
            "" if kind == "same link" else f"&n={number}"
        )
        return 200, {}, json.dumps({"data": structures(2), "links": {"next": link}}).encode()

    provider.trouble = circle
    with pytest.raises(ExternalError, match="same page again and again"):
        import_optimade(sqlite_store, provider.url, fetcher=quick(), progress=False)
    assert len(sqlite_store) == 2
    assert provider.pages() < 8


def test_an_answer_without_end_is_not_read(sqlite_store: Store, provider: FakeProvider) -> None:
    provider.trouble = lambda _number, path: (
        (200, {}, b" " * 100_000) if "/info" not in path else None
    )
    with pytest.raises(ExternalError, match="more than 50,000 bytes"):
        import_optimade(sqlite_store, provider.url, fetcher=quick(largest=50_000), progress=False)


def test_a_refusal_is_told_in_the_providers_words(
    sqlite_store: Store, provider: FakeProvider
) -> None:
    body = json.dumps({"errors": [{"detail": "unknown property  colour"}]}).encode()
    provider.trouble = lambda _number, path: (400, {}, body) if "/info" not in path else None
    with pytest.raises(Refused, match="status 400: unknown property colour"):
        import_optimade(sqlite_store, provider.url, "colour=1", fetcher=quick(), progress=False)


def test_a_provider_without_page_sizes_and_info_is_asked_plainly(
    sqlite_store: Store, provider: FakeProvider
) -> None:
    def strict(_number: int, path: str) -> Answer | None:
        wrong = "page_limit" in path or "/info" in path
        return (403, {}, b'{"errors": []}') if wrong else None

    provider.trouble = strict
    done = import_optimade(sqlite_store, provider.url, "nsites=2", fetcher=quick(), progress=False)
    assert done.written.crystals == COUNT
    assert any(path.endswith("/structures?filter=nsites%3D2") for path in provider.asked)


@pytest.mark.parametrize(
    ("link", "error"),
    [("http://other.example/next", ExternalError), ("file:///etc/passwd", InputError),
     ({"href": "ftp://127.0.0.1/x"}, InputError)],
)  # fmt: skip
def test_a_next_page_elsewhere_is_not_followed(
    sqlite_store: Store, provider: FakeProvider, link: Any, error: type[Exception]
) -> None:
    body = json.dumps({"data": structures(1), "links": {"next": link}}).encode()
    provider.trouble = lambda _number, path: (200, {}, body) if "/info" not in path else None
    with pytest.raises(error):
        import_optimade(sqlite_store, provider.url, fetcher=quick(), progress=False)


def test_a_redirect_to_a_file_is_not_followed(sqlite_store: Store, provider: FakeProvider) -> None:
    provider.trouble = lambda _number, _path: (302, {"Location": "file:///etc/passwd"}, b"x")
    with pytest.raises((Refused, ExternalError)):
        import_optimade(sqlite_store, provider.url, fetcher=quick(), progress=False)


@pytest.mark.parametrize("body", [b"[]", b'{"data": 3}', b'{"errors": []}', b"null"])
def test_what_is_not_optimade_is_refused(
    sqlite_store: Store, provider: FakeProvider, body: bytes
) -> None:
    provider.trouble = lambda _number, _path: (200, {}, body)
    with pytest.raises(ExternalError, match="does not answer as OPTIMADE"):
        import_optimade(sqlite_store, provider.url, fetcher=quick(), progress=False)


def test_bad_structures_are_listed_and_the_rest_goes_on(
    sqlite_store: Store, provider: FakeProvider
) -> None:
    provider.structures[1]["attributes"]["species_at_sites"] = ["Na", "Xx"]
    provider.structures[2]["attributes"]["cartesian_site_positions"] = [[0, 0, 0], [0, 0, 0]]
    provider.structures[3] = 7  # type: ignore[call-overload]
    del provider.structures[4]["attributes"]["lattice_vectors"]
    done = import_optimade(sqlite_store, provider.url, fetcher=quick(), progress=False)
    assert [name for name, _ in done.refused][:1] == ["x-1"]
    assert len(done.refused) + done.written.crystals == COUNT
    assert done.written.crystals >= COUNT - 4


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a/b", "http://", "http://u:p@host/x",
                                 "http://a b/", "http://host:99999999/", "nonsense"])  # fmt: skip
def test_only_plain_web_addresses_are_opened(sqlite_store: Store, url: str) -> None:
    with pytest.raises(InputError):
        import_optimade(sqlite_store, url, progress=False)
    with pytest.raises(InputError):
        check_url(url)


def test_pauses_grow_at_random_up_to_a_limit() -> None:
    import random

    patience = Patience(first_s=1.0, most_s=8.0)
    source = random.Random(4)
    pauses = [[patience.pause(attempt, source) for _ in range(200)] for attempt in range(6)]
    tops = [max(part) for part in pauses]
    assert all(top <= limit for top, limit in zip(tops, (1, 2, 4, 8, 8, 8), strict=True))
    assert all(min(part) < 0.2 * top for part, top in zip(pauses, tops, strict=True))


# -- fields ---------------------------------------------------------------------------------------


def test_materials_project_stability_is_mapped_by_thermo_type() -> None:
    attributes = {
        "_mp_stability": {
            "GGA_GGA+U_R2SCAN": {"energy_above_hull": 0.02, "formation_energy_per_atom": -1.2},
            "r2scan": {"formation_energy_per_atom": -1.3, "energy_above_hull": "N/A"},
            "gga_gga+u": {"energy_above_hull": 0.01, "formation_energy_per_atom": -1.1},
            "other": {"formation_energy_per_atom": -9.0},
        }
    }
    found = ProviderFields({}).properties(attributes)
    assert [(one.name, one.value, one.method.level) for one in found] == [
        ("formation_energy", -1.1, MP2020), ("hull_distance", 0.01, MP2020),
        ("formation_energy", -1.2, MP_MIXED), ("hull_distance", 0.02, MP_MIXED),
        ("formation_energy", -1.3, MP_R2SCAN),
    ]  # fmt: skip
    assert ProviderFields({}).properties({"_mp_stability": None}) == ()
    assert ProviderFields({}).properties({"_mp_stability": {"r2scan": 3}}) == ()


def test_alexandria_fields_are_mapped_by_functional() -> None:
    attributes = {
        "nsites": 4, "_alexandria_xc_functional": "PBE", "_alexandria_hull_distance": 0.1,
        "_alexandria_formation_energy_per_atom": -0.5, "_alexandria_band_gap": 1.5,
        "_alexandria_energy_corrected": -20.0, "_alexandria_scan_hull_distance": 0.2,
        "_alexandria_magnetization": None,
    }  # fmt: skip
    found = ProviderFields({}).properties(attributes)
    assert {(one.name, one.value, one.method.level) for one in found} == {
        ("hull_distance", 0.1, ALEXANDRIA_PBE), ("formation_energy", -0.5, ALEXANDRIA_PBE),
        ("band_gap", 1.5, ALEXANDRIA_PBE), ("energy", -5.0, ALEXANDRIA_PBE),
        ("hull_distance", 0.2, ALEXANDRIA_SCAN),
    }  # fmt: skip
    unknown = {**attributes, "_alexandria_xc_functional": "XYZ"}
    assert {one.method.level for one in ProviderFields({}).properties(unknown)} == {ALEXANDRIA_SCAN}


def test_oqmd_fields_are_mapped() -> None:
    attributes = {"_oqmd_delta_e": -0.4, "_oqmd_stability": -0.01, "_oqmd_band_gap": 0}
    found = ProviderFields({}).properties(attributes)
    assert [(one.name, one.value) for one in found] == [
        ("formation_energy", -0.4), ("hull_distance", -0.01), ("band_gap", 0.0)
    ]  # fmt: skip
    assert {one.method.level for one in found} == {OQMD}


INFO = {
    "data": {
        "properties": {
            "_ours_hardness": {"type": "float", "unit": "GPa"},
            "_ours_count": {"x-optimade-type": "integer", "x-optimade-unit": "dimensionless"},
            "_ours_gap": {"type": ["number", "null"], "x-optimade-unit": "eV"},
            "_ours_odd": {"type": "float", "unit": "furlong"},
            "_ours_bare": {"type": "float"},
            "_ours_name": {"type": "string", "unit": None},
            "nsites": {"type": "integer"},
            "_ours_broken": 3,
        }
    }
}


def test_unknown_fields_are_kept_with_a_stated_unit_and_method() -> None:
    fields = ProviderFields(read_kinds(INFO), Method("dft", level=Level("PBE")))
    assert fields.wanted() == ["_ours_hardness", "_ours_count", "_ours_gap"]
    found = fields.properties({"_ours_hardness": 3, "_ours_count": 2, "_ours_gap": float("nan"),
                               "_ours_odd": 1.0, "_ours_bare": True})  # fmt: skip
    assert [(one.name, one.value, one.unit) for one in found] == [
        ("ours_hardness", 3.0, "GPa"), ("ours_count", 2.0, "")
    ]  # fmt: skip
    assert fields.left_out == dict.fromkeys(["_ours_odd", "_ours_bare"], "its unit is not stated")


def test_without_a_method_unknown_fields_are_left_out_by_name() -> None:
    fields = ProviderFields(read_kinds(INFO))
    assert fields.properties({"_ours_hardness": 3}) == ()
    assert "name one with --method" in fields.left_out["_ours_hardness"]
    assert read_kinds({"data": []}) == {}


def test_energies_of_another_store_need_a_level() -> None:
    kinds = read_kinds({"data": {"properties": {
        name: {"type": "float", "unit": "eV/atom"} for name in
        ("_materialabs_formation_energy", "_materialabs_band_gap", "_materialabs_volume")
    }}})  # fmt: skip
    values = dict.fromkeys(kinds, 1.0)
    bare = ProviderFields(kinds, Method("dft"))
    assert [one.name for one in bare.properties(values)] == ["band_gap"]
    assert "--level" in bare.left_out["_materialabs_formation_energy"]
    full = ProviderFields(kinds, Method("dft", level=Level("PBE")))
    assert [one.name for one in full.properties(values)] == ["formation_energy", "band_gap"]


# -- hulls and other stores -----------------------------------------------------------------------


def test_a_hull_built_from_an_import_gives_the_providers_distances(
    sqlite_store: Store, data_folder: Path
) -> None:
    import gzip

    with gzip.open(data_folder / "hulls/alexandria_Li-P-S.json.gz") as stream:
        entries = json.load(stream)
    listed = [
        resource(
            entry["entry_id"],
            [symbol for symbol, count in entry["composition"].items() for _ in range(int(count))],
            4 + 0.001 * place,
            _alexandria_xc_functional="PBE",
            _alexandria_formation_energy_per_atom=entry["e_form_per_atom"],
            _alexandria_hull_distance=entry["e_above_hull"],
        )
        for place, entry in enumerate(entries)
    ]
    kinds = {name: {"type": "float", "unit": "eV/atom"} for name in
             ("_alexandria_formation_energy_per_atom", "_alexandria_hull_distance")}  # fmt: skip
    kinds["_alexandria_xc_functional"] = {"type": "string", "unit": None}
    with serving(FakeProvider(listed, kinds, page=50)) as provider:
        import_optimade(sqlite_store, provider.url, fetcher=quick(), progress=False)
    values = {
        record.source: {one.name: one.value for one in record.properties
                        if one.method.level == ALEXANDRIA_PBE}
        for record in records(sqlite_store)
    }  # fmt: skip
    formulas = [record.composition for record in records(sqlite_store)]
    energies = Energies([values[r.source]["formation_energy"] for r in records(sqlite_store)],
                        "formation", ALEXANDRIA_PBE)  # fmt: skip
    expected = [values[record.source]["hull_distance"] for record in records(sqlite_store)]
    assert len(values) == len(entries)
    hull = Hull(formulas, energies)
    assert np.allclose(hull.distance(formulas, energies), expected, atol=1e-6)


SERVER = """
import sys
from pathlib import Path
from materialabs.server.app import serve
from materialabs.store.store import Store
serve(Store(sys.argv[1], keys=Path(sys.argv[2])), port=int(sys.argv[3]), quiet=True)
"""


def test_another_store_is_imported_from_its_server(tmp_path: Path) -> None:
    import socket

    with Store(tmp_path / "there.db", keys=tmp_path / "there") as there:
        there.add(made_crystals(30), made_properties(30))
        names = set(there.query().names())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, tmp_path / "there.db", tmp_path / "there", str(port)]
    )
    try:
        url = f"http://127.0.0.1:{port}/optimade"
        wait_for(url + "/versions")
        with Store(tmp_path / "here.db", keys=tmp_path / "here") as here:
            done = import_optimade(
                here, url, "nelements>=2", page_limit=7, method=Method("dft", level=MP2020),
                progress=False,
            )  # fmt: skip
            assert set(here.query().names()) == names
            assert done.pages == 5
            assert here.query("band_gap>=0").count() == 30
            assert here.query("formation_energy.pbe<=1").count() == 30
    finally:
        process.terminate()
        process.wait(20)


def wait_for(url: str) -> None:
    for _ in range(300):
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"{url} does not answer")
