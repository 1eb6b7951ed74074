from collections.abc import Callable

from survnode.node.roles import ResultRole
from survnode.node.state import result_rows
from survnode.node.state.database import Database
from survnode.node.state.records import Job, StoredObject

FinishJob = Callable[..., Job]
VARIANT = StoredObject(ResultRole.REPORT, 0, "1.2.840.10008.5.1.4.1.1.88.33", "8.1", "8.2", "1/report-33.dcm")


def test_the_predecessor_is_the_report_of_the_last_version_that_made_one(
    database: Database, finish_job: FinishJob
) -> None:
    first, second = finish_job("1.1", version=1), finish_job("1.1", version=2)
    finish_job("1.2")
    third = finish_job("1.1", version=3)
    with database.reading() as connection:
        before = result_rows.last_report_before(connection, third)
        assert result_rows.last_report_before(connection, first) is None
    assert before is not None
    assert (before.job_id, before.role) == (second.id, ResultRole.REPORT)


def test_an_object_is_recorded_once_and_a_variant_is_no_original(database: Database, finish_job: FinishJob) -> None:
    job = finish_job("1.1")
    with database.transaction() as connection:
        (report,) = result_rows.originals_of(connection, job.id, [ResultRole.REPORT])
        number = result_rows.record_result(connection, VARIANT, job.id, 20.0, report.id)
        assert result_rows.record_result(connection, VARIANT, job.id, 30.0, report.id) == number
        assert result_rows.originals_of(connection, job.id, [ResultRole.REPORT]) == [report]
        assert result_rows.find_result(connection, number).variant_of == report.id
        assert result_rows.results_by_id(connection, [report.id]) == {report.id: report}
