"""Train a source of calculated knowledge that ships with ``materialabs.transfer``.

``python scripts/train_transfer_source.py mp36k`` reads mp36k and the elastic moduli of binaries
from the reference data, learns all quantities, writes the folder ``mp36k`` and takes about four
minutes of one core; ``energy --only energy``, ``gap --only gap``, ``volume --only volume`` and
``moduli --only moduli`` learn one kind of quantity alone. ``--without TABLE COLUMN`` leaves out the
formulas of a table of measurements, to see what they matter; that is not shipped.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.calculated_quantities import PARTS, calculated, train

from materialabs.crystals.compositions import Compositions
from materialabs.networks.learning_tasks import Epoch
from materialabs.networks.table_rows import read_rows
from materialabs.transfer.folds import compound_labels


def main() -> None:
    """Train and write a source."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--without", nargs=2, action="append", default=[], metavar=("TABLE", "COLUMN"),
        help="leave out the formulas of a table; may be given several times",
    )  # fmt: skip
    parser.add_argument("--only", choices=sorted(PARTS), help="learn these quantities alone")
    arguments = parser.parse_args()
    known = [
        str(row[column])
        for table, column in arguments.without
        for row in read_rows(Path(table))
        if row.get(column)
    ]
    gone = compound_labels(Compositions.parse(known)) if known else []
    train(calculated(), arguments.out, without=gone, only=arguments.only, on_epoch=show)


def show(epoch: Epoch) -> None:
    """Print how far an epoch came."""
    print(epoch.number, round(epoch.loss, 4), epoch.validation, f"{epoch.seconds:.0f} s")


if __name__ == "__main__":
    main()
