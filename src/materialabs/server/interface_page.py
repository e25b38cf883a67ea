"""The page that describes the interface for programs, made from its OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from materialabs.server.markup import Html, Part, element, joined, table


def interface_parts(document: Mapping[str, Any]) -> list[Part]:
    """Everything below the page's head."""
    told = element(
        "p", "The same as an ", element("a", "OpenAPI document", href="/openapi.json"),
        ". Writing needs an API key; ask the owner of this store.", class_="soft",
    )  # fmt: skip
    return [
        element("h1", "Interface"),
        told,
        *(
            _operation(path, verb, described)
            for path, verbs in document["paths"].items()
            for verb, described in verbs.items()
        ),
    ]


def _operation(path: str, verb: str, described: Mapping[str, Any]) -> Html:
    meaning = str(described.get("description") or described.get("summary") or "")
    head = element("h2", element("span", verb.upper(), class_="badge"), " ", element("code", path))
    parameters = described.get("parameters", ())
    rows = [
        [element("code", one["name"]), one["in"], _kind(one.get("schema", {})),
         "yes" if one.get("required") else "no", one.get("description", "")]
        for one in parameters
    ]  # fmt: skip
    listed = table(("Parameter", "In", "Kind", "Needed", "Meaning"), rows) if rows else ""
    return element("section", head, element("p", meaning), joined([listed]))


def _kind(schema: Mapping[str, Any]) -> str:
    kinds = [schema, *schema.get("anyOf", ())]
    return " or ".join(str(one["type"]) for one in kinds if "type" in one)
