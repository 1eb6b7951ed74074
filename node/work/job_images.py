"""The received files that a job is about, held against what was received before they are read."""

from collections.abc import Iterable
from errno import errorcode
from pathlib import Path

import structlog
from pydicom import Dataset

from survnode.model.ct.budget import read_file
from survnode.node import errors
from survnode.node.state.database import Database
from survnode.node.state.files import is_as_received
from survnode.node.state.image_rows import images_of_study, mark_unreadable
from survnode.node.state.records import Job

log = structlog.get_logger()


def checked_paths(database: Database, folder: Path, job: Job) -> tuple[list[Path], int]:
    """Those files of the job's images that are what was received, and how many are not; these are marked.

    Parameters
    ----------
    folder : of received instances

    Raises
    ------
    StorageFailed
        The disk cannot be read.
    """
    with database.reading() as connection:
        received = images_of_study(connection, job.study_instance_uid)
    known = {image.sop_instance_uid: image for image in received}
    wanted = [known[uid] for uid in job.sop_instance_uids]
    try:
        altered = {it.sop_instance_uid for it in wanted if not is_as_received(folder / it.path, it.sha256)}
    except OSError as error:
        raise errors.StorageFailed(f"The images cannot be read: {errorcode.get(error.errno or 0)}.") from error
    if altered:
        log.error("instances.altered", job=job.id, study_instance_uid=job.study_instance_uid, number=len(altered))
        with database.transaction() as connection:
            mark_unreadable(connection, altered)
    return [folder / it.path for it in wanted if it.sop_instance_uid not in altered], len(altered)


def readable_headers(paths: Iterable[Path]) -> list[Dataset]:
    """The headers for a refusal to point at, of those files that can be read.

    Raises
    ------
    StudyUnreadable
    """
    headers = [ds for path in paths if (ds := _header(path)) is not None]
    if not headers:
        raise errors.StudyUnreadable("None of the study's files can be read, so no report can name its patient.")
    return headers


def _header(path: Path) -> Dataset | None:
    """None if it cannot be read."""
    try:
        return read_file(path, force=True)
    except Exception as error:  # noqa: BLE001  pydicom raises what a broken file happens to break
        log.warning("instance.unreadable", file=path.name, error=errors.described(error))
        return None
