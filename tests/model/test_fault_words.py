from pathlib import Path

import pytest
from pydantic import BaseModel, Field, ValidationError

from survnode.model.fault_words import key_of, rule_of


class Part(BaseModel, extra="forbid"):
    number: int = Field(default=1, ge=1)
    share: float = 0.5
    flag: bool = False
    folder: Path = Path()
    numbers: dict[int, int] = {}


class Whole(BaseModel, extra="forbid"):
    name: str
    parts: tuple[Part, ...] = ()


@pytest.mark.parametrize(
    ("values", "key", "rule"),
    [
        ({}, "name", "is required"),
        ({"name": 1}, "name", "must be a text in quotes"),
        ({"name": "a", "colour": 1}, "colour", "is not a key of this section"),
        ({"name": "a", "parts": {"number": 1}}, "parts", "must be a list: each of its tables begins with [[parts]]"),
        ({"name": "a", "parts": ["b"]}, "parts.0", "must be a table"),
        ({"name": "a", "parts": [{"number": 1.5}]}, "parts.0.number", "must be a whole number"),
        ({"name": "a", "parts": [{"number": 0}]}, "parts.0.number", "must be greater than or equal to 1"),
        ({"name": "a", "parts": [{"share": "x"}]}, "parts.0.share", "must be a number"),
        ({"name": "a", "parts": [{"flag": "x"}]}, "parts.0.flag", "must be true or false"),
        ({"name": "a", "parts": [{"folder": 7}]}, "parts.0.folder", "must be a path in quotes"),
        ({"name": "a", "parts": [{"numbers": {"x": 1}}]}, "parts.0.numbers.x", "must be a whole number"),
        ("a", "file", "must be a table"),
    ],
)
def test_a_fault_is_told_in_plain_words_and_where_it_is(values: object, key: str, rule: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Whole.model_validate(values)
    (fault,) = refused.value.errors()
    assert (key_of(fault), rule_of(fault)) == (key, rule)
