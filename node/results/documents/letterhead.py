"""Whom a printed page concerns, as its DICOM header says: a page without that cannot be filed."""

import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from matplotlib import get_data_path
from matplotlib.ft2font import FT2Font
from pydicom import Dataset
from pydicom.valuerep import PersonName

UNPRINTABLE = "(in letters that this page cannot show: see the DICOM header)"


def letterhead(attributes: Dataset) -> tuple[str, str]:
    """Two lines: the patient, and the study; ``attributes`` as in `Subject`."""
    patient = (
        f"Patient: {_name(attributes)}",
        f"ID: {_text(attributes, 'PatientID')}",
        f"Born: {_date(attributes, 'PatientBirthDate')}",
        f"Sex: {_text(attributes, 'PatientSex')}",
    )
    study = (
        f"Accession number: {_text(attributes, 'AccessionNumber')}",
        f"Study of {_date(attributes, 'StudyDate')}",
        _text(attributes, "StudyDescription", absent=""),
    )
    return "    ".join(patient), "    ".join(part for part in study if part)


def _name(attributes: Dataset) -> str:
    """The first of the ways to write it that the page has the letters for."""
    value = attributes.get("PatientName")
    if not value:
        return "not stated"
    return next((form for form in _forms(PersonName(str(value))) if is_printable(form)), UNPRINTABLE)


def _forms(name: PersonName) -> Iterator[str]:
    for group in (name.alphabetic, name.ideographic, name.phonetic):
        family, _, given = group.partition("^")
        form = ", ".join(part for part in (family, " ".join(given.replace("^", " ").split())) if part)
        if form:
            yield form


def _text(attributes: Dataset, keyword: str, absent: str = "not stated") -> str:
    value = attributes.get(keyword)
    text = "\\".join(value) if isinstance(value, list) else str(value or "")
    if not text:
        return absent
    return text if is_printable(text) else UNPRINTABLE


def _date(attributes: Dataset, keyword: str) -> str:
    date = str(attributes.get(keyword) or "")
    return f"{date[:4]}-{date[4:6]}-{date[6:]}" if len(date) == 8 else "not stated"


def is_printable(text: str) -> bool:
    """Whether the page's font has every letter of ``text``, and they stand as they come: from left to right."""
    leftwards = any(unicodedata.bidirectional(char) in {"R", "AL", "AN"} for char in text)
    return not leftwards and all(_font().get_char_index(ord(char)) for char in text)


@cache
def _font() -> FT2Font:
    """DejaVu Sans, which matplotlib brings along and draws with."""
    return FT2Font(str(Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")))
