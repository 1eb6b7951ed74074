"""DIMSE command sets: what a peer asks, read from bytes, and the bytes of what it is answered (PS3.7 6.3.1, 9.3, E).

A command set is flat, Implicit VR Little Endian, and comes twice an image: it is read and written here in 5 us, where
a data set of pydicom's takes 70.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

MAX_COMMAND_BYTES = 16 * 1024  # the longest that a storage service has is under 1 KiB
MAX_COMMENT = 64  # characters of an Error Comment (LO)

NO_DATA_SET = 0x0101
ANSWER = 0x8000  # the bit that makes the Command Field of an answer


class CommandField(IntEnum):
    """The requests that a storage service knows (PS3.7 E.1)."""

    C_STORE = 0x0001
    C_ECHO = 0x0030
    N_EVENT_REPORT = 0x0100
    C_CANCEL = 0x0FFF


class Element(IntEnum):
    """Elements of group 0000 (PS3.7 E.1)."""

    GROUP_LENGTH = 0x0000
    AFFECTED_SOP_CLASS_UID = 0x0002
    COMMAND_FIELD = 0x0100
    MESSAGE_ID = 0x0110
    MESSAGE_ID_ANSWERED = 0x0120
    DATA_SET_TYPE = 0x0800
    STATUS = 0x0900
    ERROR_COMMENT = 0x0902
    AFFECTED_SOP_INSTANCE_UID = 0x1000
    EVENT_TYPE_ID = 0x1002


class CommandUnreadable(Exception):
    """The bytes are no command set."""


@dataclass(frozen=True)
class Command:
    """A request; its UIDs as they came, without their padding, each byte a character."""

    field: int
    message_id: int
    has_data_set: bool
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    event_type_id: int = 0


def read_command(encoded: bytes) -> Command:
    """The request in ``encoded``.

    Raises
    ------
    CommandUnreadable
    """
    values = _read_elements(encoded)
    return Command(
        field=_number(values, Element.COMMAND_FIELD),
        message_id=_number(values, Element.MESSAGE_ID, 0),
        has_data_set=_number(values, Element.DATA_SET_TYPE) != NO_DATA_SET,
        sop_class_uid=_uid(values, Element.AFFECTED_SOP_CLASS_UID),
        sop_instance_uid=_uid(values, Element.AFFECTED_SOP_INSTANCE_UID),
        event_type_id=_number(values, Element.EVENT_TYPE_ID, 0),
    )


def answer_to(command: Command, status: int, comment: str = "") -> bytes:
    """The command set that answers ``command`` with ``status``.

    Parameters
    ----------
    comment : ASCII for the peer's person; cut to what an Error Comment holds
    """
    elements = [
        _encoded_uid(Element.AFFECTED_SOP_CLASS_UID, command.sop_class_uid),
        _encoded_number(Element.COMMAND_FIELD, command.field | ANSWER),
        _encoded_number(Element.MESSAGE_ID_ANSWERED, command.message_id),
        _encoded_number(Element.DATA_SET_TYPE, NO_DATA_SET),
        _encoded_number(Element.STATUS, status),
        _encoded(Element.ERROR_COMMENT, comment[:MAX_COMMENT].encode("ascii", "replace"), b" ") if comment else b"",
        _encoded_uid(Element.AFFECTED_SOP_INSTANCE_UID, command.sop_instance_uid),
        _encoded_number(Element.EVENT_TYPE_ID, command.event_type_id) if command.event_type_id else b"",
    ]
    content = b"".join(elements)
    return _encoded(Element.GROUP_LENGTH, struct.pack("<L", len(content))) + content


def _read_elements(encoded: bytes) -> dict[int, bytes]:
    values, place = {}, 0
    while place < len(encoded):
        if place + 8 > len(encoded):
            raise CommandUnreadable("An element is cut short.")
        group, number, length = struct.unpack_from("<HHL", encoded, place)
        place += 8 + length
        if group != 0 or place > len(encoded):
            raise CommandUnreadable("An element is of another group, or longer than the command set.")
        values[number] = encoded[place - length : place]
    return values


def _number(values: dict[int, bytes], element: Element, default: int | None = None) -> int:
    value = values.get(element, b"")
    if len(value) == 2:
        return int.from_bytes(value, "little")
    if default is None:
        raise CommandUnreadable(f"The command set lacks its {element.name}.")
    return default


def _uid(values: dict[int, bytes], element: Element) -> str:
    value = values.get(element, b"").decode("latin-1")
    return value[:-1] if value.endswith(("\0", " ")) else value


def _encoded(element: Element, value: bytes, padding: bytes = b"\0") -> bytes:
    value += padding[: len(value) % 2]
    return struct.pack("<HHL", 0, element, len(value)) + value


def _encoded_number(element: Element, value: int) -> bytes:
    return struct.pack("<HHLH", 0, element, 2, value)


def _encoded_uid(element: Element, uid: str) -> bytes:
    return _encoded(element, uid.encode("latin-1")) if uid else b""
