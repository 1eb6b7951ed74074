"""A study whose images name more than one patient: a person puts it aside, so that it can be sent again, corrected.

No report says that such a study was not analysed. A report names one patient, and whichever it named, it could be filed
under the wrong one. The study is shown as PATIENT_CONFLICT instead, and logged as an error.
"""

import os
from pathlib import Path

from survnode.node import errors
from survnode.node.state import image_rows, study_rows
from survnode.node.state.database import Database, Transaction
from survnode.node.state.files import sync_folder
from survnode.node.state.records import Instance, InstanceState, Quarantined, StudyState


def put_aside(database: Database, folder: Path, study_instance_uid: str, *, now: float) -> int:
    """Move the images of a study of several patients to quarantine, and forget them; how many.

    Sent again, they are new: as if they had never come.

    Parameters
    ----------
    folder : of the store

    Raises
    ------
    RecordNotFound, PatientsAgree
    """
    with database.transaction() as connection:  # while it lasts no instance can be stored
        study = study_rows.find_study(connection, study_instance_uid)
        if study is None:
            raise errors.RecordNotFound(f"There is no study {study_instance_uid}.")
        if study.state is not StudyState.PATIENT_CONFLICT:
            only = "Only a study whose images name several patients is put aside"
            raise errors.PatientsAgree(f"{only}; this one is not such a study. {study.state.sentence}")
        received = image_rows.images_of_study(connection, study_instance_uid)
        present = [image for image in received if image.state is not InstanceState.DELETED]
        moved = [_keep(connection, folder, image, now) for image in present]
        sync_folder(folder / "quarantine")
        study_rows.forget_study(connection, study_instance_uid)
        for path in moved:
            path.unlink(missing_ok=True)
    return len(moved)


def _keep(connection: Transaction, folder: Path, instance: Instance, now: float) -> Path:
    """Give an image a second name in quarantine, and its row there; its first name."""
    kept = f"quarantine/{Path(instance.path).name}"
    first, second = folder / instance.path, folder / kept
    if first.exists() and not second.exists():
        os.link(first, second)
    record = Quarantined(
        instance.sop_instance_uid, instance.study_instance_uid, instance.calling_ae_title, instance.sha256, kept, now
    )
    image_rows.record_quarantined(connection, record)
    return first
