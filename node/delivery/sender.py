"""One association to one destination: C-ECHO, and C-STORE of files as they lie on disk."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID, ImplicitVRLittleEndian
from pynetdicom import AE, _config, build_context
from pynetdicom.presentation import PresentationContext

from survnode.node import errors
from survnode.node.contexts import RESULT_TRANSFER_SYNTAXES, UNCOMPRESSED, VERIFICATION, Answer, meaning_of
from survnode.node.retry import RetryPolicy

log = structlog.get_logger()

MAX_PDU_BYTES = 128 * 1024
UNREADABLE = "Its file cannot be read."


@dataclass(frozen=True)
class Destination:
    """A peer that gets results.

    Parameters
    ----------
    name : how it is called here
    ae_title, host, port : of the peer
    calling_ae_title : our own
    dimse_timeout_s : how long an answer to one object may take
    retry : when to try again and when to leave it to a person
    """

    name: str
    ae_title: str
    host: str
    port: int
    calling_ae_title: str = "SURVNODE"
    connection_timeout_s: float = 10.0
    acse_timeout_s: float = 10.0
    dimse_timeout_s: float = 60.0
    retry: RetryPolicy = field(default_factory=lambda: RetryPolicy(max_elapsed_s=3 * 86400.0))


@dataclass(frozen=True)
class Outgoing:
    """One object to send: a Part 10 file."""

    sop_class_uid: str
    sop_instance_uid: str
    path: Path


@dataclass(frozen=True)
class Outcome:
    """What became of one object.

    Parameters
    ----------
    status : the destination's DIMSE status; None if none came
    """

    answer: Answer
    status: int | None = None
    detail: str = ""


def echo(destination: Destination) -> None:
    """Ask the destination for a sign of life.

    Raises
    ------
    DestinationUnreachable, AssociationRejected
    DeliveryFailed
        It took the association, but did not answer C-ECHO with success.
    """
    contexts = [build_context(VERIFICATION, list(RESULT_TRANSFER_SYNTAXES))]
    with _association(destination, contexts) as assoc:
        status = assoc.send_c_echo().get("Status") if assoc.accepted_contexts else None
    if status != 0x0000:
        raise errors.DeliveryFailed(f"{destination.name} answered C-ECHO with {_named(status)}.")


def send(destination: Destination, objects: Sequence[Outgoing]) -> Iterator[Outcome]:
    """Send the objects in their order over one association.

    Yields
    ------
    What became of each object, in their order and while it goes on. It ends early when the destination cannot take
    more now (A7xx) or does not answer: the objects without an outcome were not tried.

    Raises
    ------
    DestinationUnreachable, AssociationRejected
        Before the first outcome.
    """
    syntaxes = [_transfer_syntax_of(item.path) for item in objects]
    contexts = _contexts_for(objects, syntaxes)
    if not contexts:
        yield from (Outcome(Answer.REFUSED, None, UNREADABLE) for _ in objects)
        return
    with _association(destination, contexts) as assoc:
        for number, (item, transfer_syntax) in enumerate(zip(objects, syntaxes, strict=True)):
            outcome = _send_one(assoc, item, transfer_syntax, message_id=number % 0xFFFF + 1)
            yield outcome
            if outcome.answer is Answer.TRY_AGAIN:
                return


def _send_one(assoc: Any, item: Outgoing, transfer_syntax: str | None, message_id: int) -> Outcome:
    if transfer_syntax is None:
        return Outcome(Answer.REFUSED, None, UNREADABLE)
    contexts = [context for context in assoc.accepted_contexts if context.abstract_syntax == item.sop_class_uid]
    accepted = {context.transfer_syntax[0] for context in contexts}
    if transfer_syntax in accepted:
        content: Any = item.path  # its bytes as they are
    elif ImplicitVRLittleEndian in accepted and transfer_syntax in UNCOMPRESSED:
        content = dcmread(item.path)
    else:
        return Outcome(Answer.REFUSED, None, f"It accepts no {UID(item.sop_class_uid).name} in our transfer syntaxes.")
    if not assoc.is_established:
        return Outcome(Answer.TRY_AGAIN, None, "The association ended.")
    response = assoc.send_c_store(content, msg_id=message_id)
    status = response.get("Status")
    return Outcome(meaning_of(status), status, str(response.get("ErrorComment", "")) or _named(status))


@contextmanager
def _association(destination: Destination, contexts: list[PresentationContext]) -> Iterator[Any]:
    """An established association, released at the end, or aborted if the block failed.

    Raises
    ------
    DestinationUnreachable, AssociationRejected
    """
    _config.STORE_SEND_CHUNKED_DATASET = True  # a path is sent byte for byte and never decoded
    ae = AE(ae_title=destination.calling_ae_title)
    ae.connection_timeout = destination.connection_timeout_s
    ae.acse_timeout = destination.acse_timeout_s
    ae.dimse_timeout = ae.network_timeout = destination.dimse_timeout_s
    assoc = ae.associate(
        destination.host, destination.port, contexts, ae_title=destination.ae_title, max_pdu=MAX_PDU_BYTES
    )
    if not assoc.is_established:
        raise _why_not(destination, assoc)
    try:
        yield assoc
    except BaseException:
        assoc.abort()
        raise
    if assoc.is_established:
        assoc.release()


def _why_not(destination: Destination, assoc: Any) -> errors.DeliveryFailed:
    where = f"{destination.name} ({destination.ae_title} at {destination.host}:{destination.port})"
    if assoc.is_rejected:
        answer = assoc.acceptor.primitive
        return errors.AssociationRejected(f"{where} rejected the association: {answer.reason_str}.")
    if assoc.acceptor.primitive is not None:
        return errors.AssociationRejected(f"{where} accepted none of the proposed presentation contexts.")
    return errors.DestinationUnreachable(f"{where} cannot be reached.")


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
