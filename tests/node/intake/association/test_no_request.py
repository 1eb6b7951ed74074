import pytest

from survnode.node.intake.association import no_request
from survnode.node.intake.association.no_request import QUIET_S, NoRequestReports
from survnode.node.state.records import AssociationEnd

REFUSED, NO_REQUEST = AssociationEnd.ADDRESS_REFUSED, AssociationEnd.NO_REQUEST


class Reports(NoRequestReports):
    """Reports of which this keeps the addresses, at a time that the test says."""

    def __init__(self) -> None:
        self.now, self.kept = 0.0, list[tuple[str, AssociationEnd]]()
        super().__init__(lambda address, end, _: self.kept.append((address, end)), lambda: self.now)


def test_of_an_address_that_does_the_same_again_and_again_one_a_minute_is_reported() -> None:
    reports = Reports()
    for reports.now in (0.0, 1.0, QUIET_S - 1, QUIET_S, QUIET_S + 1):
        reports.report("192.0.2.7", REFUSED)
    assert reports.kept == [("192.0.2.7", REFUSED)] * 2


def test_another_address_and_another_end_are_reported_beside_it() -> None:
    reports = Reports()
    for address, end in [("192.0.2.7", REFUSED), ("192.0.2.8", REFUSED), ("192.0.2.7", NO_REQUEST)] * 2:
        reports.report(address, end)
    assert reports.kept == [("192.0.2.7", REFUSED), ("192.0.2.8", REFUSED), ("192.0.2.7", NO_REQUEST)]


def test_no_more_addresses_are_remembered_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(no_request, "MAX_ADDRESSES", 2)
    reports = Reports()
    for number in (1, 2, 3, 1):  # the third makes it forget the first two
        reports.report(f"192.0.2.{number}", REFUSED)
    assert [address for address, _ in reports.kept] == [f"192.0.2.{number}" for number in (1, 2, 3, 1)]
