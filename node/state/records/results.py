"""The objects that a job made."""

from dataclasses import dataclass, field

from survnode.node.roles import ResultRole


@dataclass(frozen=True)
class StoredObject:
    """One DICOM object that a job made; its file is on disk before this is recorded.

    Parameters
    ----------
    rank : from 1 among the captures; 0 elsewhere
    path : of its Part 10 file
    """

    role: ResultRole
    rank: int
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    path: str


@dataclass(frozen=True)
class RecordedObject(StoredObject):
    """A recorded result object.

    Parameters
    ----------
    variant_of : the result that tells the same in another SOP class; None for what the job itself made
    """

    id: int = field(kw_only=True)
    job_id: int = field(kw_only=True)
    created_at: float = field(kw_only=True)
    variant_of: int | None = field(default=None, kw_only=True)
