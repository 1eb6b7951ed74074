"""When the source says that it was made: it dates results that no job dates."""

import warnings
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from pydicom import Dataset
from pydicom.config import disable_value_validation

from survnode.node.results.source.subject import time_zone
from survnode.node.results.source.values import clean

PAIRS = (
    ("AcquisitionDate", "AcquisitionTime"), ("ContentDate", "ContentTime"), ("SeriesDate", "SeriesTime"),
    ("StudyDate", "StudyTime"),
)  # fmt: skip
UNKNOWN = datetime(1970, 1, 1, tzinfo=UTC)


def newest_time(headers: Iterable[Dataset]) -> datetime:
    """The latest date and time that ``headers`` name, aware; `UNKNOWN` if they name none.

    Where the source names no time zone its time stands as it is, under UTC.
    """
    with disable_value_validation(), warnings.catch_warnings():  # pydicom's warnings quote values
        warnings.simplefilter("ignore")
        return max((time for ds in headers for time in _times(ds)), default=UNKNOWN)


def _times(ds: Dataset) -> Iterator[datetime]:
    zone = time_zone(str(ds.get("TimezoneOffsetFromUTC") or "")) or UTC
    for of_date, of_time in PAIRS:
        date, _ = clean("DA", str(ds.get(of_date) or ""))
        time, _ = clean("TM", str(ds.get(of_time) or ""))
        if date is not None:
            yield _moment(date, time or "").replace(tzinfo=zone)


def _moment(date: str, time: str) -> datetime:
    """A date and a time of DICOM, to the second; a leap second is the one before it."""
    hour, minute, second = (int(time[at : at + 2] or 0) for at in (0, 2, 4))
    return datetime(int(date[:4]), int(date[4:6]), int(date[6:]), hour, minute, min(second, 59), tzinfo=UTC)
