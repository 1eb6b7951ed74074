from collections.abc import Callable
from dataclasses import replace

from survnode.node.roles import ResultRole
from survnode.node.state import delivery_rows
from survnode.node.state.database import Database
from survnode.node.state.records import CommitmentState, DeliveryState, Job

FinishJob = Callable[..., Job]


def test_what_is_due_comes_with_its_object(database: Database, finish_job: FinishJob) -> None:
    finish_job("1.1", "pacs", "archive", now=10.0)
    with database.reading() as connection:
        due = delivery_rows.due_deliveries(connection, "pacs", 10.0)
        assert delivery_rows.due_deliveries(connection, "pacs", 9.0) == []
        reports = [ResultRole.REPORT]
        (report,) = delivery_rows.due_in_other_class(connection, "pacs", 10.0, reports, "1.2")
        assert delivery_rows.due_in_other_class(connection, "pacs", 10.0, reports, report.result.sop_class_uid) == []
        assert delivery_rows.anything_due(connection, "pacs", 10.0, reports)
        assert not delivery_rows.anything_due(connection, "pacs", 9.0, reports)
    assert len(due) == 5
    assert (report.result.role, report.delivery.destination) == (ResultRole.REPORT, "pacs")


def test_a_delivery_is_written_only_by_who_read_it_last(database: Database, finish_job: FinishJob) -> None:
    finish_job("1.1", "pacs")
    with database.transaction() as connection:
        read = delivery_rows.due_deliveries(connection, "pacs", 10.0)[0].delivery
        assert delivery_rows.update_waiting(connection, read, replace(read, tries=1))
        assert not delivery_rows.update_waiting(connection, read, replace(read, state=DeliveryState.SENT))
        assert delivery_rows.find_delivery(connection, read.id) == replace(read, tries=1)


def test_to_deliver_again_wipes_the_slate(database: Database, finish_job: FinishJob) -> None:
    job = finish_job("1.1", "pacs")
    with database.transaction() as connection:
        first = delivery_rows.due_deliveries(connection, "pacs", 10.0)[0].delivery
        sent = replace(
            first, state=DeliveryState.SENT, tries=3, settled_at=11.0, status=0, commitment=CommitmentState.FAILED
        )
        delivery_rows.update_delivery(connection, first, sent)
        delivery_rows.deliver_again(connection, first.result_id, job.id, "pacs", 20.0)
        delivery_rows.deliver_again(connection, first.result_id, job.id, "archive", 20.0)
        assert delivery_rows.find_delivery(connection, first.id) == replace(first, due_at=20.0)
        assert len(delivery_rows.due_deliveries(connection, "archive", 20.0)) == 1


def test_a_failed_commitment_is_asked_for_anew(database: Database, finish_job: FinishJob) -> None:
    job = finish_job("1.1", "pacs")
    with database.transaction() as connection:
        first = delivery_rows.due_deliveries(connection, "pacs", 10.0)[0].delivery
        sent = replace(first, state=DeliveryState.SENT)
        failed = replace(sent, commitment=CommitmentState.FAILED, commitment_uid="2.25.1", commitment_tries=4)
        delivery_rows.update_delivery(connection, first, failed)
        assert delivery_rows.due_commitments(connection, "pacs", 1e9, 10) == []
        assert [item.delivery.id for item in delivery_rows.asked_in(connection, "2.25.1")] == [first.id]
        assert delivery_rows.unask_failed(connection, job.id) == 1
        assert delivery_rows.due_commitments(connection, "pacs", 0.0, 10) == [sent]
