import struct

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, MRImageStorage
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ

from survnode.node.contexts import (
    COMMITMENT,
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    RESULT_TRANSFER_SYNTAXES,
    ContextResult,
)
from survnode.node.intake.association.negotiation import (
    MAX_PDU_BYTES,
    AgreedContext,
    Rejection,
    agree,
)
from survnode.node.intake.association.proposal import read_proposal

from ....integration.scu import context, item, request

OURS = {CTImageStorage: (ExplicitVRLittleEndian,), COMMITMENT: RESULT_TRANSFER_SYNTAXES}
ASKED = (
    context(1, CTImageStorage, ImplicitVRLittleEndian, ExplicitVRLittleEndian),
    context(3, CTImageStorage, ImplicitVRLittleEndian),
    context(5, MRImageStorage, ExplicitVRLittleEndian),
    context(7, COMMITMENT, ImplicitVRLittleEndian),
)


def role(uid: str, scu: int, scp: int) -> bytes:
    return item(0x54, struct.pack(">H", len(uid)), uid.encode(), bytes([scu, scp]))


def accepted(asked: bytes) -> A_ASSOCIATE_AC:
    """The answer as pynetdicom reads it."""
    pdu = A_ASSOCIATE_AC()
    pdu.decode(agree(read_proposal(asked), OURS).pdu)
    return pdu


def test_each_context_has_its_answer() -> None:
    agreement = agree(read_proposal(request(contexts=ASKED)), OURS)
    assert agreement.contexts == {
        1: AgreedContext(CTImageStorage, ExplicitVRLittleEndian),
        7: AgreedContext(COMMITMENT, ImplicitVRLittleEndian),
    }
    assert [(uid, answer.result) for uid, answer in agreement.answers] == [
        (CTImageStorage, ContextResult.ACCEPTED),
        (CTImageStorage, ContextResult.SYNTAXES_UNSUPPORTED),
        (MRImageStorage, ContextResult.CLASS_UNSUPPORTED),
        (COMMITMENT, ContextResult.ACCEPTED),
    ]
    results = accepted(request(contexts=ASKED)).presentation_context
    assert [(it.context_id, it.result_reason) for it in results] == [(1, 0), (3, 4), (5, 3), (7, 0)]
    assert results[0].transfer_syntax == ExplicitVRLittleEndian


def test_the_answer_says_who_we_are_and_repeats_who_was_called() -> None:
    asked = request(called="NODE", calling="SENDER")
    information = accepted(asked).user_information
    assert information is not None
    assert information.maximum_length == MAX_PDU_BYTES
    assert information.implementation_class_uid == IMPLEMENTATION_CLASS_UID
    assert information.implementation_version_name == IMPLEMENTATION_VERSION_NAME
    assert agree(read_proposal(asked), OURS).pdu[10:74] == asked[10:74]


def test_a_peer_may_be_the_scp_of_storage_commitment_and_of_nothing_else() -> None:
    asked = request(contexts=ASKED, user_items=[role(COMMITMENT, 0, 1), role(CTImageStorage, 1, 1)])
    information = accepted(asked).user_information
    assert information is not None
    roles = {uid: (it.scu_role, it.scp_role) for uid, it in information.role_selection.items()}
    assert roles == {COMMITMENT: (0, 1)}


def test_an_association_for_echoes_and_commitment_brings_no_images() -> None:
    assert agree(read_proposal(request(contexts=ASKED)), OURS).brings_images
    assert not agree(read_proposal(request(contexts=ASKED[3:])), OURS).brings_images


@pytest.mark.parametrize("rejection", list(Rejection))
def test_a_rejection_is_one_that_the_standard_knows(rejection: Rejection) -> None:
    pdu = A_ASSOCIATE_RJ()
    pdu.decode(rejection.pdu)
    assert (pdu.result, pdu.source, pdu.reason_diagnostic) == rejection.value[:3]
    assert "(no value available)" not in (pdu.result_str, pdu.source_str, pdu.reason_str)
    assert rejection.words.endswith(".")
