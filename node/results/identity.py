"""Which result it is: UIDs and times that come from what was found, never from chance or the clock."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid5

from pydicom.uid import UID

from survnode.node.roles import SERIES_NUMBERS, ResultRole
from survnode.node.state.records import Completeness

NAMESPACE = UUID("6ac2ea02-1b16-5b29-9f3e-2d6a1c2d7b54")  # of every UID that the node makes; never changes


def derived_uid(*parts: str) -> UID:
    """The UID that belongs to ``parts`` and to nothing else: 2.25 and a name-based UUID (PS3.5 B.2)."""
    return UID(f"2.25.{uuid5(NAMESPACE, chr(0).join(parts)).int}")


def digest(parts: Iterable[object]) -> str:
    """The sha256 of ``parts`` in their order."""
    return hashlib.sha256("\n".join(str(part) for part in parts).encode()).hexdigest()


@dataclass(frozen=True)
class Predecessor:
    """The report that a new version replaces."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str


@dataclass(frozen=True)
class ResultRun:
    """The job that makes the results. The same run gives the same bytes.

    Parameters
    ----------
    created : the job's time, aware: every date and time written comes from it. Where the source names no time zone
        it is written as it stands, so give it in the hospital's own.
    version : 1 for a series' first result, then 2, ...; another version is another set of UIDs
    predecessor : the report of the version before
    software_version : of survnode
    completeness : whether the images came whole; None if no source was to be asked
    """

    created: datetime
    version: int
    predecessor: Predecessor | None
    software_version: str
    completeness: Completeness | None = None

    def __post_init__(self) -> None:
        if self.created.tzinfo is None:
            msg = "created must name its time zone"
            raise ValueError(msg)


@dataclass(frozen=True)
class Layout:
    """What a site may choose of its results.

    Parameters
    ----------
    series_numbers : one a role
    captures : slices that are written as captures, measured in the report and named as key objects
    report_sop_class : one of `REPORT_CLASSES`; the content is the same
    pdf_names_patient : whether the printed pages say whom they concern
    optional : what is made besides `DEFAULT_ROLES`: PDF, SEGMENTATION, ATTENTION_REPORT
    """

    series_numbers: dict[ResultRole, int] = field(default_factory=SERIES_NUMBERS.copy)
    captures: int = 5
    report_sop_class: str = ResultRole.REPORT.sop_class()
    pdf_names_patient: bool = True
    optional: frozenset[ResultRole] = frozenset()
