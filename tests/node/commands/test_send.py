from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import UID, EnhancedSRStorage
from sqlalchemy import delete, select, update

from survnode.model.errors import Reason
from survnode.node.commands import send as reissue
from survnode.node.commands.send import Reissue
from survnode.node.config import DestinationConfig, NodeConfig
from survnode.node.contexts import Answer
from survnode.node.delivery.destination import Destination
from survnode.node.delivery.outbox import Outbox
from survnode.node.delivery.profile import Profiles
from survnode.node.delivery.sender import Outgoing, SendOutcome
from survnode.node.errors import InputRefused, RecordNotFound
from survnode.node.results.bundle import not_analysed
from survnode.node.results.envelope import ResultObject, SourceStudy
from survnode.node.results.identity import Layout
from survnode.node.results.inspection.content import references
from survnode.node.roles import ResultRole
from survnode.node.state.database import Database, fetch
from survnode.node.state.records import Delivery, DeliveryState, Job, RecordedObject, Study, StudyState
from survnode.node.state.reissuing import Selection
from survnode.node.state.tables import deliveries, results, studies
from survnode.node.state.tables import jobs as jobs_table

from ..results.conftest import a_header, a_run

FinishJob = Callable[..., Job]

PACS = DestinationConfig(name="pacs", ae_title="PACS", host="127.0.0.1", port=104)
ARCHIVE = PACS.model_copy(update={"name": "archive", "objects": (ResultRole.REPORT,)})
ALL_OF_IT = Selection(study_instance_uid="1.1")


@pytest.fixture
def finish(finish_job: FinishJob, database: Database, tmp_path: Path) -> FinishJob:
    """Finishes a job whose files are on disk."""

    def finish(study: str = "1.1", *, version: int = 1, now: float = 10.0, model: str = "2.25.1") -> Job:
        job = finish_job(study, "pacs", "archive", version=version, now=now)
        with database.transaction() as connection:
            connection.execute(update(jobs_table).where(jobs_table.c.id == job.id).values(device_uid=model))
            for result in fetch(connection, RecordedObject, select(results).where(results.c.job_id == job.id)):
                write(tmp_path / result.path, study, result)
        return job

    return finish


def write(path: Path, study: str, result: RecordedObject) -> None:
    """A file of that study; only of a report does anybody read more than its UIDs."""
    header = a_header(1, StudyInstanceUID=study, PatientName="Phantom", PatientID="P1")
    (refusal,) = not_analysed(SourceStudy((header,)), Reason.NO_LUNGS, "", a_run(), None)
    ds = refusal.dataset
    ds.SOPClassUID, ds.SOPInstanceUID = UID(result.sop_class_uid), UID(result.sop_instance_uid)
    ds.SeriesInstanceUID = UID(result.series_instance_uid)
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(ResultObject(result.role, ds).encode())


@pytest.fixture
def deliver(database: Database, tmp_path: Path) -> Callable[[str], list[str]]:
    """Delivers what is due to a destination, which takes Enhanced SR if it is the archive; the names of its files."""

    def deliver(name: str) -> list[str]:
        seen: list[str] = []

        def store(_: Destination, objects: Sequence[Outgoing]) -> list[SendOutcome]:
            seen.extend(item.path.name for item in objects)
            return [SendOutcome(Answer.STORED, 0) for _ in objects]

        archive = EnhancedSRStorage if name == "archive" else None
        destination = Destination(name, "X", "127.0.0.1", 104, report_sop_class=archive)
        if archive:
            Profiles(database, tmp_path, clock=lambda: 100.0).suit(destination)
        Outbox(database, tmp_path, clock=lambda: 100.0).deliver_due(destination, store)
        return seen

    return deliver


@pytest.fixture
def again(database: Database, tmp_path: Path) -> Reissue:
    return Reissue(database, tmp_path, (PACS, ARCHIVE), clock=lambda: 50.0)


def waiting(database: Database) -> list[Delivery]:
    with database.reading() as connection:
        statement = select(deliveries).where(deliveries.c.state == DeliveryState.WAITING)
        return fetch(connection, Delivery, statement.order_by(deliveries.c.id))


def test_what_a_withdrawal_would_do_is_told_and_nothing_is_written(
    finish: FinishJob, deliver: Callable[[str], list[str]], again: Reissue, database: Database
) -> None:
    finish()
    deliver("pacs")
    told = again.would_withdraw(ALL_OF_IT)
    assert [(row.destination, row.note) for row in told] == [
        ("pacs", "It would be withdrawn."),
        ("archive", "Nothing of it went there."),
    ]
    with database.reading() as connection:
        states = {delivery.state for delivery in fetch(connection, Delivery, select(deliveries))}
    assert states == {DeliveryState.SENT, DeliveryState.WAITING}
    done = again.withdraw(ALL_OF_IT, Layout())
    assert [row.objects for row in done] == [row.objects for row in told]


def test_a_study_is_sent_again_to_each_destination_what_it_takes(
    again: Reissue, finish: FinishJob, deliver: Callable[[str], list[str]]
) -> None:
    finish()
    deliver("pacs"), deliver("archive")
    rows = again.send_again(ALL_OF_IT)
    assert [(row.destination, row.objects, row.note) for row in rows] == [
        ("pacs", 5, reissue.AGAIN),
        ("archive", 1, reissue.AGAIN),
    ]
    assert len(deliver("pacs")) == 5
    assert deliver("archive") == ["report-22.dcm"]


def test_a_study_whose_rule_sends_nothing_is_sent_only_where_a_person_names_the_destination(
    again: Reissue, finish: FinishJob, database: Database
) -> None:
    finish()
    with database.transaction() as connection:
        connection.execute(update(jobs_table).values(destinations=("archive",)))
        connection.execute(delete(deliveries))
    rows = again.send_again(ALL_OF_IT)
    assert [(row.destination, row.objects, row.note) for row in rows] == [
        ("pacs", 0, reissue.LEFT_OUT),
        ("archive", 1, reissue.AGAIN),
    ]
    named = Reissue(database, again.folder, (PACS,), again.clock, despite_rules=True)
    assert [row.objects for row in named.send_again(ALL_OF_IT)] == [5]


def test_what_was_withdrawn_from_a_destination_is_not_sent_there_again(
    again: Reissue, finish: FinishJob, deliver: Callable[[str], list[str]], database: Database
) -> None:
    finish(), finish("1.2")
    deliver("pacs"), deliver("archive")
    Reissue(database, again.folder, (PACS,), again.clock).withdraw(ALL_OF_IT, Layout())
    deliver("pacs")
    rows = again.send_again(Selection(since=0.0))
    assert {(row.study_instance_uid, row.destination, row.objects, row.note) for row in rows} == {
        ("1.1", "pacs", 0, reissue.WITHDRAWN),
        ("1.1", "archive", 1, reissue.AGAIN),
        ("1.2", "pacs", 5, reissue.AGAIN),
        ("1.2", "archive", 1, reissue.AGAIN),
    }


def test_what_was_withdrawn_before_it_was_sent_is_not_sent_again(
    again: Reissue, finish: FinishJob, database: Database
) -> None:
    finish()
    again.withdraw(ALL_OF_IT, Layout())
    assert {row.note for row in again.send_again(ALL_OF_IT)} == {reissue.WITHDRAWN}
    assert waiting(database) == []


def test_of_several_versions_the_newest_is_sent_again(again: Reissue, finish: FinishJob) -> None:
    finish(), finish("1.2"), finish(version=2)
    assert {(row.study_instance_uid, row.version) for row in again.send_again(Selection(since=0.0))} == {
        ("1.1", 2),
        ("1.2", 1),
    }


@pytest.mark.parametrize(
    ("selection", "studies_meant"),
    [
        (Selection(study_instance_uid="1.1"), {"1.1"}),
        (Selection(since=20.0), {"1.2", "1.3"}),
        (Selection(until=20.0), {"1.1"}),
        (Selection(since=20.0, until=30.0), {"1.2"}),
        (Selection(device_uid="2.25.2"), {"1.2"}),
    ],
)
def test_a_selection_means_what_fulfils_all_of_it(
    selection: Selection, studies_meant: set[str], again: Reissue, finish: FinishJob
) -> None:
    finish("1.1", now=10.0), finish("1.2", now=20.0, model="2.25.2"), finish("1.3", now=30.0)
    assert {row.study_instance_uid for row in again.send_again(selection)} == studies_meant


def test_nothing_that_fits_is_said_aloud(again: Reissue, finish: FinishJob) -> None:
    finish()
    with pytest.raises(RecordNotFound):
        again.send_again(Selection(study_instance_uid="1.1", device_uid="2.25.9"))


def test_files_that_were_deleted_are_not_queued(
    again: Reissue, finish: FinishJob, deliver: Callable[[str], list[str]], database: Database, tmp_path: Path
) -> None:
    job = finish()
    deliver("pacs"), deliver("archive")
    (tmp_path / f"{job.id}/report.dcm").unlink()
    assert {row.note for row in again.send_again(ALL_OF_IT)} == {reissue.DELETED}
    assert waiting(database) == []


def test_a_withdrawal_rejects_what_went_there_and_nothing_else(
    again: Reissue, finish: FinishJob, deliver: Callable[[str], list[str]], database: Database, tmp_path: Path
) -> None:
    job = finish()
    deliver("pacs"), deliver("archive")
    rows = again.withdraw(ALL_OF_IT, Layout())
    assert [(row.destination, row.objects) for row in rows] == [("pacs", 5), ("archive", 5)]
    (pacs,) = deliver("pacs")
    (archive,) = deliver("archive")
    assert pacs != archive
    named = [named_in(dcmread(tmp_path / str(job.id) / note)) for note in (pacs, archive)]
    made = {f"9.{job.id}.{number}" for number in range(1, 6)}
    with database.reading() as connection:
        variant = fetch(connection, RecordedObject, select(results).where(results.c.variant_of.is_not(None)))[0]
    assert named == [made, made - {f"9.{job.id}.1"} | {variant.sop_instance_uid}]


def named_in(ds: Dataset) -> set[str]:
    assert ds.ConceptNameCodeSequence[0].CodeValue == "113001"
    items = [item for item in ds.ContentSequence if item.ValueType in {"IMAGE", "COMPOSITE"}]
    return {next(references(item)).sop_instance_uid for item in items}


def test_what_was_deleted_here_can_still_be_withdrawn_there(
    again: Reissue, finish: FinishJob, deliver: Callable[[str], list[str]], tmp_path: Path
) -> None:
    job = finish()
    deliver("pacs")
    for path in (tmp_path / str(job.id)).iterdir():
        if path.name != "report.dcm":
            path.unlink()
    (row,) = [row for row in again.withdraw(ALL_OF_IT, Layout()) if row.destination == "pacs"]
    assert (row.objects, row.note) == (5, "Withdrawn.")
    (tmp_path / str(job.id) / "report.dcm").unlink()
    (row,) = [row for row in again.withdraw(ALL_OF_IT, Layout()) if row.destination == "pacs"]
    assert (row.objects, row.note) == (0, reissue.DELETED)


def test_a_second_withdrawal_sends_nothing_new(
    again: Reissue, finish: FinishJob, deliver: Callable[[str], list[str]]
) -> None:
    finish()
    deliver("pacs")
    again.withdraw(ALL_OF_IT, Layout())
    assert len(deliver("pacs")) == 1
    again.withdraw(ALL_OF_IT, Layout())
    assert deliver("pacs") == []


def test_what_still_waits_is_withdrawn_without_a_note(
    again: Reissue, finish: FinishJob, deliver: Callable[[str], list[str]], database: Database
) -> None:
    finish()
    assert {row.note for row in again.withdraw(ALL_OF_IT, Layout())} == {reissue.NEVER_SENT}
    assert (deliver("pacs"), waiting(database)) == ([], [])


def test_every_version_is_withdrawn(again: Reissue, finish: FinishJob, deliver: Callable[[str], list[str]]) -> None:
    finish(), finish(version=2)
    deliver("pacs")
    rows = again.withdraw(Selection(device_uid="2.25.1"), Layout())
    assert [(row.version, row.objects) for row in rows if row.destination == "pacs"] == [(1, 5), (2, 5)]


def test_a_study_is_made_anew_only_while_its_images_are_here(
    again: Reissue, finish: FinishJob, database: Database
) -> None:
    finish("1.1"), finish("1.2")
    with database.transaction() as connection:
        gone = update(studies).where(studies.c.study_instance_uid == "1.2").values(state=StudyState.DELETED)
        connection.execute(gone)
    notes = {row.study_instance_uid: row.note for row in again.make_anew(Selection(since=0.0))}
    assert notes == {"1.1": reissue.JUDGED_AGAIN, "1.2": reissue.NOT_HERE}
    with database.reading() as connection:
        due = {study.study_instance_uid: study.due_at for study in fetch(connection, Study, select(studies))}
    assert due == {"1.1": 50.0, "1.2": None}


def test_a_destination_that_is_not_configured_is_refused(tmp_path: Path) -> None:
    config = NodeConfig(data_dir=tmp_path, destinations=(PACS, ARCHIVE))
    assert reissue.destinations_of(config, None) == (PACS, ARCHIVE)
    assert reissue.destinations_of(config, "archive") == (ARCHIVE,)
    with pytest.raises(InputRefused, match="pacs, archive"):
        reissue.destinations_of(config, "other")
