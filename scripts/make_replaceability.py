"""Write ``src/materialabs/generation/replaceability.npz`` from mp36k.jsonl.gz.

Run from the repository's root: ``python scripts/make_replaceability.py DATA_FOLDER``.
The table is derived from the Materials Project (CC BY 4.0; Jain et al., APL Mater. 1, 011002
(2013)); it holds exchange probabilities between elements, no crystal.
"""

import gzip
import json
import sys
from pathlib import Path

import numpy as np
from ase.geometry import cellpar_to_cell

from materialabs.crystals.batch import Crystals
from materialabs.elements import atomic_number
from materialabs.generation.mining import SHIPPED, mined_table


def crystals_of(path: Path) -> Crystals:
    """Read the crystals, nothing else."""
    lattices, fracs, numbers = [], [], []
    with gzip.open(path, "rt") as lines:
        for line in lines:
            row = json.loads(line)
            lattices.append(cellpar_to_cell(row["cell"]))
            fracs.append(row["frac"])
            numbers.append([atomic_number(symbol) for symbol in row["species"]])
    return Crystals.from_arrays(lattices, fracs, numbers)


if __name__ == "__main__":
    table = mined_table(crystals_of(Path(sys.argv[1]) / "structures" / "mp36k.jsonl.gz"))
    target = Path(__file__).parent.parent / "src/materialabs/generation" / SHIPPED
    np.savez_compressed(target, numbers=table.numbers, factors=table.factors.astype(np.float32))
    print(f"{target}: {len(table)} elements, {target.stat().st_size} bytes")
