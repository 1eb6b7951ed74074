"""Faults in bytes, as a fuzzer makes them; each is a value, so that Hypothesis can make a failing case small.

The suite runs a short and always the same part. A long one is asked for by the environment:
``SURVNODE_FUZZ=20000 python -m pytest --timeout 0 tests/model/ct/test_damaged_pixels.py`` takes so many new cases.
"""

import os
import struct
from dataclasses import dataclass
from enum import IntEnum, auto

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

LAYOUTS = ("B", "<H", ">H", "<L", ">L")
NUMBERS = (
    *(0, 1, 2, 4, 5, 6, 7, 0x7F, 0x80, 0xFE, 0xFF, 0xFFFF, 0x10000),
    *(0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF),
)


def fuzzed(cases: int) -> settings:
    """How a fuzz test runs: ``cases`` that are the same each time, or as many new ones as the environment says."""
    wanted = os.environ.get("SURVNODE_FUZZ")
    return settings(
        max_examples=int(wanted) if wanted else cases,
        derandomize=not wanted,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


class Kind(IntEnum):
    """What is done to the bytes at one place."""

    FLIP = auto()
    NUMBER = auto()
    CUT = auto()
    REPEAT = auto()
    END = auto()
    INSERT = auto()
    COPY = auto()


@dataclass(frozen=True)
class Fault:
    """One fault.

    Parameters
    ----------
    place, other : counted round the end of the content
    size : of what is cut, repeated or copied
    """

    kind: Kind
    place: int
    other: int
    size: int
    layout: str
    number: int
    inserted: bytes


PLACES = st.integers(0, (1 << 20) - 1)
FAULTS = st.lists(
    st.builds(
        Fault,
        kind=st.sampled_from(Kind),
        place=PLACES,
        other=PLACES,
        size=st.sampled_from((1, 2, 4, 8, 16, 64, 200)),
        layout=st.sampled_from(LAYOUTS),
        number=st.sampled_from(NUMBERS),
        inserted=st.binary(min_size=1, max_size=40),
    ),
    min_size=1,
    max_size=4,
)


def damaged(content: bytes, faults: list[Fault], start: int = 0) -> bytes:
    """The bytes with those faults, none of them before ``start``."""
    out = bytearray(content[start:])
    for fault in faults:
        place, other = (at % max(len(out), 1) for at in (fault.place, fault.other))
        match fault.kind:
            case Kind.FLIP if out:
                out[place] ^= 1 << fault.size % 8
            case Kind.NUMBER:
                size = struct.calcsize(fault.layout)
                out[place : place + size] = struct.pack(fault.layout, fault.number % (1 << 8 * size))
            case Kind.CUT:
                del out[place : place + fault.size]
            case Kind.REPEAT:
                out[place:place] = out[place : place + fault.size] * (fault.other % 50)
            case Kind.END:
                del out[place:]
            case Kind.INSERT:
                out[place:place] = fault.inserted
            case Kind.COPY:
                out[place : place + fault.size] = out[other : other + fault.size]
    return content[:start] + bytes(out)
