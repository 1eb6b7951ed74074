from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.config import disable_value_validation

from survnode.model.ct.arrangement import SourceImage
from survnode.model.ct.volume import Volume
from survnode.node.results.source.series import AnalysedSeries, analysed_series

from ..conftest import COVERAGE, a_header, a_series


def volume(direction: float = 1.0) -> Volume:
    images = tuple(SourceImage("1.2", f"1.2.3.4.{number}", number) for number in (1, 2, 3))
    directions = np.diag([1.0, 1.0, direction])
    return Volume(np.zeros((3, 2, 2), np.float32), (2.5, 1.0, 1.0), images, directions, np.array([0, 0, -212.5]))


def described(**attributes: object) -> AnalysedSeries:
    headers: list[Dataset] = [a_header(number, **attributes) for number in (3, 1, 2)]
    return analysed_series(headers, volume(), COVERAGE)


def test_it_is_known_by_number_description_and_date() -> None:
    found = described(SeriesNumber=4, SeriesDescription="Thorax 2.5", AcquisitionDate="20250102", StudyDate="20250101")
    assert (found.uid, found.number, found.date) == ("1.2.3.4", 4, date(2025, 1, 2))
    assert (found.name, found.label) == ("series 4", 'CT series 4 "Thorax 2.5" of 2025-01-02')


def test_slices_have_their_place_and_the_series_its_length() -> None:
    found = described()
    assert (found.positions_mm, found.extent_mm) == ((-212.5, -210.0, -207.5), 7.5)
    assert found.amount == "3 slices, 8 mm; lungs 4600 ml"


def test_what_the_headers_do_not_say_is_not_invented() -> None:
    with disable_value_validation():
        found = described(StudyDate="soon")
    assert (found.name, found.label, found.description, found.date) == ("", "CT series", "", None)


@pytest.mark.parametrize("value", ["", "not a number"])
def test_a_number_that_is_none_is_none(value: str) -> None:
    ds = a_header(1)
    ds.add_new("SeriesNumber", "LO", value)
    assert analysed_series([ds], volume(), COVERAGE).number is None


def test_a_series_without_a_date_has_a_shorter_label() -> None:
    assert replace(a_series(), date=None).label == 'CT series 3 "CHEST"'


@pytest.mark.parametrize("typed", ["Thorax DOE 2.5", "doe_jane", "4711", "born 19500317"])
def test_a_description_that_names_the_patient_is_not_repeated(typed: str) -> None:
    patient = {"PatientName": "Doe^Jane", "PatientID": "4711", "PatientBirthDate": "19500317"}
    assert described(SeriesDescription=typed, **patient).description == ""


def test_a_part_of_a_word_is_no_name() -> None:
    assert described(SeriesDescription="Does 2.5 de", PatientName="Doe^Jo^de").description == "Does 2.5 de"
