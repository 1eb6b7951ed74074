"""One value of a foreign header -> the same value as the standard allows it, and the rule that it broke.

Pure: a value goes in, a value and a rule come out. ``None`` means that nothing is left to write.
"""

import re
import unicodedata
from datetime import datetime

MAX_CHARS = {"SH": 16, "LO": 64}
MAX_GROUP_CHARS = 64  # of each component group of a person's name (PS3.5 6.2)
PATTERNS = {
    "AS": (r"\d{3}[DWMY]", "an age"),
    "DS": (r"(?=.{1,16}$)[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", "a decimal string"),
}
CODES = frozenset({"SH"})  # shortened, a code value would become another's

Cleaned = tuple[str | None, str | None]  # the value, and the rule that it broke

_TIME = re.compile(r"([01]\d|2[0-3])(?:([0-5]\d)(?:([0-5]\d|60)(\.\d{1,6})?)?)?")
_DATES = ("%Y%m%d", "%Y.%m.%d", "%Y-%m-%d", "%Y/%m/%d")


def clean(vr: str, value: str, *, shorten: bool = True) -> Cleaned:
    """``value`` as the value representation ``vr`` allows it (PS3.5 6.2), and the rule that it broke if any.

    Parameters
    ----------
    shorten : False keeps a text that is too long, whole
    """
    stripped = value.strip(" \0")
    if not stripped:
        return None, None
    if vr in PATTERNS:
        pattern, what = PATTERNS[vr]
        return (stripped, None) if re.fullmatch(pattern, stripped) else (None, f"not {what}: left out")
    if vr in _REWRITERS:
        return _REWRITERS[vr](stripped)
    return _text(vr, stripped, shorten=shorten)


def _text(vr: str, value: str, *, shorten: bool) -> Cleaned:
    printable = _printable(value).replace("\\", "/").strip()
    rule = None if printable == value else "characters that the VR forbids: removed"
    if len(printable) <= MAX_CHARS[vr]:
        return printable or None, rule
    if not shorten:
        return printable, f"longer than {MAX_CHARS[vr]} characters: kept, since another identifier would be another's"
    if vr in CODES:
        return None, f"longer than {MAX_CHARS[vr]} characters: left out, a shorter identifier would be another one"
    return printable[: MAX_CHARS[vr]].strip(), f"longer than {MAX_CHARS[vr]} characters: shortened"


def _person_name(value: str) -> Cleaned:
    """Three groups at most (alphabetic, ideographic, phonetic) of five components and 64 characters at most."""
    groups = _printable(value).replace("\\", " ").split("=")[:3]
    groups = ["^".join(group.split("^")[:5])[:MAX_GROUP_CHARS] for group in groups]
    name = "=".join(groups)
    return name.strip() or None, None if name == value else "not a person's name: shortened or characters removed"


def _code_string(value: str) -> Cleaned:
    upper = value.upper()
    if not re.fullmatch(r"[A-Z0-9_ ]{1,16}", upper):
        return None, "not a code string: left out"
    return upper, None if upper == value else "not a code string: rewritten"


def _date(value: str) -> Cleaned:
    for form in _DATES:
        try:
            date = datetime.strptime(value, form).strftime("%Y%m%d")  # noqa: DTZ007  a date has no time zone
        except ValueError:
            continue
        return date.rjust(8, "0"), None if date == value else "not a date: rewritten"
    return None, "not a date: left out"


def _time(value: str) -> Cleaned:
    digits = value.replace(":", "")
    if not _TIME.fullmatch(digits):
        return None, "not a time: left out"
    return digits, None if digits == value else "not a time: rewritten"


def _printable(value: str) -> str:
    """``value`` without control characters and without what UTF-8 cannot write."""
    return "".join(char for char in value if unicodedata.category(char) not in {"Cc", "Cs"})


_REWRITERS = {"CS": _code_string, "PN": _person_name, "DA": _date, "TM": _time}
