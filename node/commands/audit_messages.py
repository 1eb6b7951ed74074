"""Entries of the audit trail as audit messages of DICOM (PS3.15 A.5), which are RFC 3881's: XML, one a line."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from survnode.node.state.records import AuditEntry, AuditKind

_UNSPEAKABLE = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # what XML 1.0 cannot say
_FAILURES = frozenset(
    {
        "REJECTED",
        "ADDRESS_REFUSED",
        "TLS_REFUSED",
        "REFUSED",
        "FAILED",
        "QUARANTINED",
        "UNASSEMBLED",
        "PATIENT_CONFLICT",
    }
)
_GONE = frozenset({"DELETED", "PUT_ASIDE", "WITHDRAWN", "RECALLED"})
SUCCESS, SERIOUS_FAILURE = "0", "8"  # RFC 3881 5.1.4


@dataclass(frozen=True)
class _Code:
    """A coded concept of PS3.16 (CID 400, 402, 404)."""

    value: str
    meaning: str

    def below(self, parent: ET.Element, name: str) -> None:
        """Add it to an element."""
        ET.SubElement(parent, name, {"csd-code": self.value, "codeSystemName": "DCM", "originalText": self.meaning})


_SOURCE, _DESTINATION = _Code("110153", "Source Role ID"), _Code("110152", "Destination Role ID")
_APPLICATION = _Code("110150", "Application")
_STUDY = _Code("110180", "Study Instance UID")
_TRANSFERRED = _Code("110104", "DICOM Instances Transferred")
_ACCESSED = _Code("110103", "DICOM Instances Accessed")
_STUDY_DELETED = _Code("110105", "DICOM Study Deleted")
_ALERT, _AUTHENTICATION = _Code("110113", "Security Alert"), _Code("110126", "Node Authentication")


def message_of(entry: AuditEntry, source: str) -> str:
    """One entry as an audit message.

    Parameters
    ----------
    source : the node's AE title
    """
    message = ET.Element("AuditMessage")
    _event(message, entry)
    _participants(message, entry, source)
    system = ET.SubElement(message, "AuditSourceIdentification", {"AuditSourceID": source})
    ET.SubElement(system, "AuditSourceTypeCode", {"csd-code": "4"})  # RFC 3881 5.4.3: an application server process
    _objects(message, entry)
    return ET.tostring(message, encoding="unicode")


def _event(message: ET.Element, entry: AuditEntry) -> None:
    at = datetime.fromtimestamp(entry.at, UTC).isoformat(timespec="milliseconds")
    outcome = SERIOUS_FAILURE if entry.after in _FAILURES else SUCCESS
    attributes = {"EventActionCode": _action(entry), "EventDateTime": at, "EventOutcomeIndicator": outcome}
    event = ET.SubElement(message, "EventIdentification", attributes)
    _kind(entry).below(event, "EventID")
    if _kind(entry) is _ALERT:
        _AUTHENTICATION.below(event, "EventTypeCode")
    change = entry.after if entry.before is None else f"{entry.before} to {entry.after}"
    words = f"{entry.kind} {change}. {entry.detail or ''}".strip()
    ET.SubElement(event, "EventOutcomeDescription").text = _spoken(words)


def _kind(entry: AuditEntry) -> _Code:
    if entry.kind is AuditKind.ASSOCIATION:
        return _ALERT if entry.after in _FAILURES else _TRANSFERRED
    if entry.kind is AuditKind.STUDY and entry.after in _GONE:
        return _STUDY_DELETED
    return _TRANSFERRED if entry.kind is AuditKind.DELIVERY and entry.after == "SENT" else _ACCESSED


def _action(entry: AuditEntry) -> str:
    """RFC 3881 5.1.2: create, read, update, delete, execute."""
    if entry.after in _GONE:
        return "D"
    if entry.kind is AuditKind.JOB or _kind(entry) is _ALERT:
        return "E"
    return "R" if entry.kind is AuditKind.DELIVERY else "C" if entry.before is None else "U"


def _participants(message: ET.Element, entry: AuditEntry, source: str) -> None:
    if entry.kind is AuditKind.ASSOCIATION:
        where = {"NetworkAccessPointID": entry.peer or "", "NetworkAccessPointTypeCode": "2"}  # an address
        _participant(message, entry.ae_title or "unknown", _SOURCE, requests=True, **where)
        _participant(message, source, _DESTINATION)
        return
    _participant(message, entry.account, _APPLICATION, requests=True)
    if entry.destination is not None:
        _participant(message, source, _SOURCE)
        _participant(message, entry.destination, _DESTINATION)


def _participant(message: ET.Element, user: str, role: _Code, *, requests: bool = False, **where: str) -> None:
    attributes = {"UserID": _spoken(user), "UserIsRequestor": str(requests).lower(), **where}
    role.below(ET.SubElement(message, "ActiveParticipant", attributes), "RoleIDCode")


def _objects(message: ET.Element, entry: AuditEntry) -> None:
    if entry.study_instance_uid is not None:
        study = _object(message, entry.study_instance_uid, kind="2", role="3")  # a system object: a report
        _STUDY.below(study, "ParticipantObjectIDTypeCode")
        ET.SubElement(study, "ParticipantObjectName").text = f"job {entry.job}" if entry.job else "study"
        if entry.sop_instance_uid is not None:
            described = ET.SubElement(study, "ParticipantObjectDescription")
            ET.SubElement(described, "Instance", {"UID": entry.sop_instance_uid})
    if entry.patient_id:
        patient = _object(message, entry.patient_id, kind="1", role="1")  # a person: the patient
        code = {"csd-code": "2", "codeSystemName": "RFC-3881", "originalText": "Patient Number"}
        ET.SubElement(patient, "ParticipantObjectIDTypeCode", code)


def _object(message: ET.Element, name: str, *, kind: str, role: str) -> ET.Element:
    attributes = {
        "ParticipantObjectID": _spoken(name),
        "ParticipantObjectTypeCode": kind,
        "ParticipantObjectTypeCodeRole": role,
    }
    return ET.SubElement(message, "ParticipantObjectIdentification", attributes)


def _spoken(text: str) -> str:
    """What XML can say of a text, on one line."""
    return " ".join(_UNSPEAKABLE.sub("?", text).splitlines())
