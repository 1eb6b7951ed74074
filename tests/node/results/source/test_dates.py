from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from survnode.node.results.source.dates import UNKNOWN, newest_time

from ..conftest import Headers, a_header

TIMES: dict[str, tuple[dict[str, Any], datetime]] = {
    "the study's, if nothing else is known": (
        {"StudyDate": "20200102", "StudyTime": "030405"},
        datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC),
    ),
    "the newest of all": (
        {"StudyDate": "20200102", "StudyTime": "030405", "ContentDate": "20200103", "ContentTime": "0001"},
        datetime(2020, 1, 3, 0, 1, tzinfo=UTC),
    ),
    "midnight without a time": ({"SeriesDate": "20200102"}, datetime(2020, 1, 2, tzinfo=UTC)),
    "a leap second": (
        {"StudyDate": "20161231", "StudyTime": "235960.5"},
        datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC),
    ),
    "its own time zone": (
        {"StudyDate": "20200102", "StudyTime": "03", "TimezoneOffsetFromUTC": "+0530"},
        datetime(2020, 1, 2, 3, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    ),
    "old ways of writing": ({"StudyDate": "2020.01.02", "StudyTime": "03:04"}, datetime(2020, 1, 2, 3, 4, tzinfo=UTC)),
    "a time without a date": ({"StudyTime": "030405"}, UNKNOWN),
    "what is no date": ({"StudyDate": "soon", "TimezoneOffsetFromUTC": "CET"}, UNKNOWN),
    "nothing": ({}, UNKNOWN),
}


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
@pytest.mark.parametrize(("attributes", "expected"), TIMES.values(), ids=TIMES)
def test_results_without_a_job_bear_the_newest_time_that_the_source_names(
    attributes: dict[str, Any], expected: datetime
) -> None:
    found = newest_time([a_header(1, **attributes)])
    assert (found, found.utcoffset()) == (expected, expected.utcoffset())


def test_the_newest_image_counts_wherever_it_stands(headers: Headers) -> None:
    images = headers(5, StudyDate="20200102")
    images[2].AcquisitionDate, images[2].AcquisitionTime = "20200102", "1015"
    assert newest_time(images) == newest_time(images[::-1]) == datetime(2020, 1, 2, 10, 15, tzinfo=UTC)
