import struct
from time import process_time

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.pdu import A_ASSOCIATE_RQ

from survnode.node.contexts import COMMITMENT
from survnode.node.intake.association.proposal import (
    APPLICATION_CONTEXT,
    MAX_ITEMS,
    MAX_REQUEST_BYTES,
    RequestInvalid,
    read_proposal,
    read_titles,
)

from ....integration.scu import context, item, request

CONTEXT = context(1, CTImageStorage, ImplicitVRLittleEndian, ExplicitVRLittleEndian)


def role(uid: str, scu: int, scp: int) -> bytes:
    return item(0x54, struct.pack(">H", len(uid)), uid.encode(), bytes([scu, scp]))


def test_the_titles_are_read_without_their_padding() -> None:
    titles = read_titles(request(called="NODE", calling="A SENDER"))
    assert (titles.called, titles.calling, titles.protocol_version) == ("NODE", "A SENDER", 1)


def test_a_peer_says_how_long_a_pdu_it_takes() -> None:
    assert read_proposal(request(max_pdu=4096)).max_pdu_bytes == 4096
    assert read_proposal(request(max_pdu=0)).max_pdu_bytes == 0


def test_it_is_read_as_pynetdicom_reads_it() -> None:
    contexts = [CONTEXT, context(7, COMMITMENT, ImplicitVRLittleEndian), context(255, "1.2.3", "1.2.4")]
    asked = request(contexts=contexts, user_items=[role(COMMITMENT, 0, 1), role("1.2.3", 1, 0), item(0x55, b"V")])
    proposal, oracle = read_proposal(asked), A_ASSOCIATE_RQ()
    oracle.decode(asked)
    assert oracle.user_information is not None
    assert proposal.application_context == oracle.application_context_name == APPLICATION_CONTEXT
    assert [(it.context_id, it.abstract_syntax, it.transfer_syntaxes) for it in proposal.contexts] == [
        (it.context_id, it.abstract_syntax, tuple(it.transfer_syntax)) for it in oracle.presentation_context
    ]
    roles = {uid: (bool(it.scu_role), bool(it.scp_role)) for uid, it in oracle.user_information.role_selection.items()}
    assert proposal.roles == roles
    assert proposal.max_pdu_bytes == oracle.user_information.maximum_length


def test_a_context_without_transfer_syntax_is_of_the_default_one() -> None:
    (only,) = read_proposal(request(contexts=[context(1, CTImageStorage)])).contexts
    assert only.transfer_syntaxes == (ImplicitVRLittleEndian,)


@pytest.mark.parametrize(
    "asked",
    [
        b"\1\0\0\0\0\0",
        request()[:60],
        request()[:-1],
        request(contexts=()),
        request(contexts=(CONTEXT, CONTEXT)),
        request(contexts=(context(4, CTImageStorage, ExplicitVRLittleEndian),)),
        request(contexts=[context(1, CTImageStorage, ExplicitVRLittleEndian)] * 129),
        request(contexts=[context(2 * n + 1, CTImageStorage, *[ExplicitVRLittleEndian] * 40) for n in range(120)]),
        request(contexts=[item(0x20, b"\1\0")]),
        request(contexts=[item(0x20, b"\1\0\0\0")]),
        request(contexts=[item(0x20, b"\1\0\0\0", item(0x30, b"1.2"), item(0x30, b"1.3"))]),
        request(contexts=[item(0x20, b"\1\0\0\0", item(0x30, b"1.\xff"))]),
        request(user_items=[item(0x55, b"V")] * MAX_ITEMS),
        request(user_items=[b"\x54\0\xff\xff"]),
        request(user_items=[item(0x54, b"\0\7", b"1.2.3", b"\0\0")]),
        request(user_items=[item(0x54, b"")]),
        request(calling=""),
        request(called=""),
    ],
)
def test_what_is_no_request_is_refused(asked: bytes) -> None:
    with pytest.raises(RequestInvalid):
        read_proposal(asked)


def test_the_largest_request_holds_up_the_thread_of_all_requests_for_milliseconds() -> None:
    syntaxes = [f"1.2.840.10008.1.2.4.{number}" for number in range(30)]
    asked = request(contexts=[context(2 * n + 1, f"1.2.{n}", *syntaxes) for n in range(128)])
    assert len(asked) < MAX_REQUEST_BYTES
    began = process_time()
    read_proposal(asked)
    assert process_time() - began < 0.05  # pynetdicom takes as long, and longer on a busy machine
