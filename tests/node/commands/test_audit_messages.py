from xml.etree import ElementTree as ET

import pytest

from survnode.node.commands.audit_messages import message_of
from survnode.node.state.records import AuditEntry, AuditKind


def entry(kind: AuditKind, before: str | None, after: str, **more: object) -> AuditEntry:
    empty = dict.fromkeys(
        ("study_instance_uid", "patient_id", "job", "destination", "sop_instance_uid", "peer", "ae_title", "detail")
    )
    return AuditEntry(**{"id": 1, "at": 0.5, "account": "root", "kind": kind, "before": before, "after": after,
                         "hash": "", **empty, **more})  # type: ignore[arg-type]  # fmt: skip


def test_a_transfer_names_sender_receiver_and_time() -> None:
    message = message_of(
        entry(AuditKind.ASSOCIATION, None, "RELEASED", peer="192.0.2.1", ae_title="CT1", detail="2 images"), "SURVNODE"
    )
    assert message == (
        '<AuditMessage><EventIdentification EventActionCode="C" EventDateTime="1970-01-01T00:00:00.500+00:00" '
        'EventOutcomeIndicator="0"><EventID csd-code="110104" codeSystemName="DCM" '
        'originalText="DICOM Instances Transferred" /><EventOutcomeDescription>ASSOCIATION RELEASED. 2 images'
        '</EventOutcomeDescription></EventIdentification><ActiveParticipant UserID="CT1" UserIsRequestor="true" '
        'NetworkAccessPointID="192.0.2.1" NetworkAccessPointTypeCode="2"><RoleIDCode csd-code="110153" '
        'codeSystemName="DCM" originalText="Source Role ID" /></ActiveParticipant><ActiveParticipant UserID="SURVNODE" '
        'UserIsRequestor="false"><RoleIDCode csd-code="110152" codeSystemName="DCM" '
        'originalText="Destination Role ID" /></ActiveParticipant><AuditSourceIdentification AuditSourceID="SURVNODE">'
        '<AuditSourceTypeCode csd-code="4" /></AuditSourceIdentification></AuditMessage>'
    )


@pytest.mark.parametrize(
    ("told", "code", "action", "outcome"),
    [
        (entry(AuditKind.ASSOCIATION, None, "TLS_REFUSED", peer="192.0.2.1"), "110113", "E", "8"),
        (entry(AuditKind.STUDY, "RECEIVING", "ASSEMBLED", study_instance_uid="1.2"), "110103", "U", "0"),
        (entry(AuditKind.STUDY, "ASSEMBLED", "DELETED", study_instance_uid="1.2"), "110105", "D", "0"),
        (entry(AuditKind.RESULT, None, "report", study_instance_uid="1.2"), "110103", "C", "0"),
        (entry(AuditKind.JOB, "FAILED", "QUEUED", study_instance_uid="1.2", job=1), "110103", "E", "0"),
        (entry(AuditKind.DELIVERY, "WAITING", "SENT", destination="pacs"), "110104", "R", "0"),
        (entry(AuditKind.DELIVERY, "WAITING", "REFUSED", destination="pacs"), "110103", "R", "8"),
        (entry(AuditKind.DELIVERY, "SENT", "WITHDRAWN", destination="pacs"), "110103", "D", "0"),
    ],
)
def test_each_kind_of_event_has_its_code(told: AuditEntry, code: str, action: str, outcome: str) -> None:
    (event, *_) = message = ET.fromstring(message_of(told, "SURVNODE"))
    found = event.find("EventID")
    assert found is not None
    assert found.get("csd-code") == code
    assert (event.get("EventActionCode"), event.get("EventOutcomeIndicator")) == (action, outcome)
    names = [element.tag for element in message]
    order = [
        "EventIdentification", "ActiveParticipant", "AuditSourceIdentification", "ParticipantObjectIdentification",
    ]  # fmt: skip
    assert names == sorted(names, key=order.index)


def test_what_xml_cannot_say_stays_a_line() -> None:
    patient_id = 'a\x1b"<&>\n\x00b'
    told = entry(AuditKind.STUDY, None, "RECEIVING", study_instance_uid="1.2", patient_id=patient_id, detail="\x07")
    message = message_of(told, "SURVNODE")
    assert "\n" not in message
    patient = ET.fromstring(message)[-1]
    assert patient.get("ParticipantObjectID") == 'a?"<&> ?b'
