"""``materialabs transfer``: learn measured properties from compositions, predict, screen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from materialabs.cli.options import Json
from materialabs.cli.output import csv_text, note, print_json, print_rows, write_text

if TYPE_CHECKING:
    from materialabs.transfer.models import TransferModel

app = typer.Typer(
    no_args_is_help=True,
    help="Learn measured properties from compositions, with what calculated crystals know.",
    rich_markup_mode=None,
)

ModelFolder = Annotated[str, typer.Argument(help="Folder that transfer fit wrote.")]
Condition = Annotated[
    list[str] | None,
    typer.Option("--condition", help="NAME=VALUE that the model asks for; may be repeated."),
]
Label = Annotated[str | None, typer.Option("--class", help="The class that is meant.")]


@app.command("fit")
def fit(
    table: Annotated[str, typer.Argument(help="CSV, XLSX, JSON or JSON lines with formulas.")],
    target: Annotated[str, typer.Option("--target", help="Column to learn.")],
    formula: Annotated[str | None, typer.Option(help="Column of formulas.")] = None,
    condition: Annotated[
        list[str] | None,
        typer.Option("--condition", help="Column that a value was measured at; may be repeated."),
    ] = None,
    log: Annotated[bool, typer.Option("--log", help="Learn the base-ten logarithm.")] = False,
    unit: Annotated[str, typer.Option(help="Unit of the target.")] = "",
    folds: Annotated[str, typer.Option(help="formula, random, system or element.")] = "formula",
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--source",
            help="Source of calculated knowledge; may be repeated, all are used at once. "
            "By default the one that suits best.",
        ),
    ] = None,
    no_sources: Annotated[
        bool, typer.Option("--no-sources", help="Learn from the measured values alone.")
    ] = False,
    networks: Annotated[
        bool,
        typer.Option(
            "--networks/--no-networks",
            help="Let networks learn, too; they take most of the time.",
        ),
    ] = True,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the model.")] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Go on without rows whose formula or value is wrong.")
    ] = False,
    normalise: Annotated[
        bool,
        typer.Option("--normalise", help="Take fractions that do not sum to one as relative."),
    ] = False,
    seed: Annotated[int, typer.Option(help="The same seed gives the same model.", min=0)] = 0,
    credit: Annotated[str, typer.Option(help="Whom the data are owed to, for the card.")] = "",
    licence: Annotated[str, typer.Option(help="Licence of the data, for the card.")] = "",
    json: Json = False,
) -> None:
    """Fit a model to a table of measured values and judge it on folds that it has not seen."""
    from materialabs.cli.inputs import settings
    from materialabs.transfer.fitting import fit as learn
    from materialabs.transfer.fitting import folder_name

    place = out or Path(folder_name(table, target))
    model = learn(
        table,
        target,
        formula=formula,
        conditions=condition or (),
        logarithm=log,
        unit=unit,
        folds=folds,
        sources=[] if no_sources else source,
        networks=networks,
        out=place,
        skip_bad=skip_bad,
        normalise=normalise,
        seed=seed,
        credit=credit,
        licence=licence,
        progress=None if settings().progress else False,
    )
    metrics = model.card["metrics"]
    if json:
        print_json({"model": str(place), "id": model.model_id, "metrics": metrics})
        return
    used = {one["name"] for one in model.card["strategies"]}
    print_rows(
        [
            {"strategy": name, "error inside the table": error, "used": name in used}
            for name, error in model.card["trials"].items()
        ],
        title=f"{model.model_id}: {_summary(model)}",
    )
    for sentence in model.card["data"]["notes"]:
        note(sentence)
    note(f"Model in {place}; report: {place / 'report.html'}")


@app.command("predict")
def predict(
    model: ModelFolder,
    formulas: Annotated[list[str], typer.Argument(help="Formulas.")],
    condition: Condition = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write all rows to a CSV file.")] = None,
    json: Json = False,
) -> None:
    """Predict formulas, with 90 % intervals or probabilities, and warnings."""
    asked = _load(model)
    given = _conditions(condition)
    told = asked.predict(formulas, given)
    rows = [_row(asked, row, given) for row in told.table()]
    if csv is not None:
        write_text(csv, csv_text(rows))
        note(f"{len(rows)} rows written to {csv}")
    if json:
        print_json({"model": asked.model_id, "unit": asked.head.unit, "predictions": rows})
        return
    print_rows(_shown(asked, rows), title=f"{asked.head.title} by {asked.model_id}")


@app.command("screen")
def screen(
    model: ModelFolder,
    elements: Annotated[str, typer.Option("--elements", help="Li-P-S, or Li,P,S.")],
    low: Annotated[bool, typer.Option("--low", help="Low values first.")] = False,
    near: Annotated[float | None, typer.Option(help="Values near this one first.")] = None,
    label: Label = None,
    atoms: Annotated[int, typer.Option(help="Atoms in the largest formula.", min=1)] = 8,
    balanced: Annotated[
        bool, typer.Option("--balanced", help="Only formulas that oxidation states can balance.")
    ] = False,
    condition: Condition = None,
    rows: Annotated[int, typer.Option(help="Formulas to print.", min=1)] = 20,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write the rows to a CSV file.")] = None,
    json: Json = False,
) -> None:
    """Rank the possible formulas of a chemical space, with uncertainty."""
    from materialabs.cli.inputs import settings
    from materialabs.transfer.screening import screen as rank

    asked, given = _load(model), _conditions(condition)
    found = rank(
        asked,
        [one.strip() for one in elements.replace(",", "-").split("-")],
        goal="low" if low else "high",
        near=near,
        label=label,
        atoms=atoms,
        balanced=balanced,
        conditions=given,
        most=rows,
        progress=None if settings().progress else False,
    )
    told = [_row(asked, row, given) for row in found.table()]
    if csv is not None:
        write_text(csv, csv_text(told))
        note(f"{len(told)} rows written to {csv}")
    if json:
        print_json({"model": asked.model_id, "goal": found.goal, "considered": found.considered,
                    "formulas": told})  # fmt: skip
        return
    title = f"{found.considered} formulas of {elements} by {asked.model_id}, {found.goal}"
    print_rows(_shown(asked, told), title=title)


@app.command("explain")
def explain(
    model: ModelFolder,
    formula: Annotated[str, typer.Argument(help="Formula whose prediction is explained.")],
    condition: Condition = None,
    label: Label = None,
    json: Json = False,
) -> None:
    """Tell which elements and which descriptors drive a prediction (exact Shapley values)."""
    from dataclasses import asdict

    from materialabs.transfer.explaining import explain as take_apart

    found = take_apart(_load(model), formula, _conditions(condition), label=label)
    if json:
        print_json(asdict(found))
        return
    what = f"probability of {found.label}" if found.label else found.unit
    print_rows(
        found.table(),
        title=f"{found.formula}: {found.prediction:.4g} ({what}); usual {found.usual:.4g}",
    )


def _load(folder: str) -> TransferModel:
    from materialabs.transfer.models import load

    return load(folder)


def _conditions(given: list[str] | None) -> dict[str, float]:
    from materialabs.errors import InputError

    found: dict[str, float] = {}
    for text in given or []:
        name, _, value = text.rpartition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            name = ""
        if not name:
            raise InputError(f"A condition is NAME=NUMBER, not {text!r}.")
    return found


def _row(model: TransferModel, row: dict[str, Any], given: dict[str, float]) -> dict[str, Any]:
    """A row in the quantity's own unit, with warnings in place of the flag.

    The spread of a logarithm stays in decades and says so.
    """
    found = dict(row)
    if model.head.logarithm:
        found |= {name: 10.0 ** row[name] for name in ("mean", "low", "high")}
        found = {"std_log10" if name == "std" else name: value for name, value in found.items()}
    outside = ["unlike what was learned"] if found.pop("out_of_domain") else []
    found["warning"] = "; ".join([*outside, *model.unlearned_conditions(given)])
    return found


def _shown(model: TransferModel, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = {"id": "formula", "mean": f"{model.head.title} ({model.head.unit})",
             "low": "90 % from", "high": "to"}  # fmt: skip
    hidden = {"std", "std_log10", "in_domain"} | ({"id"} if rows and "rank" in rows[0] else set())
    return [
        {names.get(key, key): value for key, value in row.items() if key not in hidden}
        for row in rows
    ]


def _summary(model: TransferModel) -> str:
    from materialabs.networks.cards import summary_line

    return summary_line(model.card["metrics"])
