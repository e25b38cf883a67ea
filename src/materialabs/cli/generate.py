"""``materialabs generate``: candidates by substitution, by random search, and formulas."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from materialabs.cli.options import Json, Rows
from materialabs.cli.output import note, print_json, print_rows

if TYPE_CHECKING:
    from materialabs.crystals.batch import Crystals
    from materialabs.generation.candidates import Candidates
    from materialabs.generation.filters import Filter

app = typer.Typer(no_args_is_help=True, help="Generate candidates.", rich_markup_mode=None)

Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", help="File to write, or a folder for one file a crystal."),
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same answer.", min=0)]
Without = Annotated[
    list[str] | None,
    typer.Option(help="Leave out: toxic, radioactive, or element symbols; may be repeated."),
]
Price = Annotated[
    float | None, typer.Option(help="Dearest raw elements, US dollars a kilogram.", min=0)
]


@app.command("saps")
def saps(
    seeds: Annotated[list[str], typer.Argument(help="Files of known crystals, the parents.")],
    count: Annotated[int, typer.Option("-n", "--count", help="Candidates at most.", min=1)] = 1000,
    threshold: Annotated[
        float, typer.Option(help="Least probability of a substitution.", min=0, max=1)
    ] = 1e-3,
    balanced: Annotated[
        bool, typer.Option(help="Only compositions whose observed oxidation states balance.")
    ] = False,
    known: Annotated[
        list[str] | None, typer.Option(help="Files of crystals whose formulas are not new.")
    ] = None,
    without: Without = None,
    dearest: Price = None,
    seed: Seed = 0,
    output: Output = None,
    rows: Rows = 20,
    json: Json = False,
) -> None:
    """Substitute ions of known crystals, whole orbits and single sites, most probable first."""
    from materialabs.cli.inputs import read_crystals
    from materialabs.crystals.files.writing import require_writable
    from materialabs.generation.balance import StrictBalance
    from materialabs.generation.saps import saps as generate

    if output is not None:
        require_writable(output)
    wanted = _filters(without, dearest)
    parents, report = read_crystals(seeds)
    exclude = _formulas_in(known)
    made = generate(
        parents,
        threshold=threshold,
        charge_balance=StrictBalance() if balanced else None,
        exclude=exclude,
        limit=count,
        seed=seed,
    )
    if report.refused:
        note(report.table())
    _give(_filtered(made, wanted), output, rows, json)


@app.command("airss")
def airss(
    formula: Annotated[str, typer.Argument(help="Formula with whole amounts, such as MgSiO3.")],
    count: Annotated[int, typer.Option("-n", "--count", help="Crystals to draw.", min=1)] = 100,
    cells: Annotated[
        list[int] | None, typer.Option(help="Formula units in the primitive cell; may be repeated.")
    ] = None,
    space_group: Annotated[
        list[int] | None, typer.Option(help="Space groups to draw from; may be repeated.")
    ] = None,
    usual: Annotated[
        float,
        typer.Option(help="Part (0 to 1) whose space group is as frequent as in known compounds."),
    ] = 0.0,
    pressure: Annotated[float, typer.Option(help="GPa.")] = 0.0,
    distances: Annotated[
        str | None, typer.Option(help="Smallest distances: '1.5' or 'Li-O=1.6, O-O=2.2'.")
    ] = None,
    volumes: Annotated[
        tuple[float, float], typer.Option(help="Range of volume over the estimate.")
    ] = (0.4, 1.2),
    seed: Seed = 0,
    output: Output = None,
    rows: Rows = 20,
    json: Json = False,
) -> None:
    """Draw random sensible crystals of a formula in any of the 230 space groups."""
    from materialabs.cli.inputs import settings
    from materialabs.crystals.files.writing import require_writable
    from materialabs.generation.airss import airss_candidates

    if output is not None:
        require_writable(output)
    made = airss_candidates(
        formula,
        count,
        cells=cells,
        space_groups=space_group,
        usual=usual,
        volume_factors=volumes,
        minimum_distances=distances,
        pressure=pressure,
        seed=seed,
        threads=settings().threads,
    )
    _give(made, output, rows, json)


@app.command("formulas")
def formulas(
    system: Annotated[str, typer.Argument(help="Chemical system, such as Li-P-S.")],
    atoms: Annotated[int, typer.Option(help="Largest number of atoms.", min=1)] = 12,
    rule: Annotated[
        str, typer.Option(help="Oxidation states: relaxed, strict or none.")
    ] = "relaxed",
    complete: Annotated[
        bool, typer.Option(help="Only formulas that hold every element of the system.")
    ] = False,
    rows: Rows = 0,
    json: Json = False,
) -> None:
    """List the reduced formulas of a chemical system that a rule on oxidation states allows."""
    from materialabs.crystals.formula_texts import parse_system
    from materialabs.errors import InputError
    from materialabs.generation.balance import AnyFormula, RelaxedBalance, StrictBalance
    from materialabs.generation.formulas import formulas as enumerate_formulas

    rules = {"relaxed": RelaxedBalance, "strict": StrictBalance, "none": AnyFormula}
    if rule not in rules:
        raise InputError(f"A rule is {', '.join(rules)}, not {rule!r}.")
    elements = parse_system(system)
    found = enumerate_formulas(
        system, atoms=atoms, rule=rules[rule](), fewest_elements=len(elements) if complete else 1
    )
    names = found.reduced_formulas()
    if json:
        print_json({"system": system, "atoms": atoms, "rule": rule, "formulas": names})
        return
    shown = names if rows == 0 else names[:rows]
    typer.echo("\n".join(shown))
    note(f"{len(names)} formulas of {system} with up to {atoms} atoms, rule {rule}.")


def _formulas_in(files: list[str] | None) -> list[str]:
    if not files:
        return []
    from materialabs.cli.inputs import read_crystals

    return sorted(set(read_crystals(files)[0].reduced_formulas()))


def _filters(without: list[str] | None, dearest: float | None) -> list[Filter]:
    """The filters that the user asked for."""
    from materialabs.generation import filters

    chosen: list[Filter] = []
    symbols = []
    for word in without or []:
        if word == "toxic":
            chosen.append(filters.WithoutToxicElements())
        elif word == "radioactive":
            chosen.append(filters.WithoutRadioactiveElements())
        else:
            symbols.append(word)
    if symbols:
        chosen.append(filters.WithoutElements(tuple(symbols)))
    if dearest is not None:
        chosen.append(filters.LargestPrice(dearest))
    return chosen


def _filtered(made: Candidates, wanted: list[Filter]) -> Candidates:
    """What the filters keep."""
    from materialabs.generation.candidates import Candidates
    from materialabs.generation.filters import apply

    if not wanted:
        return made
    crystals, report = apply(wanted, made.crystals)
    note(str(report))
    return Candidates(crystals, made.reasons)


def _give(made: Candidates, output: Path | None, rows: int, json: bool) -> None:
    """Print candidates and write them where the user wants them."""
    table = _rows(made.crystals if rows == 0 or json else made.crystals[:rows])
    if json:
        print_json(
            {"count": len(made), "candidates": table, "reasons": dict(made.reasons.most_common())}
        )
    else:
        print_rows(table, title=f"{len(made)} candidates")
        for reason, number in made.reasons.most_common(5):
            note(f"{number} x {reason}")
    if output is None:
        note("Nothing was written; -o FILE keeps the candidates.")
        return
    from materialabs.cli.inputs import write_crystals

    note(f"{len(made)} candidates written to {write_crystals(made.crystals, output)}")


LINEAGE = ("parent", "substitution", "probability", "space_group", "volume_factor")
"""Columns of lineage that are printed where a generator gives them."""


def _rows(crystals: Crystals) -> list[dict[str, object]]:
    present = [name for name in LINEAGE if name in crystals.columns]
    columns = {name: crystals.columns[name].tolist() for name in present}
    formulas_ = crystals.reduced_formulas()
    return [
        {
            "id": name,
            "formula": formula,
            "atoms": int(count),
            **{column: values[place] for column, values in columns.items()},
        }
        for place, (name, formula, count) in enumerate(
            zip(crystals.ids(), formulas_, crystals.counts, strict=True)
        )
    ]
