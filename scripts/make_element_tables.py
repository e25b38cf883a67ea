"""Write src/materialabs/elements.json: one table of numbers by atomic number, with sources.

Run with ``python scripts/make_element_tables.py``; the file is committed.
"""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path

from pymatgen.core import Element

TARGET = Path(__file__).parent.parent / "src" / "materialabs" / "elements.json"
warnings.simplefilter("ignore")


def main() -> None:
    elements = [Element.from_Z(number) for number in range(1, 119)]
    electronegativity = [None if math.isnan(float(e.X)) else float(e.X) for e in elements]
    document = {
        "symbols": [e.symbol for e in elements],
        "electronegativity": {
            "unit": "Pauling scale",
            "source": "Pauling electronegativities as tabulated by pymatgen 2026.10 "
            "(CRC Handbook of Chemistry and Physics)",
            "values": electronegativity,
        },
    }
    TARGET.write_text(json.dumps(document, indent=0) + "\n")


if __name__ == "__main__":
    main()
