"""One association to one destination: C-ECHO, C-STORE of files as they lie on disk, a request for commitment."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import structlog
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID, ImplicitVRLittleEndian
from pynetdicom import build_context, evt
from pynetdicom.presentation import PresentationContext

from survnode.node import errors
from survnode.node.contexts import (
    COMMITMENT,
    COMMITMENT_INSTANCE,
    RESULT_TRANSFER_SYNTAXES,
    UNCOMPRESSED,
    VERIFICATION,
    Answer,
    EventStatus,
    meaning_of,
)
from survnode.node.delivery.association import association
from survnode.node.delivery.destination import Destination
from survnode.node.roles import RESULT_SOP_CLASSES

log = structlog.get_logger()

UNREADABLE = "Its file cannot be read."
REQUEST_COMMITMENT = 1  # the action type (PS3.4 J.3.2.1)
SAME_ASSOCIATION_S = 1.0  # how long the answer may come in the association of the request; most come in their own

OnCommitment = Callable[[int, Dataset], EventStatus]  # gets event type and information of an N-EVENT-REPORT


@dataclass(frozen=True)
class Outgoing:
    """One object to send: a Part 10 file."""

    sop_class_uid: str
    sop_instance_uid: str
    path: Path


@dataclass(frozen=True)
class SendOutcome:
    """What became of one object.

    Parameters
    ----------
    status : the destination's DIMSE status; None if none came
    perhaps_there : whether it went out and no answer came, so that the destination may have it
    """

    answer: Answer
    status: int | None = None
    detail: str = ""
    perhaps_there: bool = False


def echo(destination: Destination) -> None:
    """Ask the destination for a sign of life.

    Raises
    ------
    DestinationUnreachable, AssociationRejected
    DeliveryFailed
        It took the association, but did not answer C-ECHO with success.
    """
    contexts = [build_context(VERIFICATION, list(RESULT_TRANSFER_SYNTAXES))]
    with association(destination, contexts) as assoc:
        status = assoc.send_c_echo().get("Status") if assoc.accepted_contexts else None
    if status != 0x0000:
        raise errors.DeliveryFailed(f"{destination.name} answered C-ECHO with {_named(status)}.")


def probe(destination: Destination, sop_classes: Sequence[str] = RESULT_SOP_CLASSES) -> tuple[str, ...]:
    """Those of ``sop_classes`` that the destination accepts; nothing is sent.

    Raises
    ------
    DestinationUnreachable, AssociationRejected
    """
    contexts = [build_context(uid, list(RESULT_TRANSFER_SYNTAXES)) for uid in (*sop_classes, VERIFICATION)]
    with association(destination, contexts) as assoc:
        accepted = {context.abstract_syntax for context in assoc.accepted_contexts}
    return tuple(uid for uid in sop_classes if uid in accepted)


def request_commitment(
    destination: Destination, transaction_uid: str, objects: Sequence[tuple[str, str]], on_answer: OnCommitment
) -> None:
    """Ask the destination to commit to objects that it stored (N-ACTION, PS3.4 J.3.2).

    Parameters
    ----------
    objects : SOP class and SOP instance UID of each
    on_answer : called if the answer comes in the same association; else it comes to the receiver

    Raises
    ------
    DestinationUnreachable, AssociationRejected
    DeliveryFailed
        It did not take the request.
    """
    answered = Event()

    def answer(event: Any) -> tuple[int, None]:
        status = on_answer(event.event_type, event.event_information)
        answered.set()
        return int(status), None

    contexts = [build_context(COMMITMENT, list(RESULT_TRANSFER_SYNTAXES))]
    with association(destination, contexts, [(evt.EVT_N_EVENT_REPORT, answer)]) as assoc:
        information = _commitment_request(transaction_uid, objects)
        response, _ = assoc.send_n_action(information, REQUEST_COMMITMENT, COMMITMENT, COMMITMENT_INSTANCE)
        status = response.get("Status")
        if status != 0x0000:
            msg = f"{destination.name} answered the request for storage commitment with {_named(status)}."
            raise errors.DeliveryFailed(msg)
        answered.wait(SAME_ASSOCIATION_S)


def _commitment_request(transaction_uid: str, objects: Sequence[tuple[str, str]]) -> Dataset:
    information = Dataset()
    information.TransactionUID = transaction_uid
    information.ReferencedSOPSequence = []
    for sop_class_uid, sop_instance_uid in objects:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
        information.ReferencedSOPSequence.append(item)
    return information


def send(destination: Destination, objects: Sequence[Outgoing]) -> Iterator[SendOutcome]:
    """Send the objects in their order over one association.

    Yields
    ------
    What became of each object, in their order and while it goes on. It ends early when the destination cannot take
    more now (A7xx) or does not answer: the objects without an outcome were not tried. One whose class the destination
    does not take is refused alone, even if it takes none of them.

    Raises
    ------
    DestinationUnreachable, AssociationRejected
        Before the first outcome.
    """
    syntaxes = [_transfer_syntax_of(item.path) for item in objects]
    contexts = _contexts_for(objects, syntaxes)
    if not contexts:
        yield from (SendOutcome(Answer.REFUSED, None, UNREADABLE) for _ in objects)
        return
    try:
        with association(destination, contexts) as assoc:
            for number, (item, transfer_syntax) in enumerate(zip(objects, syntaxes, strict=True)):
                outcome = _send_one(assoc, item, transfer_syntax, message_id=number % 0xFFFF + 1)
                yield outcome
                if outcome.answer is Answer.TRY_AGAIN:
                    return
    except errors.ContextsRejected:
        yield from (_not_taken(item, transfer_syntax) for item, transfer_syntax in zip(objects, syntaxes, strict=True))


def _send_one(assoc: Any, item: Outgoing, transfer_syntax: str | None, message_id: int) -> SendOutcome:
    contexts = [context for context in assoc.accepted_contexts if context.abstract_syntax == item.sop_class_uid]
    accepted = {context.transfer_syntax[0] for context in contexts}
    if transfer_syntax in accepted:
        content: Any = item.path  # its bytes as they are
    elif ImplicitVRLittleEndian in accepted and transfer_syntax in UNCOMPRESSED:
        content = dcmread(item.path)
    else:
        return _not_taken(item, transfer_syntax)
    if not assoc.is_established:
        return SendOutcome(Answer.TRY_AGAIN, None, "The association ended.")
    response = assoc.send_c_store(content, msg_id=message_id)
    status = response.get("Status")
    detail = str(response.get("ErrorComment", "")) or _named(status)
    return SendOutcome(meaning_of(status), status, detail, perhaps_there=status is None)


def _not_taken(item: Outgoing, transfer_syntax: str | None) -> SendOutcome:
    """What is refused without being sent."""
    if transfer_syntax is None:
        return SendOutcome(Answer.REFUSED, None, UNREADABLE)
    return SendOutcome(Answer.REFUSED, None, f"It accepts no {UID(item.sop_class_uid).name} in our transfer syntaxes.")


def _contexts_for(objects: Sequence[Outgoing], syntaxes: Sequence[str | None]) -> list[PresentationContext]:
    """One context for each class and transfer syntax to send: an acceptor then cannot choose the wrong one for us."""
    wanted: dict[tuple[str, str], None] = {}
    for item, transfer_syntax in zip(objects, syntaxes, strict=True):
        if transfer_syntax is not None:
            wanted[item.sop_class_uid, transfer_syntax] = None
        if transfer_syntax in UNCOMPRESSED:
            wanted[item.sop_class_uid, ImplicitVRLittleEndian] = None
    return [build_context(sop_class, transfer_syntax) for sop_class, transfer_syntax in wanted]


def _transfer_syntax_of(path: Path) -> str | None:
    """Of a Part 10 file; None if it cannot be read."""
    try:
        return str(read_file_meta_info(path).TransferSyntaxUID)
    except (OSError, InvalidDicomError, AttributeError) as error:
        log.error("delivery.unreadable", path=str(path), error=type(error).__name__)
        return None


def _named(status: int | None) -> str:
    return "no status" if status is None else f"status 0x{status:04X}"
