"""What a series' headers say of it, as far as rules ask: read without trust, since a header may hold anything."""

import re
from dataclasses import dataclass
from datetime import date
from typing import Any

from pydicom import Dataset
from pydicom.charset import python_encoding
from pydicom.tag import Tag

DAYS_A_YEAR = 365.2425
_AGE = re.compile(r"(\d{1,3})([DWMY])")  # PS3.5 6.2, AS
_DAYS = {"D": 1.0, "W": 7.0, "M": DAYS_A_YEAR / 12, "Y": DAYS_A_YEAR}


@dataclass(frozen=True)
class SeriesFacts:
    """What one series says of itself, its study and its patient; empty where it says nothing.

    Parameters
    ----------
    age_years : of the patient at the study; None if it is not told
    contrast : a contrast agent is named
    """

    modality: str = ""
    body_part: str = ""
    series_description: str = ""
    protocol: str = ""
    study_description: str = ""
    age_years: float | None = None
    contrast: bool = False


FACT_KEYWORDS = (
    "SpecificCharacterSet",
    "StudyDate",
    "Modality",
    "StudyDescription",
    "SeriesDescription",
    "PatientBirthDate",
    "PatientAge",
    "ContrastBolusAgent",
    "BodyPartExamined",
    "ProtocolName",
)


def facts_of(ds: Dataset) -> SeriesFacts:
    """What the header of one instance says of its series."""
    return SeriesFacts(
        modality=text_of(ds, "Modality"),
        body_part=text_of(ds, "BodyPartExamined"),
        series_description=text_of(ds, "SeriesDescription"),
        protocol=text_of(ds, "ProtocolName"),
        study_description=text_of(ds, "StudyDescription"),
        age_years=_age_of(ds),
        contrast=bool(text_of(ds, "ContrastBolusAgent")),
    )


def text_of(ds: Dataset, keyword: str) -> str:
    """A text in its own character set, as far as that can be told; empty if there is none."""
    value = _raw(ds, keyword)
    if isinstance(value, bytes):
        value = _decoded(value, _raw(ds, "SpecificCharacterSet"))
    return str(value).strip(" \0") if value is not None else ""


def field_mm_of(ds: Dataset) -> float | None:
    """The width that an image shows; None if it is not told."""
    try:
        if "SharedFunctionalGroupsSequence" in ds:  # enhanced CT (PS3.3 C.7.6.16.2.1)
            shared = ds.SharedFunctionalGroupsSequence[0]
            return float(shared.PixelMeasuresSequence[0].PixelSpacing[1]) * int(ds.Columns)
        return float(ds.PixelSpacing[1]) * int(ds.Columns)
    except Exception:  # noqa: BLE001  a header may hold anything, and pydicom raises what it likes at it
        return None


def _raw(ds: Dataset, keyword: str) -> Any:
    """The bytes as they were read, or the value if it was converted already; pydicom warns when it converts."""
    tag = Tag(keyword)
    return ds.get_item(tag, keep_deferred=True).value if tag in ds else None


def _decoded(value: bytes, character_set: object) -> str:
    """A text by the last of its character sets, which extends the first (PS3.3 C.12.1.1.2), else as Latin-1."""
    names = character_set.decode("latin-1") if isinstance(character_set, bytes) else str(character_set or "")
    encoding = python_encoding.get(names.split("\\")[-1].strip(" \0"), "latin-1")
    try:
        return value.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return value.decode("latin-1")


def _age_of(ds: Dataset) -> float | None:
    """Patient's Age, or from the birth date to the study."""
    age = _AGE.fullmatch(text_of(ds, "PatientAge"))
    if age:
        return int(age[1]) * _DAYS[age[2]] / DAYS_A_YEAR
    born, studied = _date_of(text_of(ds, "PatientBirthDate")), _date_of(text_of(ds, "StudyDate"))
    return (studied - born).days / DAYS_A_YEAR if born and studied and born <= studied else None


def _date_of(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
