from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from survnode.node import errors
from survnode.node.state.database import Database, row_of
from survnode.node.state.image_rows import images_of_study
from survnode.node.state.records import Instance, InstanceState, Job
from survnode.node.state.tables import instances
from survnode.node.work import jobs
from survnode.node.work.job_images import checked_paths, readable_headers


@pytest.fixture
def job(database: Database, add_job: Callable[..., int], make_received: Any, tmp_path: Path) -> Job:
    """A job of three images, each stored as it was received."""
    uids = tuple(f"1.2.3.1.{number}" for number in (1, 2, 3))
    job_id = add_job(sop_instance_uids=uids)
    for number, uid in enumerate(uids, start=1):
        received = make_received(number)
        (tmp_path / f"{number}.dcm").write_bytes(received.part10)
        row = Instance(uid, "1", "1.2.3", "1.2.3.1", "1", "P1", "PEER", received.sha256, 1, f"{number}.dcm", 0.0)
        with database.transaction() as connection:
            connection.execute(insert(instances).values(row_of(row)))
    return jobs.get(database, job_id)


def states(database: Database) -> list[InstanceState]:
    with database.reading() as connection:
        images = images_of_study(connection, "1.2.3")
    return [image.state for image in sorted(images, key=lambda image: image.sop_instance_uid)]


def test_images_as_they_were_received_are_all_taken(database: Database, job: Job, tmp_path: Path) -> None:
    assert checked_paths(database, tmp_path, job) == ([tmp_path / f"{number}.dcm" for number in (1, 2, 3)], 0)
    assert set(states(database)) == {InstanceState.STORED}


def test_an_image_that_was_altered_or_is_gone_is_counted_and_marked(
    database: Database, job: Job, tmp_path: Path
) -> None:
    (tmp_path / "1.dcm").write_bytes((tmp_path / "1.dcm").read_bytes()[:-1] + b"?")
    (tmp_path / "3.dcm").unlink()
    assert checked_paths(database, tmp_path, job) == ([tmp_path / "2.dcm"], 2)
    assert states(database) == [InstanceState.UNREADABLE, InstanceState.STORED, InstanceState.UNREADABLE]


def test_a_disk_that_cannot_be_read_condemns_no_image(database: Database, job: Job, tmp_path: Path) -> None:
    (tmp_path / "1.dcm").unlink()
    (tmp_path / "1.dcm").mkdir()
    with pytest.raises(errors.StorageFailed, match="The images cannot be read: EISDIR"):
        checked_paths(database, tmp_path, job)
    assert set(states(database)) == {InstanceState.STORED}


def test_a_refusal_points_at_the_headers_that_can_be_read(job: Job, tmp_path: Path) -> None:
    (tmp_path / "2.dcm").unlink()
    headers = readable_headers([tmp_path / f"{number}.dcm" for number in (1, 2, 3)])
    assert [ds.SOPInstanceUID for ds in headers] == [job.sop_instance_uids[0], job.sop_instance_uids[2]]


def test_without_a_readable_header_there_is_nobody_to_report_on(tmp_path: Path) -> None:
    with pytest.raises(errors.StudyUnreadable):
        readable_headers([tmp_path / "absent.dcm"])
