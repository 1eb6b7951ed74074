import pytest
from pydicom import Dataset
from pydicom.config import disable_value_validation

from survnode.node.intake.header_facts import SeriesFacts, facts_of, field_mm_of, text_of


def of(**attributes: object) -> SeriesFacts:
    ds = Dataset()
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return facts_of(ds)


def test_what_is_not_there_is_empty() -> None:
    assert of() == SeriesFacts()


def test_texts_come_without_their_padding() -> None:
    found = of(Modality="CT", BodyPartExamined="CHEST ", SeriesDescription=" lung", ContrastBolusAgent="x")
    assert (found.modality, found.body_part, found.series_description, found.contrast) == ("CT", "CHEST", "lung", True)


@pytest.mark.parametrize(
    ("age", "born", "studied", "years"),
    [
        ("063Y", "", "", 63.0),
        ("006M", "", "", 0.5),
        ("", "20000229", "20260228", 26.0),
        ("", "20000102", "20260101", 26.0),
        ("063", "19990101", "20090101", 10.0),
        ("", "20090101", "19990101", None),
        ("", "", "20260101", None),
        ("", "2000", "x", None),
    ],
)
def test_an_age_is_told_or_reckoned_or_unknown(age: str, born: str, studied: str, years: float | None) -> None:
    with disable_value_validation():
        found = of(PatientAge=age, PatientBirthDate=born, StudyDate=studied).age_years
    assert found == (None if years is None else pytest.approx(years, abs=0.01))


@pytest.mark.parametrize(
    ("character_set", "text"),
    [
        (b"ISO_IR 100", "Sch\xe4del"),
        (b"ISO_IR 192", "Schädel"),
        (b"nonsense", "Schädel"),
        (b"\\ISO 2022 IR 87", "胸部"),
    ],
)
def test_a_text_is_read_in_its_character_set(character_set: bytes, text: str) -> None:
    encodings = {b"ISO_IR 192": "utf-8", b"\\ISO 2022 IR 87": "iso2022_jp"}
    ds = Dataset()
    ds.add_new("SpecificCharacterSet", "CS", "")
    ds["SpecificCharacterSet"]._value = character_set  # as it is before pydicom converts it
    ds.add_new("SeriesDescription", "LO", "")
    ds["SeriesDescription"]._value = text.encode(encodings.get(character_set, "latin-1"))
    assert text_of(ds, "SeriesDescription") == text


def test_the_field_of_view_of_classic_and_enhanced_images_and_of_none() -> None:
    classic, enhanced = Dataset(), Dataset()
    classic.PixelSpacing, classic.Columns = [0.7, 0.5], 512
    measures, shared = Dataset(), Dataset()
    measures.PixelSpacing = [0.7, 0.9]
    shared.PixelMeasuresSequence = [measures]
    enhanced.SharedFunctionalGroupsSequence, enhanced.Columns = [shared], 512
    assert field_mm_of(classic) == 256
    assert field_mm_of(enhanced) == pytest.approx(460.8)
    assert field_mm_of(Dataset()) is None
