"""The OPTIMADE reference server's own path for a query: its parser, its translation, its mongomock.

Run by ``benchmarks.store`` with the interpreter of ``.validator-venv``, where it is installed.
Reads a file of documents (JSON lines) and a file of questions; prints seconds and counts as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import mongomock
from optimade.filterparser import LarkParser
from optimade.filtertransformers.mongo import MongoTransformer

PAGE = 20


def main() -> None:
    """Fill a collection, ask each question a few times."""
    documents, questions, repeats = sys.argv[1], sys.argv[2], int(sys.argv[3])
    collection: Any = mongomock.MongoClient().db.structures
    with Path(documents).open() as lines:
        collection.insert_many([json.loads(line) for line in lines])
    parser = LarkParser(version=(1, 0, 1), variant="default")
    found = {}
    for name, question in json.loads(Path(questions).read_text()).items():
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            query = MongoTransformer().transform(parser.parse(question["filter"]))
            cursor = collection.find(query)
            if question["sort"]:
                cursor = cursor.sort([tuple(question["sort"])])
            page = list(cursor.limit(PAGE))
            count = collection.count_documents(query)
            seconds.append(time.perf_counter() - start)
        found[name] = {"seconds": min(seconds), "count": count, "page": len(page)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
