"""One association to one source: C-FIND, and C-MOVE or C-GET of a series (PS3.4 C)."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import structlog
from pydicom import Dataset
from pydicom.config import disable_value_validation
from pydicom.uid import UID
from pynetdicom import build_context, build_role, evt

from survnode.node import errors
from survnode.node.config import RetrieveMethod
from survnode.node.contexts import (
    CT_SOP_CLASSES,
    FIND,
    GET,
    MOVE,
    RESULT_TRANSFER_SYNTAXES,
    StoreStatus,
    fetched_contexts,
    status_of,
)
from survnode.node.delivery.association import association
from survnode.node.delivery.destination import Destination
from survnode.node.intake.instance import Received
from survnode.node.state.records import ExpectedSeries

log = structlog.get_logger()

PENDING = (0xFF00, 0xFF01)
UNKNOWN_MOVE_DESTINATION = 0xA801
NOT_SENT = 0xA702  # it could not send
SOME_FAILED = 0xB000  # of the images; the others came
MAX_MATCHES = 10_000  # of one question: no study has more series, and a list of more studies is a wrong question
SILENCE_S = 300.0  # between two answers to C-MOVE or C-GET: an archive may have to mount a tape first

Keep = Callable[[Received], object]  # stores an instance


@dataclass(frozen=True)
class Source:
    """An archive that is asked; ``peer`` says where it is, and who asks."""

    peer: Destination
    method: RetrieveMethod = RetrieveMethod.MOVE

    @property
    def name(self) -> str:
        """How it is called here."""
        return self.peer.name


@dataclass(frozen=True)
class FoundStudy:
    """A study that a source holds; what it does not tell is empty."""

    study_instance_uid: str
    study_date: str
    accession_number: str


@dataclass(frozen=True)
class Retrieved:
    """How many images a source sent, and how many it could not send."""

    completed: int
    failed: int


def find_studies(source: Source, keys: Mapping[str, str], limit: int = MAX_MATCHES) -> list[FoundStudy]:
    """The studies that fit ``keys``, which are matched by the source.

    Raises
    ------
    QueryFailed
    """
    wanted = {"StudyInstanceUID": "", "StudyDate": "", "AccessionNumber": "", "ModalitiesInStudy": "", **keys}
    matches = _find(source, "STUDY", wanted, limit)
    with_ct = [ds for ds in matches if "CT" in (_texts(ds, "ModalitiesInStudy") or ["CT"])]
    return [
        FoundStudy(uid, _text(ds, "StudyDate"), _text(ds, "AccessionNumber"))
        for ds in with_ct
        if (uid := _uid(ds, "StudyInstanceUID"))
    ]


def find_ct_series(source: Source, study_instance_uid: str) -> tuple[ExpectedSeries, ...]:
    """The CT series of a study that the source holds, and how many instances of each.

    The number is an optional key: of a source that does not tell it, the instances themselves are asked for.

    Raises
    ------
    QueryFailed
    """
    keys = {"StudyInstanceUID": study_instance_uid, "SeriesInstanceUID": "", "Modality": ""}
    matches = _find(source, "SERIES", {**keys, "NumberOfSeriesRelatedInstances": ""})
    numbers = {_uid(ds, "SeriesInstanceUID"): _number(ds) for ds in matches if _text(ds, "Modality").upper() == "CT"}
    numbers.pop("", None)
    return tuple(
        ExpectedSeries(uid, _count(source, study_instance_uid, uid) if number is None else number)
        for uid, number in sorted(numbers.items())
    )


def retrieve_series(source: Source, study_instance_uid: str, series_instance_uid: str, keep: Keep) -> Retrieved:
    """Have a source send a series, and wait until it has.

    Parameters
    ----------
    keep : stores what comes by C-GET; with C-MOVE the receiver does

    Raises
    ------
    QueryFailed
        The source said no, or nothing: images may have come all the same.
    """
    query = Dataset()
    query.QueryRetrieveLevel = "SERIES"
    query.StudyInstanceUID, query.SeriesInstanceUID = study_instance_uid, series_instance_uid
    ask = _get if source.method is RetrieveMethod.GET else _move
    last = ask(replace(source.peer, dimse_timeout_s=max(SILENCE_S, source.peer.dimse_timeout_s)), query, keep)
    status = last.get("Status")
    completed = int(last.get("NumberOfCompletedSuboperations") or 0)
    completed += int(last.get("NumberOfWarningSuboperations") or 0)
    failed = int(last.get("NumberOfFailedSuboperations") or 0)
    log.info("series.retrieved", source=source.name, series_instance_uid=series_instance_uid, status=_hex(status),
             completed=completed, failed=failed)  # fmt: skip
    _raise_if_refused(source.peer, status, f"C-{source.method.upper()}")
    return Retrieved(completed, failed)


def _find(source: Source, level: str, keys: Mapping[str, str], limit: int = MAX_MATCHES) -> list[Dataset]:
    """What fits ``keys``, at most ``limit`` of it."""
    return list(_matches(source, level, keys, limit))


def _count(source: Source, study_instance_uid: str, series_instance_uid: str) -> int:
    keys = {"StudyInstanceUID": study_instance_uid, "SeriesInstanceUID": series_instance_uid, "SOPInstanceUID": ""}
    return len({_uid(ds, "SOPInstanceUID") for ds in _matches(source, "IMAGE", keys, MAX_MATCHES)})


def _matches(source: Source, level: str, keys: Mapping[str, str], limit: int) -> Iterator[Dataset]:
    query = Dataset()
    query.QueryRetrieveLevel = level
    with disable_value_validation():  # a person's accession number is the source's to judge
        for keyword, value in keys.items():
            setattr(query, keyword, value)
    with _connected(source.peer, [build_context(FIND, list(RESULT_TRANSFER_SYNTAXES))]) as assoc:
        for number, (response, identifier) in enumerate(assoc.send_c_find(query, FIND)):
            status = response.get("Status")
            if status not in PENDING:
                _raise_if_refused(source.peer, status, "C-FIND")
                return
            if number >= limit:
                raise errors.TooManyMatches(f"{source.name} holds more than {limit} of what was asked for.")
            if identifier is not None:
                yield identifier


def _move(peer: Destination, query: Dataset, _: Keep) -> Dataset:
    """The last answer to C-MOVE."""
    last = Dataset()
    with _connected(peer, [build_context(MOVE, list(RESULT_TRANSFER_SYNTAXES))]) as assoc:
        for response, _identifier in assoc.send_c_move(query, peer.calling_ae_title, MOVE):
            last = response
    return last


def _get(peer: Destination, query: Dataset, keep: Keep) -> Dataset:
    """The last answer to C-GET; each image is stored before it is acknowledged."""
    last = Dataset()
    contexts = [build_context(sop_class, syntax) for sop_class, syntax in fetched_contexts()]
    contexts.append(build_context(GET, list(RESULT_TRANSFER_SYNTAXES)))
    roles = [build_role(sop_class, scp_role=True) for sop_class in CT_SOP_CLASSES]
    handlers = [(evt.EVT_C_STORE, lambda event: int(_kept(event, peer, keep)))]
    with _connected(peer, contexts, handlers, roles) as assoc:
        if GET not in {context.abstract_syntax for context in assoc.accepted_contexts}:
            raise errors.SourceUnreachable(f'{peer.name} takes no C-GET: set method = "move".')
        for response, _identifier in assoc.send_c_get(query, GET):
            last = response
    return last


def _kept(event: Any, peer: Destination, keep: Keep) -> StoreStatus:
    """What the source is answered that sent an image on our own association."""
    try:
        keep(
            Received(
                sop_class_uid=str(event.request.AffectedSOPClassUID),
                sop_instance_uid=str(event.request.AffectedSOPInstanceUID),
                transfer_syntax_uid=str(event.context.transfer_syntax),
                calling_ae_title=peer.ae_title,
                encoded=event.request.DataSet.getvalue(),
                called_ae_title=peer.calling_ae_title,
            )
        )
    except Exception as error:  # noqa: BLE001  the edge of a C-STORE: the source must get an answer
        log.warning("instance.refused", source=peer.name, trace=errors.trace_of(error))
        return status_of(error)
    return StoreStatus.SUCCESS


@contextmanager
def _connected(peer: Destination, contexts: list[Any], handlers: Any = (), roles: Any = ()) -> Iterator[Any]:
    """An association with a source.

    Raises
    ------
    SourceUnreachable
    """
    try:
        with association(peer, contexts, handlers, roles) as assoc:
            yield assoc
    except errors.DeliveryFailed as error:
        raise errors.SourceUnreachable(str(error)) from error


def _raise_if_refused(peer: Destination, status: int | None, question: str) -> None:
    if status is None:
        why = f": does it know {peer.calling_ae_title}, with the node's host and port?" if question == "C-MOVE" else "."
        raise errors.QueryFailed(f"{peer.name} ended the association, or did not answer {question} in time{why}")
    if status == UNKNOWN_MOVE_DESTINATION:
        msg = f"{peer.name} does not know {peer.calling_ae_title}: name it there, with the node's host and port."
        raise errors.SourceRefused(msg, status)
    if status == NOT_SENT:
        known = "check the address that it has for it."
        msg = f"{peer.name} could not send to {peer.calling_ae_title} (status 0xA702): {known}"
        raise errors.SourceRefused(msg, status)
    if status not in (0x0000, SOME_FAILED):
        raise errors.SourceRefused(f"{peer.name} answered {question} with status {_hex(status)}.", status)


def _hex(status: int | None) -> str:
    return "none" if status is None else f"0x{status:04X}"


def _text(ds: Dataset, keyword: str) -> str:
    return "\\".join(_texts(ds, keyword))


def _texts(ds: Dataset, keyword: str) -> list[str]:
    """The values of an attribute of a foreign data set; none where they cannot be read."""
    try:
        with disable_value_validation():
            value = ds.get(keyword)
    except Exception:  # noqa: BLE001  a damaged element raises what it likes
        return []
    values = [] if value is None else [value] if isinstance(value, str | int) else list(value)
    return [text for it in values if (text := str(it).strip())]


def _uid(ds: Dataset, keyword: str) -> str:
    uid = UID(_text(ds, keyword), validation_mode=0)
    return str(uid) if uid.is_valid else ""


def _number(ds: Dataset) -> int | None:
    text = _text(ds, "NumberOfSeriesRelatedInstances")
    return int(text) if text.isascii() and text.isdigit() else None
