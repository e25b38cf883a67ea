"""``materialabs train``: a model from a table of your own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    from materialabs.levels import Kind

from materialabs.cli.output import note, print_json, print_rows


def train(
    table: Annotated[
        str,
        typer.Argument(help="CSV, XLSX, JSON lines, or a file of crystals with values in it."),
    ],
    target: Annotated[
        list[str], typer.Option("--target", help="Column to learn; may be repeated.")
    ],
    structures: Annotated[
        list[str] | None,
        typer.Option("--structures", help="Files of the crystals, joined by id or file name."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the model.")] = None,
    formula: Annotated[str | None, typer.Option(help="Column that holds formulas.")] = None,
    log: Annotated[
        list[str] | None,
        typer.Option("--log", help="Target whose base-ten logarithm is learned; may be repeated."),
    ] = None,
    unit: Annotated[
        list[str] | None, typer.Option(help="Unit of the target; once for each target.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="Of energies in eV/atom: total or formation.")
    ] = None,
    level: Annotated[
        str | None, typer.Option(help="Level of theory of energies, for example PBE.")
    ] = None,
    split: Annotated[
        str,
        typer.Option(help="formula, random, group:COLUMN, without:Li,Na or elements:4."),
    ] = "formula",
    members: Annotated[int, typer.Option(help="Networks of the ensemble.", min=1)] = 4,
    epochs: Annotated[
        int | None, typer.Option(help="Times that every row is seen at most.", min=1)
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same model.", min=0)] = 0,
    precision: Annotated[str, typer.Option(help="float32, or bfloat16 where it helps.")] = (
        "float32"
    ),
    credit: Annotated[str, typer.Option(help="Whom the data are owed to, for the card.")] = "",
    licence: Annotated[str, typer.Option(help="Licence of the data, for the card.")] = "",
    json: Annotated[bool, typer.Option("--json", help="Print the card's figures as JSON.")] = False,
) -> None:
    """Train a model; the same line goes on where a stopped one stood."""
    from materialabs.cli.inputs import settings
    from materialabs.networks.train import folder_name
    from materialabs.networks.train import train as learn

    chosen = settings()
    place = out or Path(folder_name(table, target))
    model = learn(
        table,
        target,
        structures=structures,
        out=place,
        formula=formula,
        logarithm=log or (),
        unit=unit or "",
        kind=cast("Kind | None", kind),  # train() refuses other words
        level=level,
        split=split,
        members=members,
        epochs=epochs,
        seed=seed,
        precision=precision,
        credit=credit,
        licence=licence,
        threads=chosen.threads,
        progress=None if chosen.progress else False,
    )
    metrics = model.card["metrics"]
    if json:
        print_json({"model": str(place), "id": model.model_id, "metrics": metrics})
        return
    from materialabs.networks.cards import summary_line

    print_rows(
        [
            {"geometry": geometry, "target": head, "on the test rows": summary_line(figures)}
            for geometry, heads in metrics.items()
            for head, figures in heads.items()
        ],
        title=f"{model.model_id}: {len(model)} networks that read {model.reads}",
    )
    for sentence in model.card["data"]["notes"]:
        note(sentence)
    note(f"Model in {place}; report: {place / 'report.html'}")
