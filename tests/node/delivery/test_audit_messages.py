from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from lxml import etree

from survnode.node.delivery.audit_messages import message_of
from survnode.node.state.records import AuditEntry, AuditKind


@pytest.fixture(scope="module")
def schema() -> etree.RelaxNG:
    """The standard's schema of audit messages."""
    return etree.RelaxNG(etree.parse(Path(__file__).with_name("audit_message.rng")))


def entry(kind: AuditKind, before: str | None, after: str, **more: object) -> AuditEntry:
    names = ("study_instance_uid", "patient_id", "job", "destination", "sop_instance_uid", "peer", "ae_title")
    empty = dict.fromkeys((*names, "certificate", "detail"))
    return AuditEntry(**{"id": 1, "at": 0.5, "account": "root", "kind": kind, "before": before, "after": after,
                         "hash": "", **empty, **more})  # type: ignore[arg-type]  # fmt: skip


def test_a_transfer_names_sender_receiver_and_time() -> None:
    message = message_of(
        entry(AuditKind.ASSOCIATION, None, "RELEASED", peer="192.0.2.1", ae_title="CT1", detail="2 images"), "SURVNODE"
    )
    assert message == (
        '<AuditMessage><EventIdentification EventActionCode="C" EventDateTime="1970-01-01T00:00:00.500+00:00" '
        'EventOutcomeIndicator="0"><EventID csd-code="ASSOCIATION" codeSystemName="99SURVNODE" '
        'originalText="Association with Images" /><EventOutcomeDescription>ASSOCIATION RELEASED. 2 images'
        '</EventOutcomeDescription></EventIdentification><ActiveParticipant UserID="CT1" UserIsRequestor="true" '
        'NetworkAccessPointID="192.0.2.1" NetworkAccessPointTypeCode="2" AlternativeUserID="AETITLES=CT1">'
        '<RoleIDCode csd-code="110153" codeSystemName="DCM" originalText="Source Role ID" /></ActiveParticipant>'
        '<ActiveParticipant UserID="SURVNODE" UserIsRequestor="false" AlternativeUserID="AETITLES=SURVNODE">'
        '<RoleIDCode csd-code="110152" codeSystemName="DCM" originalText="Destination Role ID" /></ActiveParticipant>'
        '<AuditSourceIdentification AuditSourceID="SURVNODE"><AuditSourceTypeCode csd-code="4" />'
        "</AuditSourceIdentification></AuditMessage>"
    )


def test_who_showed_a_certificate_is_named_by_it(schema: etree.RelaxNG) -> None:
    subject = "CN=CT1, O=Hospital"
    told = entry(
        AuditKind.ASSOCIATION, None, "RELEASED", peer="192.0.2.1", ae_title="ANY", certificate=subject, detail=""
    )
    message = message_of(told, "SURVNODE")
    schema.assertValid(etree.fromstring(message))
    sender = ET.fromstring(message)[1]
    assert (sender.get("UserID"), sender.get("AlternativeUserID")) == (subject, "AETITLES=ANY")


@pytest.mark.parametrize(
    ("told", "code", "action", "outcome"),
    [
        (entry(AuditKind.ASSOCIATION, None, "TLS_REFUSED", peer="192.0.2.1"), "110113", "E", "8"),
        (entry(AuditKind.ASSOCIATION, None, "RELEASED", peer="192.0.2.1"), "ASSOCIATION", "C", "0"),
        (entry(AuditKind.STUDY, None, "RECEIVING", study_instance_uid="1.2", ae_title="CT1"), "110102", "E", "0"),
        (entry(AuditKind.STUDY, "RECEIVING", "ASSEMBLED", study_instance_uid="1.2"), "110104", "C", "0"),
        (entry(AuditKind.STUDY, "ASSEMBLED", "RECEIVING", study_instance_uid="1.2"), "110102", "E", "0"),
        (entry(AuditKind.STUDY, "ASSEMBLED", "IGNORED", study_instance_uid="1.2"), "110103", "U", "0"),
        (entry(AuditKind.STUDY, "ASSEMBLED", "DELETED", study_instance_uid="1.2"), "110105", "D", "0"),
        (entry(AuditKind.RESULT, None, "report", study_instance_uid="1.2", sop_instance_uid="1.3"), "110103", "C", "0"),
        (entry(AuditKind.JOB, "FAILED", "QUEUED", study_instance_uid="1.2", job=1), "110103", "R", "0"),
        (
            entry(AuditKind.DELIVERY, "WAITING", "SENT", study_instance_uid="1.2", destination="pacs"),
            "110104",
            "C",
            "0",
        ),
        (entry(AuditKind.DELIVERY, "WAITING", "REFUSED", destination="pacs"), "110103", "R", "8"),
        (entry(AuditKind.DELIVERY, "SENT", "WITHDRAWN", destination="pacs"), "110103", "D", "0"),
    ],
)
def test_each_kind_of_event_has_its_code(
    schema: etree.RelaxNG, told: AuditEntry, code: str, action: str, outcome: str
) -> None:
    schema.assertValid(etree.fromstring(message_of(told, "SURVNODE")))
    (event, *_) = ET.fromstring(message_of(told, "SURVNODE"))
    found = event.find("EventID")
    assert found is not None
    assert found.get("csd-code") == code
    assert (event.get("EventActionCode"), event.get("EventOutcomeIndicator")) == (action, outcome)


@pytest.mark.parametrize("patient_id", ["P1", "", None])
def test_whatever_tells_of_a_study_names_study_and_patient(patient_id: str | None) -> None:
    """As PS3.15 A.5.3 asks of each of these events: one patient, one study or more."""
    told = entry(AuditKind.JOB, "QUEUED", "RUNNING", study_instance_uid="1.2", patient_id=patient_id, job=1)
    objects = ET.fromstring(message_of(told, "SURVNODE")).findall("ParticipantObjectIdentification")
    found = [(it.get("ParticipantObjectTypeCodeRole"), it.get("ParticipantObjectID")) for it in objects]
    assert found == [("3", "1.2"), ("1", patient_id or "unknown")]


def test_what_xml_cannot_say_stays_a_line() -> None:
    patient_id = 'a\x1b"<&>\n\x00b'
    told = entry(AuditKind.STUDY, None, "RECEIVING", study_instance_uid="1.2", patient_id=patient_id, detail="\x07")
    message = message_of(told, "SURVNODE")
    assert "\n" not in message
    patient = ET.fromstring(message)[-1]
    assert patient.get("ParticipantObjectID") == 'a?"<&> ?b'
