"""What every result object has in common: whom it is about, who made it, when, and which object it is."""

from collections.abc import Callable, Container, Iterable
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from io import BytesIO
from typing import Any

from highdicom import ContributingEquipment
from pydicom import Dataset, dcmwrite
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian

from survnode.model.ct.origin import OWN_MANUFACTURER
from survnode.model.prediction import ModelIdentity
from survnode.node.contexts import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from survnode.node.results import codes
from survnode.node.results.findings import RESEARCH_USE
from survnode.node.results.identity import Layout, ResultRun, derived_uid, digest
from survnode.node.results.source.subject import REQUIRED, Subject, subject_of
from survnode.node.roles import ResultRole
from survnode.node.state.records import StoredObject

UNICODE = "ISO_IR 192"


@dataclass(frozen=True, eq=False)
class SourceStudy:
    """What the results are about.

    Parameters
    ----------
    headers : of the source instances, in any order, with or without pixels; at least one
    """

    headers: tuple[Dataset, ...]

    @cached_property
    def evidence(self) -> tuple[Dataset, ...]:
        """The instances by their UIDs and nothing else, in an order that does not depend on ``headers``."""
        items = {str(ds.SOPInstanceUID): _reference(ds) for ds in self._ordered}
        return tuple(items.values())

    @cached_property
    def subject(self) -> Subject:
        """Whom they are about."""
        return subject_of(self._ordered[0])

    @cached_property
    def _ordered(self) -> tuple[Dataset, ...]:
        return tuple(sorted(self.headers, key=lambda ds: (str(ds.SeriesInstanceUID), str(ds.SOPInstanceUID))))


def _reference(ds: Dataset) -> Dataset:
    item = Dataset()
    for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        setattr(item, keyword, str(ds[keyword].value))
    return item


@dataclass(frozen=True, eq=False)
class ResultObject:
    """One DICOM object to send.

    Parameters
    ----------
    dataset : with its file meta information
    rank : from 1 among the captures; 0 elsewhere
    """

    role: ResultRole
    dataset: Dataset
    rank: int = 0

    @property
    def file_name(self) -> str:
        """Its file, relative to the folder of its result."""
        return self.role.path(self.rank)

    @property
    def sop_class_uid(self) -> str:
        """What kind of object it is."""
        return str(self.dataset.SOPClassUID)

    @property
    def sop_instance_uid(self) -> str:
        """Which object it is."""
        return str(self.dataset.SOPInstanceUID)

    @property
    def series_instance_uid(self) -> str:
        """Which series it belongs to."""
        return str(self.dataset.SeriesInstanceUID)

    def stored_at(self, path: str) -> StoredObject:
        """Its record, once its file lies at ``path``."""
        return StoredObject(
            role=self.role,
            rank=self.rank,
            sop_class_uid=self.sop_class_uid,
            sop_instance_uid=self.sop_instance_uid,
            series_instance_uid=self.series_instance_uid,
            path=path,
        )

    def encode(self) -> bytes:
        """The complete DICOM file, Explicit VR Little Endian; the same bytes for the same run."""
        buffer = BytesIO()
        dcmwrite(buffer, self.dataset, enforce_file_format=True)
        return buffer.getvalue()


@dataclass(frozen=True, eq=False)
class Envelope:
    """Makes the objects of one run belong together.

    Parameters
    ----------
    content : digest of what was found
    refused : whether nothing was: the study was not analysed
    """

    source: SourceStudy
    run: ResultRun
    layout: Layout
    model: ModelIdentity | None
    content: str
    refused: bool = False

    @cached_property
    def device_uid(self) -> str:
        """Of the model, which changes with it; of the software where no model spoke."""
        return self.model.device_uid if self.model else derived_uid("device", self.run.software_version)

    @cached_property
    def created(self) -> datetime:
        """The job's time in the source's time zone, or as it was given."""
        zone = self.source.subject.time_zone
        return self.run.created if zone is None else self.run.created.astimezone(zone)

    @cached_property
    def _key(self) -> str:
        uids = [f"{ds.SeriesInstanceUID} {ds.SOPInstanceUID}" for ds in self.source.evidence]
        run = (self.run.version, self.run.software_version, self.created.strftime("%Y%m%d%H%M%S"))
        return digest([self.source.evidence[0].StudyInstanceUID, *uids, self.device_uid, *run, self.content])

    def title(self, role: ResultRole) -> str:
        """What a list of series, or the head of a document, says of an object: its state and version come early.

        Lists show some 20 characters of the 64 that a description may have.
        """
        what = "AI not analysed" if self.refused else role.description
        return f"{what} v{self.run.version} ({RESEARCH_USE.lower()})"

    def uid(self, *parts: str) -> str:
        """The UID of what ``parts`` name in this result."""
        return derived_uid(*parts, self._key)

    def build(
        self, constructor: Callable[..., Dataset], role: ResultRole, number: int = 1, *, variant: str = "", **own: Any
    ) -> Dataset:
        """The object that ``constructor`` makes of what all share and its ``own`` arguments.

        Parameters
        ----------
        variant : what tells it from an object of the same ``content``: other bytes never share a UID
        """
        date, time = self.created.strftime("%Y%m%d"), self.created.strftime("%H%M%S")
        series_number = self.layout.series_numbers[role]
        which = (role, str(series_number), variant)
        ds = constructor(
            series_instance_uid=self.uid("series", *which),
            series_number=series_number,
            sop_instance_uid=self.uid("instance", *which, str(number)),
            instance_number=number,
            manufacturer=OWN_MANUFACTURER,
            manufacturer_model_name=self.model_name,
            software_versions=self._software_versions,
            series_description=self.title(role),
            content_date=date,
            content_time=time,
            series_date=date,
            series_time=time,
            content_qualification="RESEARCH",
            specific_character_set=UNICODE,
            contributing_equipment=self._equipment(),
            **own,
        )
        ds.InstanceCreationDate, ds.InstanceCreationTime = date, time
        for item in ds.ContributingEquipmentSequence:
            if "ContributionDateTime" in item:
                item.ContributionDateTime = date + time
        self._address(ds)
        return ds

    def patientless(self, shown: Container[str] | None = None) -> list[Dataset]:
        """The evidence (only what is ``shown``, if given), its first item with an empty patient and study.

        highdicom copies a patient from there, and warns with the name in the message if it dislikes it; ours is
        written afterwards.
        """
        evidence = [ds for ds in self.source.evidence if shown is None or ds.SOPInstanceUID in shown]
        first = Dataset()
        first.update(evidence[0])
        for keyword in REQUIRED:
            setattr(first, keyword, "")
        return [first, *evidence[1:]]

    def _address(self, ds: Dataset) -> None:
        """Write the patient, the study and the file meta information."""
        ds.update(deepcopy(self.source.subject.attributes))  # its own: objects that share elements change together
        ds.ProcedureCodeSequence = [coded(code) for code in self.source.subject.procedures]
        if not self.source.subject.procedures:
            del ds.ProcedureCodeSequence
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.file_meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
        ds.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME

    @property
    def model_name(self) -> str:
        """Of the model, or of the software where no model spoke."""
        return ascii_text(self.model.name)[:64] if self.model else "survnode"

    @property
    def _software_versions(self) -> list[str]:
        versions = [f"survnode {self.run.software_version}"]
        return versions if self.model is None else [*versions, ascii_text(f"model {self.model.version}")[:64]]

    def _equipment(self) -> list[ContributingEquipment]:
        """What made the object: the scanner, if the source names one, and this software with the model's Device UID."""
        own = ContributingEquipment(
            manufacturer=OWN_MANUFACTURER,
            purpose_of_reference=codes.PROCESSING_EQUIPMENT,
            manufacturer_model_name=self.model_name,
            software_versions=self._software_versions,
            contribution_datetime=self.created.strftime("%Y%m%d%H%M%S"),
            contribution_description="Prediction and its presentation",
        )
        own.DeviceUID = self.device_uid
        return [*_scanner(self.source.subject.equipment), own]


def _scanner(equipment: Dataset) -> Iterable[ContributingEquipment]:
    if equipment.get("Manufacturer", OWN_MANUFACTURER) != OWN_MANUFACTURER:
        item = ContributingEquipment(equipment.Manufacturer, Code("109101", "DCM", "Acquisition Equipment"))
        item.update(equipment)
        yield item


def coded(code: Code) -> Dataset:
    """An item of a code sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    if code.scheme_version:
        item.CodingSchemeVersion = code.scheme_version
    return item


def referenced(ds: Dataset) -> Dataset:
    """An item that refers to the instance ``ds`` (PS3.3 10.8)."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    return item


def ascii_text(text: str) -> str:
    """``text`` without what is not ASCII: generated text must be readable whatever the character set."""
    return text.encode("ascii", "replace").decode()
