from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
    SecondaryCaptureImageStorage,
)
from sqlalchemy import select
from structlog.testing import capture_logs

from survnode.model.errors import Reason
from survnode.node import errors
from survnode.node.contexts import RESULT_TRANSFER_SYNTAXES, Answer, Contexts
from survnode.node.delivery import sender
from survnode.node.delivery.destination import Destination
from survnode.node.delivery.outbox import Outbox
from survnode.node.delivery.profile import Profiles
from survnode.node.delivery.sender import Outgoing, SendOutcome
from survnode.node.intake.receiver import Listening, Receiver
from survnode.node.results.bundle import not_analysed
from survnode.node.results.envelope import ResultObject, SourceStudy
from survnode.node.roles import ResultRole
from survnode.node.state.database import Database, fetch
from survnode.node.state.records import Delivery, DeliveryState, Job, RecordedObject
from survnode.node.state.tables import deliveries, results

from ..results.conftest import a_header, a_run

FinishJob = Callable[..., Job]

AUTO = Destination("pacs", "PACS", "127.0.0.1", 104)
FIXED = Destination("pacs", "PACS", "127.0.0.1", 104, report_sop_class=EnhancedSRStorage)


class FakePeer:
    """Accepts ``classes``, or cannot be reached."""

    def __init__(self, *classes: str) -> None:
        self.classes = classes
        self.probed = 0

    def probe(self, _: Destination) -> tuple[str, ...]:
        self.probed += 1
        if not self.classes:
            raise errors.DestinationUnreachable("pacs cannot be reached.")
        return self.classes


@pytest.fixture
def times() -> list[float]:
    return [10.0]


@pytest.fixture
def profiles(database: Database, tmp_path: Path, times: list[float]) -> Profiles:
    return Profiles(database, tmp_path, clock=lambda: times[-1])


@pytest.fixture
def outbox(database: Database, tmp_path: Path, times: list[float]) -> Outbox:
    return Outbox(database, tmp_path, clock=lambda: times[-1], random=lambda: 0.0)


@pytest.fixture
def job(finish_job: FinishJob, tmp_path: Path) -> Job:
    """A job whose report is on disk."""
    job = finish_job("1.2.3", "pacs", "other")
    write_report(tmp_path / f"{job.id}/report.dcm", a_refusal())
    return job


def a_refusal() -> Dataset:
    """A whole report."""
    (report,) = not_analysed(SourceStudy((a_header(1),)), Reason.NO_LUNGS, "", a_run(), None)
    return report.dataset


def write_report(path: Path, ds: Dataset) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(ResultObject(ResultRole.REPORT, ds).encode())


def reports(database: Database, destination: str = "pacs") -> list[tuple[Delivery, RecordedObject]]:
    """What a destination gets, or got, as a report."""
    mine = select(deliveries).where(deliveries.c.destination == destination)
    with database.reading() as connection:
        of_id = {result.id: result for result in fetch(connection, RecordedObject, select(results))}
        found = [(delivery, of_id[delivery.result_id]) for delivery in fetch(connection, Delivery, mine)]
    return [(delivery, result) for delivery, result in found if result.role is ResultRole.REPORT]


@pytest.mark.usefixtures("job")
def test_a_report_is_sent_in_the_best_class_that_a_destination_accepts(
    profiles: Profiles, database: Database, tmp_path: Path
) -> None:
    assert profiles.suit(AUTO, FakePeer(ComprehensiveSRStorage, EnhancedSRStorage).probe) == 1
    ((delivery, result),) = reports(database)
    ds = dcmread(tmp_path / result.path)
    assert (delivery.state, result.sop_class_uid) == (DeliveryState.WAITING, ComprehensiveSRStorage)
    assert (ds.SOPClassUID, ds.SOPInstanceUID) == (result.sop_class_uid, result.sop_instance_uid)
    assert ds.file_meta.MediaStorageSOPInstanceUID == result.sop_instance_uid
    ((_, other),) = reports(database, "other")
    assert (other.sop_class_uid, other.id) == (Comprehensive3DSRStorage, result.variant_of)
    assert other.sop_instance_uid != result.sop_instance_uid


@pytest.mark.usefixtures("job")
def test_a_destination_that_accepts_the_best_class_gets_what_the_job_made(
    profiles: Profiles, database: Database
) -> None:
    before = reports(database)
    assert profiles.suit(AUTO, FakePeer(*ResultRole.REPORT.sop_classes).probe) == 0
    assert reports(database) == before


@pytest.mark.usefixtures("job")
def test_a_class_that_was_set_is_used_without_asking(profiles: Profiles, database: Database) -> None:
    peer = FakePeer(*ResultRole.REPORT.sop_classes)
    assert profiles.suit(FIXED, peer.probe) == 1
    assert (peer.probed, reports(database)[0][1].sop_class_uid) == (0, EnhancedSRStorage)


@pytest.mark.usefixtures("job")
@pytest.mark.parametrize("accepted", [(), (SecondaryCaptureImageStorage,)], ids=["down", "takes no report"])
def test_a_destination_that_names_no_class_of_report_changes_nothing(
    accepted: tuple[str, ...], profiles: Profiles, database: Database
) -> None:
    before = reports(database)
    assert profiles.suit(AUTO, FakePeer(*accepted).probe) == 0
    assert reports(database) == before


@pytest.mark.usefixtures("job")
def test_a_destination_is_asked_once_an_hour_and_what_it_said_holds_while_it_is_down(
    profiles: Profiles, times: list[float]
) -> None:
    peer = FakePeer(EnhancedSRStorage)
    for now in (10.0, 3000.0, 3620.0):
        times.append(now)
        assert profiles.accepted(AUTO, peer.probe) == (EnhancedSRStorage,)
    assert peer.probed == 2
    times.append(9000.0)
    assert profiles.accepted(AUTO, FakePeer().probe) == (EnhancedSRStorage,)


def test_nobody_is_asked_while_no_report_is_due(profiles: Profiles) -> None:
    peer = FakePeer(*ResultRole.REPORT.sop_classes)
    assert (profiles.suit(AUTO, peer.probe), peer.probed) == (0, 0)


def test_a_report_that_is_sent_again_goes_in_the_class_of_the_day_and_once(
    profiles: Profiles, outbox: Outbox, database: Database, job: Job
) -> None:
    def store(_: Destination, objects: Sequence[Outgoing]) -> list[SendOutcome]:
        return [SendOutcome(Answer.STORED, 0) for _ in objects]

    profiles.suit(FIXED)
    assert outbox.deliver_due(FIXED, store) == 5
    assert outbox.resend(job.id, "pacs", tuple(ResultRole)) == 5
    profiles.suit(FIXED)
    ((delivery, result),) = reports(database)
    assert (delivery.state, result.sop_class_uid) == (DeliveryState.WAITING, EnhancedSRStorage)
    outbox.deliver_due(FIXED, store)
    outbox.resend(job.id, "pacs", [ResultRole.REPORT])
    profiles.suit(AUTO, FakePeer(*ResultRole.REPORT.sop_classes).probe)
    assert {(delivery.state, result.sop_class_uid) for delivery, result in reports(database)} == {
        (DeliveryState.SENT, EnhancedSRStorage),
        (DeliveryState.WAITING, Comprehensive3DSRStorage),
    }


def test_a_report_that_breaks_the_rules_is_not_sent_in_another_class_and_a_person_sees_that(
    profiles: Profiles, outbox: Outbox, database: Database, job: Job, tmp_path: Path
) -> None:
    spoilt = a_refusal()
    spoilt.VerificationFlag = "VERIFIED"
    write_report(tmp_path / f"{job.id}/report.dcm", spoilt)
    with capture_logs() as logs:
        assert profiles.suit(FIXED) == 0
    ((delivery, result),) = reports(database)
    assert (delivery.state, result.sop_class_uid) == (DeliveryState.REFUSED, Comprehensive3DSRStorage)
    assert "(0040,A493) must be UNVERIFIED" in delivery.error
    assert [(event["event"], event["log_level"]) for event in logs] == [("report.faulty", "error")]
    assert [path.name for path in (tmp_path / str(job.id)).iterdir()] == ["report.dcm"]
    outbox.retry(delivery.id)
    write_report(tmp_path / f"{job.id}/report.dcm", a_refusal())
    assert profiles.suit(FIXED) == 1


def test_a_lost_file_leaves_the_delivery_to_fail_in_the_open(
    profiles: Profiles, database: Database, job: Job, tmp_path: Path
) -> None:
    (tmp_path / f"{job.id}/report.dcm").unlink()
    before = reports(database)
    assert profiles.suit(FIXED) == 0
    assert reports(database) == before


def test_a_peer_is_asked_for_every_class_of_result_without_sending_any() -> None:
    got: list[object] = []
    contexts: Contexts = dict.fromkeys((EnhancedSRStorage, SecondaryCaptureImageStorage), RESULT_TRANSFER_SYNTAXES)
    receiver = Receiver(Listening("PACS"), contexts, got.append)
    receiver.start()
    try:
        found = sender.probe(Destination("pacs", "PACS", "127.0.0.1", receiver.port))
    finally:
        receiver.stop(drain_s=1)
    assert (set(found), got) == ({EnhancedSRStorage, SecondaryCaptureImageStorage}, [])
