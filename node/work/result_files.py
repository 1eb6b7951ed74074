"""The result objects of a job on disk, before anything of them is recorded."""

import json
from pathlib import Path

from survnode.node import errors
from survnode.node.state.files import replace_durably, sync_folder
from survnode.node.state.records import Job, StoredObject
from survnode.node.work.pipeline import AnalysisOutcome


def write_results(folder: Path, job: Job, outcome: AnalysisOutcome) -> list[StoredObject]:
    """Bring the result objects to disk; a second run of the job writes the same bytes to the same places.

    Raises
    ------
    StorageFailed
    """
    try:
        return _write_files(folder, job, outcome)
    except OSError as error:
        raise errors.storage_error(error) from error


def _write_files(folder: Path, job: Job, outcome: AnalysisOutcome) -> list[StoredObject]:
    home = folder / f"{job.id:08d}"
    rows = []
    for item in outcome.objects:
        path = home / item.file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_durably(path, item.encode())
        rows.append(item.stored_at(path.relative_to(folder).as_posix()))
    replace_durably(home / "prediction.json", json.dumps(outcome.summary, indent=2).encode())
    sync_folder(folder)
    return rows
