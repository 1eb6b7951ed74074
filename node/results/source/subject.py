"""The source's headers, made fit to be written again.

Peers send headers that break the standard: this keeps what can be kept of the patient, the study and the request, and
logs each change by its tag, never by its value. Only what is named here is taken over. All text becomes Unicode and is
written as ISO_IR 192.
"""

import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta, timezone

import structlog
from pydicom import Dataset
from pydicom.config import disable_value_validation
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.multival import MultiValue
from pydicom.sr.coding import Code
from pydicom.tag import Tag

from survnode.node.results.source.values import clean

log = structlog.get_logger(__name__)

# Type 2: written even if the source has none (PS3.3 C.7.1.1, C.7.2.1).
REQUIRED = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex",
    "StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber",
)  # fmt: skip
OPTIONAL = (
    "IssuerOfPatientID", "TypeOfPatientID", "PatientIdentityRemoved", "DeidentificationMethod",
    "StudyDescription", "PatientAge", "PatientSize", "PatientWeight", "TimezoneOffsetFromUTC",
)  # fmt: skip
EQUIPMENT = (
    "Manufacturer", "ManufacturerModelName", "StationName", "DeviceSerialNumber", "SoftwareVersions",
    "InstitutionName",
)  # fmt: skip
REQUEST = (
    "AccessionNumber", "RequestedProcedureID", "RequestedProcedureDescription",
    "ScheduledProcedureStepID", "ScheduledProcedureStepDescription",
)  # fmt: skip
COMPRESSION = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
MULTIPLE = frozenset({"LossyImageCompressionRatio", "LossyImageCompressionMethod", "SoftwareVersions"})
MEASURED = frozenset({"PatientSize", "PatientWeight"})
ALLOWED = {
    "PatientSex": {"M", "F", "O"},
    "PatientIdentityRemoved": {"YES", "NO"},
    "TypeOfPatientID": {"TEXT", "RFID", "BARCODE"},
    "LossyImageCompression": {"00", "01"},
}
# What a PACS files by, or a person asks for: shortened or left out it would be another's, or nobody's. So it is kept as
# it came, even where it is longer than its VR allows; what files the source files the results under the same.
IDENTIFIERS = frozenset({
    "PatientID", "IssuerOfPatientID", "AccessionNumber", "StudyID", "RequestedProcedureID", "ScheduledProcedureStepID",
})  # fmt: skip
UNDECODABLE = "\ufffd"  # what pydicom writes for bytes that their character set does not hold
OFFSET = re.compile(r"[+-](0\d|1[0-4])[0-5]\d")  # from UTC, hours and minutes
METHOD_UNKNOWN = "Not stated by the source"  # type 1C where the identity was removed


@dataclass(frozen=True, eq=False)
class Subject:
    """Whom the results are about and where they belong, fit to be written.

    Parameters
    ----------
    attributes : of the patient, the study and the time zone
    equipment : what acquired the images; empty if unknown
    requests : what was asked for, one item a request
    procedures : which examination it was
    compression : whether and how the source was compressed with loss
    """

    attributes: Dataset
    equipment: Dataset
    requests: tuple[Dataset, ...]
    procedures: tuple[Code, ...]
    compression: Dataset

    @property
    def time_zone(self) -> timezone | None:
        """The source's own, if it names one."""
        return time_zone(self.attributes.get("TimezoneOffsetFromUTC", ""))


def time_zone(offset: str) -> timezone | None:
    """What a Timezone Offset From UTC says; None if it is none."""
    if not OFFSET.fullmatch(offset):
        return None
    minutes = int(offset[1:3]) * 60 + int(offset[3:5])
    return timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes))


@dataclass
class _Reader:
    """Reads one foreign data set and remembers what it had to change."""

    changes: list[str] = field(default_factory=list)

    def attributes(self, ds: Dataset, keywords: Iterable[str]) -> Dataset:
        """Those of ``keywords`` that hold something that can be written."""
        copied = Dataset()
        for keyword in keywords:
            value = self._value(ds, keyword)
            if value is not None:
                setattr(copied, keyword, value)
        return copied

    def code(self, ds: Dataset) -> Code | None:
        """An item of a code sequence; None unless it is whole."""
        item = self.attributes(ds, ("CodeValue", "CodingSchemeDesignator", "CodeMeaning", "CodingSchemeVersion"))
        if not all(keyword in item for keyword in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")):
            return None
        return Code(item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning, item.get("CodingSchemeVersion"))

    def items(self, ds: Dataset, keyword: str) -> Sequence[Dataset]:
        """The items of a sequence; none if it is absent or damaged."""
        try:
            return list(ds.get(keyword) or ())
        except Exception:  # noqa: BLE001  a damaged element raises what it likes
            self._changed(keyword, "unreadable: left out")
            return []

    def _value(self, ds: Dataset, keyword: str) -> str | list[str] | None:
        values = self._texts(ds, keyword)
        if keyword not in MULTIPLE:
            return self._clean(keyword, self._single(keyword, values))
        cleaned = [self._clean(keyword, value) for value in values]
        return [value for value in cleaned if value is not None] or None

    def _single(self, keyword: str, values: Sequence[str]) -> str:
        if len(values) < 2:
            return values[0] if values else ""
        self._changed(keyword, "several values where one is allowed")
        return "/".join(values) if dictionary_VR(keyword) in {"LO", "SH"} else values[0]

    def _clean(self, keyword: str, value: str) -> str | None:
        cleaned, rule = clean(dictionary_VR(keyword), value, shorten=keyword not in IDENTIFIERS)
        if cleaned is not None and cleaned not in ALLOWED.get(keyword, {cleaned}):
            cleaned, rule = None, "not one of the values that the standard allows: left out"
        if keyword == "TimezoneOffsetFromUTC" and cleaned and not OFFSET.fullmatch(cleaned):
            cleaned, rule = None, "not an offset: left out"
        if keyword in MEASURED and cleaned and float(cleaned) == 0:
            cleaned, rule = None, "zero, which nobody measures: left out"
        if rule is None and UNDECODABLE in value:
            rule = "bytes that its character set does not hold: replaced"
        if rule is not None:
            self._changed(keyword, rule)
        return cleaned

    def _texts(self, ds: Dataset, keyword: str) -> list[str]:
        try:
            value = ds.get(keyword)
            return (
                [str(part) for part in value]
                if isinstance(value, MultiValue)
                else [str("" if value is None else value)]
            )
        except Exception:  # noqa: BLE001  a damaged element raises what it likes
            self._changed(keyword, "unreadable: left out")
            return []

    def _changed(self, keyword: str, rule: str) -> None:
        self.changes.append(f"{Tag(tag_for_keyword(keyword) or 0)} {rule}")


def subject_of(ds: Dataset) -> Subject:
    """Whom ``ds`` is about; whatever breaks the standard is mended or left out, and logged by its tag."""
    reader = _Reader()
    with disable_value_validation(), warnings.catch_warnings():  # pydicom's warnings quote values, also in its log
        warnings.simplefilter("ignore")
        subject = _read(ds, reader)
    if reader.changes:
        log.info("source_header_changed", sop_instance_uid=str(ds.SOPInstanceUID), changes=reader.changes)
    return subject


def _read(ds: Dataset, reader: _Reader) -> Subject:
    attributes = reader.attributes(ds, (*REQUIRED, *OPTIONAL))
    for keyword in REQUIRED:
        if keyword not in attributes:
            setattr(attributes, keyword, "")
    if attributes.get("PatientIdentityRemoved") == "YES" and "DeidentificationMethod" not in attributes:
        attributes.DeidentificationMethod = METHOD_UNKNOWN
    attributes.StudyInstanceUID = str(ds.StudyInstanceUID)
    codes = [reader.code(item) for item in reader.items(ds, "ProcedureCodeSequence")]
    requests = [reader.attributes(item, REQUEST) for item in reader.items(ds, "RequestAttributesSequence")]
    return Subject(
        attributes=attributes,
        equipment=reader.attributes(ds, EQUIPMENT),
        requests=tuple(item for item in requests if len(item) > 0),
        procedures=tuple(code for code in codes if code is not None),
        compression=reader.attributes(ds, COMPRESSION),
    )
