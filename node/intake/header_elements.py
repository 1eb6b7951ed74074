"""The elements of a data set that say where it belongs, found in its bytes however it is written, without trust.

A sender has shown nothing of himself yet, and this is done in the process that receives: what is not wanted is passed
over, sequences item by item, so that neither memory nor depth grows with what they hold, and the number of elements is
limited. pydicom makes a data set of each item: 7 MiB of empty ones took 0.7 GB and half a minute. `leading_elements`
reads plain headers five times as fast; this takes what it leaves.
"""

import struct
from collections.abc import Callable, Collection
from dataclasses import dataclass

from pydicom.uid import UID
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from survnode.node.errors import InstanceUnparsable

MAX_ELEMENTS = 200_000  # a list of 10,000 referenced images has 40,000; so many take 0.3 s
MAX_VALUE_BYTES = 1 << 16  # of an element that is wanted; the longest text of a header's first part has 10,240
MAX_DEPTH = 64  # of sequences; structured reports, the deepest there are, have 10

_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD  # PS3.5 7.5.1
_LONG = frozenset(vr.encode() for vr in EXPLICIT_VR_LENGTH_32)

_HEADS = {order: struct.Struct(f"{order}HH2sH") for order in "<>"}  # group, element, VR, the length of a short one
_LENGTHS = {order: struct.Struct(f"{order}L") for order in "<>"}
_WINDOW_BYTES = 1 << 15  # read at a time: most headers fit


class DataSetBytes:
    """The bytes of a data set, of which only what is looked at is read.

    Parameters
    ----------
    read_at : the bytes from a place on, as many as are asked for if there are so many
    """

    def __init__(self, size: int, read_at: Callable[[int, int], bytes]) -> None:
        self.size, self.read_at = size, read_at
        self._window, self._start = b"", 0

    @classmethod
    def of(cls, content: bytes) -> "DataSetBytes":
        """Those that are in memory."""
        return cls(len(content), lambda place, count: content[place : place + count])

    def part(self, start: int, length: int) -> bytes:
        """A part that is whole."""
        if start + length > self.size:
            raise InstanceUnparsable("An element is longer than what is left of the data set.")
        if not self._start <= start <= start + length <= self._start + len(self._window):
            self._window, self._start = self.read_at(start, max(length, _WINDOW_BYTES)), start
        start -= self._start
        return self._window[start : start + length]


@dataclass(frozen=True)
class _Encoding:
    """How elements are written."""

    implicit: bool
    order: str  # of bytes, as `struct` says it

    def within(self, vr: bytes) -> "_Encoding":
        """How the items of an element of undefined length are written (PS3.5 6.2.2)."""
        return _Encoding(True, "<") if vr == b"UN" else self


def wanted_elements(
    data_set: DataSetBytes, transfer_syntax_uid: str, wanted: Collection[int], last: int
) -> dict[int, bytes]:
    """The values of the elements ``wanted`` up to ``last`` by their tags, as they came.

    Parameters
    ----------
    data_set : inflated

    Raises
    ------
    InstanceUnparsable
    """
    syntax = UID(transfer_syntax_uid)
    known = syntax.is_transfer_syntax  # what is not is written as all but one of the standard's
    order = "<" if not known or syntax.is_little_endian else ">"
    encoding = _Encoding(_is_implicit(data_set, known and syntax.is_implicit_VR), order)
    found: dict[int, bytes] = {}
    walk = _Walk(data_set)
    while walk.place < data_set.size:
        tag, vr, length = walk.head(encoding)
        if tag > last:
            break
        if length == _UNDEFINED:
            walk.pass_items(encoding.within(vr))
        elif tag not in wanted:
            walk.skip(length)
        elif length > MAX_VALUE_BYTES:
            raise InstanceUnparsable(f"An element that names the study is longer than {MAX_VALUE_BYTES} bytes.")
        else:
            found[tag] = walk.take(length)
    return found


def _is_implicit(data_set: DataSetBytes, expected: bool) -> bool:
    """Whether VRs are left out: by the first element, since some writers say the one and write the other."""
    return expected if data_set.size < 6 else not _is_vr(data_set.part(4, 2))


def _is_vr(code: bytes) -> bool:
    return code.isalpha() and code.isupper()


class _Walk:
    """A place in a data set, on its way to the end."""

    def __init__(self, data_set: DataSetBytes) -> None:
        self._data_set, self.place, self._seen = data_set, 0, 0

    def head(self, encoding: _Encoding) -> tuple[int, bytes, int]:
        """Tag, VR (none if it is implicit) and length of the element that begins here."""
        self._seen += 1
        if self._seen > MAX_ELEMENTS:
            raise InstanceUnparsable(f"The data set has more than {MAX_ELEMENTS} elements before its series.")
        head = self.take(8)
        group, element, vr, short = _HEADS[encoding.order].unpack(head)
        tag = group << 16 | element
        if encoding.implicit or group == 0xFFFE or not _is_vr(vr):  # some writers leave out a VR alone
            return tag, b"", _LENGTHS[encoding.order].unpack_from(head, 4)[0]
        if vr in _LONG:
            return tag, vr, _LENGTHS[encoding.order].unpack(self.take(4))[0]
        return tag, vr, short

    def take(self, length: int) -> bytes:
        """The next bytes."""
        start, self.place = self.place, self.place + length
        return self._data_set.part(start, length)

    def skip(self, length: int) -> None:
        """Go behind the next bytes."""
        self._data_set.part(self.place + length, 0)
        self.place += length

    def pass_items(self, encoding: _Encoding) -> None:
        """Go behind a sequence of undefined length, whatever lies in it."""
        within = [(encoding, True)]  # from the outermost: how it is written, and whether items are due or elements
        while within:
            if len(within) > MAX_DEPTH:
                raise InstanceUnparsable(f"Its sequences are more than {MAX_DEPTH} deep.")
            encoding, items_are_due = within[-1]
            tag, vr, length = self.head(encoding)
            if tag == (_SEQUENCE_END if items_are_due else _ITEM_END):
                within.pop()
            elif items_are_due and tag != _ITEM:
                raise InstanceUnparsable("What stands in a sequence is no item.")
            elif length != _UNDEFINED:
                self.skip(length)
            elif items_are_due:
                within.append((encoding, False))
            else:
                within.append((encoding.within(vr), True))
