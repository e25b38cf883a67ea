"""Write ``src/materialabs/generation/space_group_counts.json`` from mp36k.jsonl.gz.

Run from the repository's root: ``python scripts/count_space_groups.py DATA_FOLDER``. The table is
derived from the Materials Project (CC BY 4.0; Jain et al., APL Mater. 1, 011002 (2013)); it says
how many compounds each space group has, no more.
"""

import json
import sys
from pathlib import Path

import numpy as np

from materialabs.crystals.files import read
from materialabs.crystals.symmetry import primitive, symmetry
from materialabs.generation.space_group_shares import SHIPPED, SIZES
from materialabs.generation.wyckoff import GROUPS

if __name__ == "__main__":
    crystals = read(str(Path(sys.argv[1]) / "structures" / "mp36k.jsonl.gz"), progress=False)
    compounds = crystals[np.flatnonzero(np.diff(crystals.compositions.offsets) > 1)]
    numbers, atoms = symmetry(compounds).number, primitive(compounds).counts
    bins = np.searchsorted(SIZES, atoms)
    counts = [
        np.bincount(numbers[bins == size], minlength=GROUPS + 1)[1:].tolist()
        for size in range(len(SIZES) + 1)
    ]
    target = Path(__file__).parent.parent / "src/materialabs/generation" / SHIPPED
    lines = ",\n".join(f"  {json.dumps(row)}" for row in counts)
    target.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    print(f"{target}: {sum(map(sum, counts))} compounds, {target.stat().st_size} bytes")
