import pytest

from survnode.train.cohorts.errors import ClinicalTableRefused, DescriptionRefused, TableFault


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (TableFault(7, "time", "P1", "must be a number"), "row 7, column 'time': must be a number"),
        (TableFault(7, "", "P1", "names nobody"), "row 7: names nobody"),
        (TableFault(None, "event", "", "is missing"), "column 'event': is missing"),
    ],
)
def test_a_fault_says_where_it_is(fault: TableFault, words: str) -> None:
    assert str(fault) == words


def test_every_fault_is_listed_below_their_number() -> None:
    faults = [TableFault(2, "time", "P1", "is negative"), TableFault(3, "time", "P2", "is negative")]
    assert str(ClinicalTableRefused("table.csv", faults)).splitlines() == [
        "table.csv has 2 faults:",
        "  row 2, column 'time': is negative",
        "  row 3, column 'time': is negative",
    ]
    refused = DescriptionRefused("mine.toml", ["name is missing"])
    assert str(refused).splitlines() == ["The cohort mine.toml has 1 fault:", "  name is missing"]
    assert refused.faults == ("name is missing",)


def test_no_patient_stands_in_the_message() -> None:
    assert "SECRET-1" not in str(ClinicalTableRefused("table.csv", [TableFault(2, "time", "SECRET-1", "is negative")]))
