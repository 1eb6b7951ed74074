"""Entries of the audit trail as audit messages of DICOM (PS3.15 A.5), which are RFC 3881's: XML, one a line.

A study that comes is (110102) and then (110104), with its senders and its patient; what an association brought is not
known by study, so it has a code of our own (A.5.3 has none for it).
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from survnode.node.results.codes import SCHEME
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
_COMING = "RECEIVING"
_GONE = frozenset({"DELETED", "PUT_ASIDE", "WITHDRAWN", "RECALLED"})
UNKNOWN = "unknown"
SUCCESS, SERIOUS_FAILURE = "0", "8"  # RFC 3881 5.1.4


@dataclass(frozen=True)
class _Code:
    """A coded concept of PS3.16 (CID 400, 402, 404)."""

    value: str
    meaning: str
    scheme: str = "DCM"

    def below(self, parent: ET.Element, name: str) -> None:
        """Add it to an element."""
        code = {"csd-code": self.value, "codeSystemName": self.scheme, "originalText": self.meaning}
        ET.SubElement(parent, name, code)


_SOURCE, _DESTINATION = _Code("110153", "Source Role ID"), _Code("110152", "Destination Role ID")
_APPLICATION = _Code("110150", "Application")
_STUDY = _Code("110180", "Study Instance UID")
_PATIENT = _Code("2", "Patient Number", "RFC-3881")
_BEGAN = _Code("110102", "Begin Transferring DICOM Instances")
_TRANSFERRED = _Code("110104", "DICOM Instances Transferred")
_ACCESSED = _Code("110103", "DICOM Instances Accessed")
_STUDY_DELETED = _Code("110105", "DICOM Study Deleted")
_ALERT, _AUTHENTICATION = _Code("110113", "Security Alert"), _Code("110126", "Node Authentication")
_ASSOCIATION = _Code("ASSOCIATION", "Association with Images", SCHEME)


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


def is_failure(entry: AuditEntry) -> bool:
    """Whether it tells of something that went wrong."""
    return entry.after in _FAILURES


def _event(message: ET.Element, entry: AuditEntry) -> None:
    at = datetime.fromtimestamp(entry.at, UTC).isoformat(timespec="milliseconds")
    outcome = SERIOUS_FAILURE if is_failure(entry) else SUCCESS
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
        return _ALERT if entry.after in _FAILURES else _ASSOCIATION
    if entry.kind is AuditKind.STUDY and entry.after in _GONE:
        return _STUDY_DELETED
    if entry.kind is AuditKind.STUDY and entry.after == _COMING:
        return _BEGAN
    if entry.kind is AuditKind.STUDY and entry.before in (None, _COMING):
        return _TRANSFERRED
    return _TRANSFERRED if entry.kind is AuditKind.DELIVERY and entry.after == "SENT" else _ACCESSED


def _action(entry: AuditEntry) -> str:
    """RFC 3881 5.1.2: create, read, update, delete, execute; of each kind of event those that PS3.15 A.5.3 allows."""
    kind = _kind(entry)
    if entry.after in _GONE:
        return "D"
    if kind in (_ALERT, _BEGAN):
        return "E"
    if kind is _ACCESSED and entry.kind in (AuditKind.JOB, AuditKind.DELIVERY, AuditKind.COMMITMENT):
        return "R"
    return "C" if kind in (_TRANSFERRED, _ASSOCIATION) or entry.before is None else "U"


def _participants(message: ET.Element, entry: AuditEntry, source: str) -> None:
    if entry.kind is AuditKind.ASSOCIATION:
        _peer(message, entry)
        _participant(message, source, _DESTINATION, titles=source)
    elif _kind(entry) in (_BEGAN, _TRANSFERRED) and entry.kind is AuditKind.STUDY:
        senders = (entry.ae_title or UNKNOWN).split()
        _participant(message, senders[0], _SOURCE, requests=True, titles=";".join(senders))
        _participant(message, source, _DESTINATION, titles=source)
    else:
        _participant(message, entry.account, _APPLICATION, requests=True)
        if entry.destination is not None:
            _participant(message, source, _SOURCE, titles=source)
            _participant(message, entry.destination, _DESTINATION)


def _peer(message: ET.Element, entry: AuditEntry) -> None:
    """Who called: by the certificate that it showed, else by the title that it claims."""
    title = entry.ae_title or UNKNOWN
    where = {"NetworkAccessPointID": entry.peer or "", "NetworkAccessPointTypeCode": "2"}  # an address
    _participant(message, entry.certificate or title, _SOURCE, requests=True, titles=title, **where)


def _participant(
    message: ET.Element, user: str, role: _Code, *, requests: bool = False, titles: str = "", **where: str
) -> None:
    """One active participant; ``titles`` are its AE titles (A.5.2.2)."""
    attributes = {"UserID": _spoken(user), "UserIsRequestor": str(requests).lower(), **where}
    if titles:
        attributes["AlternativeUserID"] = f"AETITLES={_spoken(titles)}"
    role.below(ET.SubElement(message, "ActiveParticipant", attributes), "RoleIDCode")


def _objects(message: ET.Element, entry: AuditEntry) -> None:
    """The study and its patient; both of them wherever one is told."""
    if entry.study_instance_uid is None:
        return
    study = _object(message, entry.study_instance_uid, _STUDY, kind="2", role="3")  # a system object: a report
    ET.SubElement(study, "ParticipantObjectName").text = f"job {entry.job}" if entry.job else "study"
    if entry.sop_instance_uid is not None:
        described = ET.SubElement(study, "ParticipantObjectDescription")
        sop_class = ET.SubElement(described, "SOPClass", {"NumberOfInstances": "1"})
        ET.SubElement(sop_class, "Instance", {"UID": entry.sop_instance_uid})
    patient_id = entry.patient_id or UNKNOWN
    patient = _object(message, patient_id, _PATIENT, kind="1", role="1")  # a person: the patient
    ET.SubElement(patient, "ParticipantObjectName").text = _spoken(patient_id)  # the trail knows no other name


def _object(message: ET.Element, name: str, id_type: _Code, *, kind: str, role: str) -> ET.Element:
    attributes = {
        "ParticipantObjectID": _spoken(name),
        "ParticipantObjectTypeCode": kind,
        "ParticipantObjectTypeCodeRole": role,
    }
    made = ET.SubElement(message, "ParticipantObjectIdentification", attributes)
    id_type.below(made, "ParticipantObjectIDTypeCode")
    return made


def _spoken(text: str) -> str:
    """What XML can say of a text, on one line."""
    return " ".join(_UNSPEAKABLE.sub("?", text).splitlines())
