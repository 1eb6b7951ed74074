import pytest
from pydicom import Dataset

from survnode.node.results.documents.letterhead import UNPRINTABLE, is_printable, letterhead


def subject(**values: str) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def test_it_says_whom_a_page_concerns_as_the_header_does() -> None:
    patient, study = letterhead(
        subject(
            PatientName="Doe^Jane^Mary",
            PatientID="P-1",
            PatientBirthDate="19500102",
            PatientSex="F",
            AccessionNumber="A1",
            StudyDate="20250102",
            StudyDescription="CT chest",
        )
    )
    assert patient == "Patient: Doe, Jane Mary    ID: P-1    Born: 1950-01-02    Sex: F"
    assert study == "Accession number: A1    Study of 2025-01-02    CT chest"


def test_what_the_header_does_not_say_is_said_not_to_be_stated() -> None:
    assert letterhead(Dataset()) == (
        "Patient: not stated    ID: not stated    Born: not stated    Sex: not stated",
        "Accession number: not stated    Study of not stated",
    )


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("Παπαδόπουλος^Γιώργος", "Παπαδόπουλος, Γιώργος"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada, Tarou"),
        ("山田^太郎", UNPRINTABLE),
        ("قباني^لنزار", UNPRINTABLE),
    ],
)
def test_a_name_is_written_in_letters_that_the_page_has(name: str, written: str) -> None:
    assert letterhead(subject(PatientName=name))[0].startswith(f"Patient: {written}    ID")


@pytest.mark.parametrize(("text", "printable"), [("Müller", True), ("שלום", False), ("太", False), ("", True)])
def test_the_page_knows_its_letters(text: str, printable: bool) -> None:
    assert is_printable(text) is printable
