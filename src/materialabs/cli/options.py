"""Options and arguments that several verbs take."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Rows = Annotated[int, typer.Option(help="Rows to print; 0 for all.", min=0)]
Paths = Annotated[list[str], typer.Argument(help="Files, folders or patterns such as '*.cif'.")]
StorePlace = Annotated[
    str,
    typer.Option(
        "--store", help="SQLite file, or a postgresql:// URL.", envvar="MATERIALABS_STORE"
    ),
]
