import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from survnode.node.contexts import ContextResult, Negotiated
from survnode.node.intake.association.log import MAX_REJECTED_NAMED, AssociationLog, Tally, logged, rejection_of
from survnode.node.state.database import Database, fetch
from survnode.node.state.records import Association, AssociationEnd
from survnode.node.state.tables import associations


@pytest.fixture
def tally() -> Tally:
    times = iter([100.0, 102.5])
    return Tally("192.0.2.7", clock=lambda: next(times))


def test_a_tally_counts_what_happened(tally: Tally) -> None:
    tally.requested("PACS", "SURVNODE")
    tally.answered("1.2.840.10008.5.1.4.1.1.2", Negotiated(ContextResult.ACCEPTED, "1.2.840.10008.1.2"))
    tally.answered("1.2.840.10008.5.1.4.1.2.2.1", Negotiated(ContextResult.CLASS_UNSUPPORTED))
    tally.stored(100, 0x0000)
    tally.stored(20, 0xA700)
    tally.echoed()
    tally.ends(AssociationEnd.RELEASED)
    tally.ends(AssociationEnd.CONNECTION_LOST)  # as every released one does
    assert tally.record() == Association(
        peer="192.0.2.7",
        calling_ae_title="PACS",
        called_ae_title="SURVNODE",
        began_at=100.0,
        ended_at=102.5,
        end=AssociationEnd.RELEASED,
        contexts_accepted=1,
        contexts_rejected=1,
        rejected=("Study Root Query/Retrieve Information Model - FIND: this SOP class is not accepted",),
        echoes=1,
        images=1,
        refused=1,
        size_bytes=120,
    )


def test_a_connection_without_a_request_and_one_that_was_cut_are_told_apart(tally: Tally) -> None:
    assert tally.record().end is AssociationEnd.NO_REQUEST
    cut = Tally("192.0.2.7")
    cut.requested("PACS", "SURVNODE")
    assert cut.record().end is AssociationEnd.CONNECTION_LOST


def test_of_many_rejected_contexts_the_first_are_named_and_all_are_counted(tally: Tally) -> None:
    for number in range(128):
        tally.answered(f"1.2.3.{number}", Negotiated(ContextResult.CLASS_UNSUPPORTED))
    record = tally.record()
    assert (record.contexts_rejected, len(record.rejected)) == (128, MAX_REJECTED_NAMED)


@pytest.mark.parametrize(
    ("called", "calling", "full", "word"),
    [
        ("OTHER", "PACS", False, "OTHER"),
        ("CHEST", "STRANGER", False, "calling_ae_titles"),
        ("CHEST", "PACS", True, "in use"),
        ("CHEST", "PACS", False, None),
    ],
)
def test_why_an_association_is_rejected(called: str, calling: str, full: bool, word: str | None) -> None:
    reason = rejection_of(called, calling, ours=("SURVNODE", "CHEST"), allowed=("PACS",), full=full)
    assert reason is None if word is None else word in (reason or "")


@pytest.mark.parametrize(
    ("change", "level"),
    [
        ({"end": AssociationEnd.RELEASED}, "info"),
        ({"end": AssociationEnd.REJECTED}, "warning"),
        ({"end": AssociationEnd.RELEASED, "refused": 1}, "warning"),
        ({"end": AssociationEnd.RELEASED, "rejected": ("x",)}, "warning"),
    ],
)
def test_what_a_person_may_have_to_look_at_is_a_warning(change: dict[str, object], level: str) -> None:
    with capture_logs() as events:
        logged(Association("p", "a", "b", 1.0, 2.0, **change))  # type: ignore[arg-type]
    (event,) = events
    assert (event["event"], event["log_level"], event["seconds"]) == ("association.ended", level, 1.0)


def test_every_association_gets_its_row(database: Database) -> None:
    log = AssociationLog(database)
    log.start()
    records = [Association(f"192.0.2.{n}", "a", "b", 1.0, 2.0, AssociationEnd.RELEASED) for n in range(50)]
    for record in records:
        log.add(record)
    log.close()
    with database.reading() as connection:
        found = fetch(connection, Association, select(associations).order_by(associations.c.id))
    assert found == records


def test_a_flood_that_the_disk_cannot_follow_is_logged_and_fills_no_memory(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("survnode.node.intake.association.log.MAX_WAITING", 2)
    log = AssociationLog(database)  # not started: nothing is written
    with capture_logs() as events:
        for _ in range(3):
            log.add(Association("p", "a", "b", 1.0, 2.0, AssociationEnd.RELEASED))
    assert [event["event"] for event in events].count("association.not_recorded") == 1
    log.close()
