"""The answer to a request for an association (PS3.8 9.3.2-9.3.4): who may, and which presentation contexts.

pynetdicom encodes the answer.
"""

import struct
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pydicom.uid import UID
from pynetdicom.pdu import A_ASSOCIATE_AC
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
from survnode.node.intake.association.proposal import APPLICATION_CONTEXT, TITLES, Proposal, ProposedContext, Titles

MAX_PDU_BYTES = 128 * 1024  # offered to senders


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
    answered = tuple((context.abstract_syntax, answer) for context, answer in answers)
    roles = [(uid, *wanted) for uid, wanted in proposal.roles.items() if uid == COMMITMENT and uid in contexts]
    pdu = _accept(proposal.titles, results, roles)
    return Agreement(proposal.titles, accepted, proposal.max_pdu_bytes, pdu, answered)


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
    pdu[TITLES] = titles.encoded
    return bytes(pdu)


def _role(sop_class_uid: str, scu: bool, scp: bool) -> SCP_SCU_RoleSelectionNegotiation:
    """Let the peer have the roles that it asks for (PS3.7 D.3.3.4)."""
    role = SCP_SCU_RoleSelectionNegotiation()
    role.sop_class_uid, role.scu_role, role.scp_role = UID(sop_class_uid), scu, scp
    return role
