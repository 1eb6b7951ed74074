"""The answer to a request for an association (PS3.8 9.3.2-9.3.4): who may, and which presentation contexts.

The request is bounded and counted before it is decoded; pynetdicom decodes it and encodes the answer.
"""

import struct
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pydicom.uid import UID, ImplicitVRLittleEndian
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
)
from pynetdicom.presentation import PresentationContext

from survnode.node.contexts import (
    COMMITMENT,
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    VERIFICATION,
    ContextResult,
    Contexts,
    Negotiated,
    negotiated,
)

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"  # PS3.7 A.2.1
MAX_PDU_BYTES = 128 * 1024  # offered to senders
MAX_REQUEST_BYTES = 256 * 1024  # 128 contexts of 25 transfer syntaxes with the longest UIDs there are
MAX_CONTEXTS = 128  # odd numbers of one byte
MAX_ITEMS = 4096  # on every level together; the same 128 contexts have 3,584
_TITLES = slice(10, 74)  # of a request and of its acceptance: AE titles, reserved
_FIXED_BYTES = 68  # before the variable items: protocol version, AE titles, reserved


class RequestInvalid(Exception):
    """What came is no request for an association; the message says why."""


class Rejection(Enum):
    """Why there is no association: result, source and reason (PS3.8 9.3.4), and the words for a log."""

    APPLICATION_UNKNOWN = 1, 1, 2, "The application context is not that of DICOM."
    CALLED_UNKNOWN = 1, 1, 7, "The called AE title is not that of this node."
    CALLING_UNKNOWN = 1, 1, 3, "The calling AE title is not in the receiver's list."
    PROTOCOL_UNKNOWN = 1, 2, 2, "The protocol version is not 1."
    PLACES_TAKEN = 2, 3, 2, "All associations are in use."
    DISK_LOW = 2, 3, 1, "The disk is nearly full."

    @property
    def words(self) -> str:
        """What to tell a person."""
        return str(self.value[3])

    @property
    def pdu(self) -> bytes:
        """The A-ASSOCIATE-RJ."""
        return struct.pack(">BxLxBBB", 3, 4, *self.value[:3])


@dataclass(frozen=True)
class Titles:
    """Who calls whom, as a request says at a fixed place.

    Parameters
    ----------
    encoded : the bytes that say it; an answer repeats them (PS3.8 9.3.3)
    """

    called: str
    calling: str
    protocol_version: int
    encoded: bytes


@dataclass(frozen=True)
class ProposedContext:
    """One presentation context of a request."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True)
class Proposal:
    """A request for an association.

    Parameters
    ----------
    application_context : the UID of the application's rules, `APPLICATION_CONTEXT` for DICOM
    roles : SOP class UID -> whether the peer wants to be its SCU, and its SCP
    max_pdu_bytes : that the peer takes; 0 means any
    """

    titles: Titles
    application_context: str
    contexts: tuple[ProposedContext, ...]
    roles: dict[str, tuple[bool, bool]]
    max_pdu_bytes: int


@dataclass(frozen=True)
class AgreedContext:
    """An accepted presentation context."""

    abstract_syntax: str
    transfer_syntax: str


@dataclass(frozen=True)
class Agreement:
    """What both sides agreed on.

    Parameters
    ----------
    contexts : the accepted presentation contexts by their ids
    answers : the answer to each SOP class, in the order of the request
    pdu : the A-ASSOCIATE-AC
    """

    titles: Titles
    contexts: dict[int, AgreedContext]
    max_pdu_bytes: int
    pdu: bytes
    answers: tuple[tuple[str, Negotiated], ...]

    @property
    def brings_images(self) -> bool:
        """Whether anything may be stored in it."""
        return any(it.abstract_syntax not in (VERIFICATION, COMMITMENT) for it in self.contexts.values())


def read_titles(request: bytes) -> Titles:
    """Who calls whom, without a look at the rest of the A-ASSOCIATE-RQ.

    Raises
    ------
    RequestInvalid
    """
    if len(request) < 6 + _FIXED_BYTES:
        raise RequestInvalid("It is shorter than its fixed part.")
    called, calling = (request[at : at + 16].decode("latin-1").strip(" \0") for at in (10, 26))
    return Titles(called, calling, int.from_bytes(request[6:8], "big"), request[_TITLES])


def read_proposal(request: bytes) -> Proposal:
    """The whole A-ASSOCIATE-RQ.

    Raises
    ------
    RequestInvalid
    """
    titles = read_titles(request)
    _count_items(request)
    pdu = A_ASSOCIATE_RQ()
    try:
        pdu.decode(request)
        contexts = tuple(_proposed(item) for item in pdu.presentation_context)
        information: Any = pdu.user_information
        roles = {str(uid): (bool(it.scu_role), bool(it.scp_role)) for uid, it in information.role_selection.items()}
        max_pdu_bytes = int(information.maximum_length or 0)
    except Exception as error:  # pynetdicom raises what it likes at bytes that are no request
        raise RequestInvalid(f"It cannot be decoded: {type(error).__name__}.") from error
    ids = {context.context_id for context in contexts}
    if not contexts or len(ids) < len(contexts) or any(number % 2 == 0 for number in ids):
        raise RequestInvalid("Its presentation contexts are not numbered by distinct odd numbers.")
    return Proposal(titles, str(pdu.application_context_name), contexts, roles, max_pdu_bytes)


def agree(proposal: Proposal, contexts: Contexts) -> Agreement:
    """The answer to a peer that may have an association."""
    answers = [
        (context, negotiated(contexts, context.abstract_syntax, context.transfer_syntaxes))
        for context in proposal.contexts
    ]
    accepted = {
        context.context_id: AgreedContext(context.abstract_syntax, answer.transfer_syntax)
        for context, answer in answers
        if answer.result is ContextResult.ACCEPTED
    }
    results = [
        _answered(context, answer.result, answer.transfer_syntax or context.transfer_syntaxes[0])
        for context, answer in answers
    ]
    told = tuple((context.abstract_syntax, answer) for context, answer in answers)
    roles = [(uid, *wanted) for uid, wanted in proposal.roles.items() if uid == COMMITMENT and uid in contexts]
    pdu = _accept(proposal.titles, results, roles)
    return Agreement(proposal.titles, accepted, proposal.max_pdu_bytes, pdu, told)


def _proposed(item: Any) -> ProposedContext:
    syntaxes = tuple(str(uid) for uid in item.transfer_syntax) or (str(ImplicitVRLittleEndian),)
    return ProposedContext(item.context_id, str(item.abstract_syntax), syntaxes)


def _answered(context: ProposedContext, result: ContextResult, transfer_syntax: str) -> PresentationContext:
    answer = PresentationContext()
    answer.context_id = context.context_id
    answer.transfer_syntax = [UID(transfer_syntax)]
    answer.result = int(result)
    return answer


def _accept(titles: Titles, results: list[PresentationContext], roles: list[tuple[str, bool, bool]]) -> bytes:
    length, class_uid, version = (
        MaximumLengthNotification(),
        ImplementationClassUIDNotification(),
        ImplementationVersionNameNotification(),
    )
    length.maximum_length_received = MAX_PDU_BYTES
    class_uid.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    answer: Any = A_ASSOCIATE()
    answer.application_context_name = UID(APPLICATION_CONTEXT)
    answer.called_ae_title = answer.calling_ae_title = "REPLACED"
    answer.result, answer.result_source = 0, 1
    answer.presentation_context_definition_results_list = results
    answer.user_information = [length, class_uid, *(_role(*role) for role in roles), version]
    pdu = bytearray(A_ASSOCIATE_AC(answer).encode())
    pdu[_TITLES] = titles.encoded
    return bytes(pdu)


def _role(sop_class_uid: str, scu: bool, scp: bool) -> SCP_SCU_RoleSelectionNegotiation:
    """Let the peer have the roles that it asks for (PS3.7 D.3.3.4)."""
    role = SCP_SCU_RoleSelectionNegotiation()
    role.sop_class_uid, role.scu_role, role.scp_role = UID(sop_class_uid), scu, scp
    return role


def _count_items(request: bytes) -> None:
    """Refuse a request whose items would take long to decode, or do not fill it."""
    content = memoryview(request)[6 + _FIXED_BYTES :]
    kinds = [(kind, inner) for kind, inner in _items(content, MAX_CONTEXTS + 2)]
    left = MAX_ITEMS
    for kind, inner in kinds:
        if kind in (0x20, 0x50):  # a presentation context, the user information
            left -= sum(1 for _ in _items(inner[4:] if kind == 0x20 else inner, left))


def _items(content: memoryview, limit: int) -> Any:
    """The type and the content of each item."""
    place = 0
    while place < len(content):
        limit -= 1
        if place + 4 > len(content) or limit < 0:
            raise RequestInvalid("It has too many items, or one is cut short.")
        (length,) = struct.unpack_from(">H", content, place + 2)
        if place + 4 + length > len(content):
            raise RequestInvalid("One of its items runs past its end.")
        yield content[place], content[place + 4 : place + 4 + length]
        place += 4 + length
