"""What is wrong with a value that pydantic refused, in words that need no knowledge of pydantic.

Configuration, descriptions of cohorts and settings of training are read by it, and whoever writes one is told so.
"""

from pydantic_core import ErrorDetails

_WORDS = {
    "extra_forbidden": "is not a key of this section",
    "missing": "is required",
    "too_short": "must have at least one item",
    "string_type": "must be a text in quotes",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "path_type": "must be a path in quotes",
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "ip_any_network": 'must be an address or a network, as in "192.0.2.0/24"',
}


def key_of(fault: ErrorDetails) -> str:
    """Where it is, its parts joined by dots; ``file`` for the whole."""
    return ".".join(str(part) for part in fault["loc"] if part != "[key]") or "file"


def rule_of(fault: ErrorDetails) -> str:
    """What is expected there."""
    if fault["type"] == "tuple_type" and isinstance(fault["input"], dict):
        return f"must be a list: each of its tables begins with [[{fault['loc'][-1]}]]"
    words = fault["msg"].removeprefix("Value error, ").replace("Input should be ", "must be ")
    return _WORDS.get(fault["type"], words)
