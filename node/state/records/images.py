"""What was received: instances, and the studies that they make."""

from dataclasses import dataclass

from survnode.model.errors import Explained


class InstanceState(Explained):
    """Where the file of an instance stands."""

    STORED = "STORED", "Its file is on disk as it was received."
    UNREADABLE = "UNREADABLE", "Its file cannot be read, or is not what was received: send it again."
    DELETED = "DELETED", "Its file was deleted after its retention time; it may be sent again."


class StudyState(Explained):
    """Where a study stands between its first image and its job."""

    RECEIVING = "RECEIVING", "Images are coming in, or its quiet period has not passed."
    ASSEMBLED = "ASSEMBLED", "Its images were judged; its newest job says what came of it."
    PATIENT_CONFLICT = (
        "PATIENT_CONFLICT",
        "Its images name several patients: put it aside, correct it, send it again.",
    )
    UNASSEMBLED = "UNASSEMBLED", "Judging its images failed: see its error and have it judged again."
    IGNORED = "IGNORED", "It gets neither an analysis nor a report: its detail says why."
    PARTLY_DELETED = "PARTLY_DELETED", "Images came after the others were deleted: send the whole study again."
    DELETED = "DELETED", "Its files were deleted after their retention time; its rows and results' UIDs remain."


class Keeping(Explained):
    """What was done with received instances that are not CT."""

    DROPPED = "DROPPED", "They were acknowledged, counted and not kept: this software reads CT alone."
    KEPT = "KEPT", "Their files are on disk for as long as the study's CT."
    OWN = "OWN", "They are results of this software that came back: counted, not kept, never analysed."


@dataclass(frozen=True)
class Instance:
    """One received SOP instance.

    Parameters
    ----------
    sha256 : of the encoded data set, without preamble and file meta information
    size_bytes : of the encoded data set
    path : of its Part 10 file, below the store's folder
    """

    sop_instance_uid: str
    sop_class_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    patient_id: str
    calling_ae_title: str
    sha256: str
    size_bytes: int
    path: str
    received_at: float
    state: InstanceState = InstanceState.STORED


@dataclass(frozen=True)
class Quarantined:
    """An instance that came under a known UID with other bytes: kept apart for a person to look at."""

    sop_instance_uid: str
    study_instance_uid: str
    calling_ae_title: str
    sha256: str
    path: str
    received_at: float


@dataclass(frozen=True)
class Study:
    """A study and the time at which it counts as complete.

    Parameters
    ----------
    patient_id, accession_number, study_date, calling_ae_title, called_ae_title : of its first CT image; while there is
        none, of the first instance; the accession number and the date (YYYYMMDD) are empty where it names none
    due_at : when it is judged unless another image comes; None when nothing is to be judged
    revision : grows with every image that changes the study
    error : what failed
    detail : why it is ignored
    rule : the name of the rule that decided about it; empty if it was not judged yet or none fits
    """

    study_instance_uid: str
    patient_id: str
    patient_conflict: bool
    first_received_at: float
    last_received_at: float
    due_at: float | None
    revision: int
    state: StudyState
    error: str = ""
    detail: str = ""
    accession_number: str = ""
    study_date: str = ""
    calling_ae_title: str = ""
    called_ae_title: str = ""
    rule: str = ""


@dataclass(frozen=True)
class OtherSeries:
    """What was received of one series in one SOP class that is not CT.

    Parameters
    ----------
    modality, body_part, series_description, protocol_name : of its first instance; empty where it names none
    instances : received; one that came twice counts twice
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    keeping: Keeping
    modality: str
    body_part: str
    series_description: str
    protocol_name: str
    instances: int
    size_bytes: int
    last_received_at: float
