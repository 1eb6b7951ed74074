"""Which series was analysed, and what of the patient it shows: what a reader needs to know before the number."""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from pydicom import Dataset
from pydicom.config import disable_value_validation

from survnode.model.ct.coverage import Coverage
from survnode.model.ct.volume import Volume
from survnode.node.results.source.values import clean
from survnode.node.state.records import Completeness

IDENTIFIERS = ("PatientName", "PatientID", "OtherPatientNames", "PatientBirthDate")
DATES = ("AcquisitionDate", "SeriesDate", "ContentDate", "StudyDate")  # the first that is there is that of the CT


@dataclass(frozen=True)
class AnalysedSeries:
    """The one series of the study that a result speaks of.

    Parameters
    ----------
    uid : Series Instance UID
    number, description, date : as its headers say; None or empty if they do not
    positions_mm : (D) of its slices along the patient's axis, feet to head, in the CT's own coordinates (z in LPS)
    extent_mm : from the lower face of the lowest slice to the upper face of the highest
    coverage : what of the lungs it shows
    completeness : whether it came whole; None if no source was to be asked
    """

    uid: str
    number: int | None
    description: str
    date: date | None
    positions_mm: tuple[float, ...]
    extent_mm: float
    coverage: Coverage
    completeness: Completeness | None = None

    @property
    def name(self) -> str:
        """How a person finds it in the study; empty if it has no number."""
        return "" if self.number is None else f"series {self.number}"

    @property
    def label(self) -> str:
        """Its name, description and date."""
        description = f' "{self.description}"' if self.description else ""
        return f"CT {self.name or 'series'}{description}{f' of {self.date.isoformat()}' if self.date else ''}"

    @property
    def amount(self) -> str:
        """How much of the patient it shows."""
        return f"{len(self.positions_mm)} slices, {self.extent_mm:.0f} mm; lungs {self.coverage.volume_ml:.0f} ml"


def analysed_series(
    headers: Sequence[Dataset], volume: Volume, coverage: Coverage, completeness: Completeness | None = None
) -> AnalysedSeries:
    """What ``headers`` and ``volume`` say of the series that they are of."""
    first = volume.images[0].sop_instance_uid
    ds = next((ds for ds in headers if str(ds.SOPInstanceUID) == first), headers[0])
    axis = volume.directions[:, 2] * volume.spacing_mm[0]
    with disable_value_validation(), warnings.catch_warnings():  # pydicom's warnings quote values
        warnings.simplefilter("ignore")
        return AnalysedSeries(
            uid=str(ds.SeriesInstanceUID),
            number=_number(ds),
            description=_impersonal(ds, _text(ds, "SeriesDescription")),
            date=_date(ds),
            positions_mm=tuple(
                round(float(volume.origin_mm[2] + axis[2] * row), 1) + 0.0 for row in range(len(volume.images))
            ),
            extent_mm=len(volume.images) * volume.spacing_mm[0],
            coverage=coverage,
            completeness=completeness,
        )


def _text(ds: Dataset, keyword: str) -> str:
    try:
        return clean("LO", str(ds.get(keyword) or ""))[0] or ""
    except Exception:  # noqa: BLE001  a damaged element raises what it likes
        return ""


def _impersonal(ds: Dataset, text: str) -> str:
    """``text``, or nothing if it repeats what identifies the patient: it is written on pictures, and people type names.

    Two letters are no name: initials and parts such as "de" stand in too many words.
    """
    of_patient = " ".join(_text(ds, keyword) for keyword in IDENTIFIERS)
    parts = {part for part in re.split(r"[\W_]+", of_patient.casefold()) if len(part) > 2}
    return "" if parts & set(re.split(r"[\W_]+", text.casefold())) else text


def _number(ds: Dataset) -> int | None:
    text = _text(ds, "SeriesNumber")
    return int(text) if text.lstrip("+-").isdecimal() else None


def _date(ds: Dataset) -> date | None:
    for keyword in DATES:
        cleaned, _ = clean("DA", _text(ds, keyword))
        if cleaned is not None:
            return datetime.strptime(cleaned, "%Y%m%d").date()  # noqa: DTZ007  a date has no time zone
    return None
