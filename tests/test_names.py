"""A name means one thing in the whole project."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_no_public_class_name_is_defined_twice() -> None:
    places = defaultdict(list)
    for package in ("model", "node", "train"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for item in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(item, ast.ClassDef) and not item.name.startswith("_"):
                    places[item.name].append(str(path.relative_to(ROOT)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
