"""Mutations of recorded conversations and of data sets, and every file of pydicom's own test set.

Seeded, so that a run repeats itself. For more cases than the suite has time for:
``python -m tests.integration.test_fuzzing CASES SEED`` in the repository's root.
"""

import os
import resource
import socket
import struct
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from time import monotonic

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_files
from pydicom.errors import InvalidDicomError
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian

from survnode.node import errors
from survnode.node.commands.study_folders import studies_in
from survnode.node.contexts import accepted_contexts
from survnode.node.intake.instance import Received
from survnode.node.intake.instance_header import read_header
from survnode.node.intake.receiver import Listening, Receiver
from survnode.node.intake.store import Store
from survnode.node.state.database import Database

from .scu import C_ECHO, CT, ECHO, RELEASE_RQ, associated, command, ct, p_data, request, store, value

CONVERSATIONS, DATA_SETS = 300, 3000  # some seconds of the suite
SEED = 20
HANG_S = 5.0
MAX_GROWTH_KB = 32 * 1024
INTERESTING = (
    0,
    1,
    2,
    4,
    5,
    6,
    7,
    0x7F,
    0x80,
    0xFE,
    0xFF,
    0xFFFF,
    0x10000,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFE,
    0xFFFFFFFF,
)


def mutated(content: bytes, random: Random) -> bytes:
    """The bytes with one to four faults."""
    out = bytearray(content)
    for _ in range(random.randint(1, 4)):
        place = random.randrange(len(out)) if out else 0
        match random.randrange(7):
            case 0 if out:
                out[place] ^= 1 << random.randrange(8)
            case 1:
                layout = random.choice(("B", "<H", ">H", "<L", ">L"))
                number = random.choice(INTERESTING) % (1 << 8 * struct.calcsize(layout))
                out[place : place + struct.calcsize(layout)] = struct.pack(layout, number)
            case 2:
                del out[place : place + random.choice((1, 2, 4, 16, 200))]
            case 3:
                out[place:place] = out[place : place + random.choice((1, 8, 64))] * random.choice((1, 2, 50))
            case 4:
                del out[place:]
            case 5:
                out[place:place] = random.randbytes(random.choice((1, 3, 8, 100)))
            case 6:
                other = random.randrange(len(out)) if out else 0
                out[place : place + 16] = out[other : other + 16]
    return bytes(out)


def recorded() -> list[bytes]:
    """The PDUs of a conversation."""
    image = ct(size=500)
    pieces = [image[at : at + 100] for at in range(0, len(image), 100)]
    return [
        request(),
        p_data(value(ECHO, command(C_ECHO), command=True, last=True)),
        p_data(value(CT, store("1.2.3.1.1"), command=True, last=True)),
        *(p_data(value(CT, piece, command=False, last=piece is pieces[-1])) for piece in pieces),
        RELEASE_RQ,
    ]


def mutated_conversation(random: Random) -> bytes:
    """A recorded conversation with faults within PDUs, or with PDUs out of place."""
    pdus = recorded()
    match random.randrange(4):
        case 0:
            return mutated(b"".join(pdus), random)
        case 1:
            random.shuffle(pdus)
        case 2:
            pdus[1:] = random.choices(pdus, k=random.randint(1, 8))
    place = random.randrange(len(pdus))
    pdus[place] = mutated(pdus[place], random)
    return b"".join(pdus)


@contextmanager
def receiving(folder: Path) -> Iterator[tuple[int, Store]]:
    database = Database(folder / "node.sqlite")
    stored = Store(folder / "store", database)
    receiver = Receiver(Listening("SURVNODE"), accepted_contexts(), _Roomy(stored))
    receiver.start()
    try:
        yield receiver.port, stored
    finally:
        receiver.stop(drain_s=0)
        stored.close()
        database.close()


class _Roomy:
    def __init__(self, stored: Store) -> None:
        self._store, self.begin = stored, stored.begin

    def has_room(self) -> bool:
        return True


def talk(port: int, said: bytes) -> float:
    """Say it and hang up; how long the receiver took to see that."""
    with socket.create_connection(("127.0.0.1", port), timeout=HANG_S) as connection, suppress(ConnectionError):
        connection.sendall(said)
        connection.shutdown(socket.SHUT_WR)
        began = monotonic()
        while connection.recv(65536):
            pass
        return monotonic() - began
    return 0.0


def converse(folder: Path, cases: int, seed: int) -> tuple[float, int]:
    """The longest time that a conversation took to end, and by how many KiB the memory grew."""
    random, slowest, before = Random(seed), 0.0, 0
    threads = threading.active_count()
    with receiving(folder) as (port, _):
        for number in range(cases):
            slowest = max(slowest, talk(port, mutated_conversation(random)))
            if number == cases // 10:
                before = memory_kb()
        grown = memory_kb() - before
        with associated(port) as scu:
            assert scu.store("1.2.3.1.77") in {0, 0xA900}
            scu.release()
        assert not list((folder / "store/incoming").iterdir())
    assert threading.active_count() <= threads
    return slowest, grown


def memory_kb() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024


def read_mutations(cases: int, seed: int) -> float:
    """Read the headers of mutated data sets; the longest time that one took."""
    random, slowest = Random(seed), 0.0
    whole = ct(size=200, StudyDate="20260101", Modality="CT", BodyPartExamined="CHEST", PatientAge="060Y")
    syntaxes = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2", ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
    for _ in range(cases):
        syntax = random.choices(syntaxes, weights=(8, 1, 1, 1))[0]
        received = Received(CTImageStorage, "1.2.3.1.1", syntax, "SENDER", mutated(whole, random))
        began = monotonic()
        with suppress(errors.InstanceRefused):
            read_header(received).facts  # noqa: B018  they are decoded here
        slowest = max(slowest, monotonic() - began)
    return slowest


def test_mutated_conversations_end_and_the_next_sender_is_served(tmp_path: Path) -> None:
    slowest, grown = converse(tmp_path, CONVERSATIONS, SEED)
    assert slowest < HANG_S
    assert grown < MAX_GROWTH_KB


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_mutated_data_sets_are_read_or_refused() -> None:
    assert read_mutations(DATA_SETS, SEED) < HANG_S


@pytest.fixture(scope="module")
def pydicom_files() -> list[Path]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some have to be fetched, and are not
        return [Path(str(path)) for path in get_testdata_files() if Path(str(path)).is_file()]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_store_takes_or_refuses_every_file_of_pydicom(tmp_path: Path, pydicom_files: list[Path]) -> None:
    taken = 0
    with receiving(tmp_path) as (_, stored):
        for path in pydicom_files:
            for received in as_received(path):
                began = monotonic()
                with suppress(errors.InstanceRefused):
                    stored.add(received)
                    taken += 1
                assert monotonic() - began < HANG_S, path
    assert len(pydicom_files) > 100
    assert taken > 50


def as_received(path: Path) -> Iterator[Received]:
    """The file as a C-STORE of what it says that it is; if it says nothing, as a CT."""
    content = path.read_bytes()
    yield Received(CTImageStorage, "1.2.3.4", "1.2.840.10008.1.2.1", "SENDER", content)
    try:
        ds = dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID", "SOPInstanceUID"])
        meta, command_uids = ds.file_meta, (str(ds.SOPClassUID), str(ds.SOPInstanceUID))
        start = 144 + int(meta.FileMetaInformationGroupLength)
        yield Received(*command_uids, str(meta.TransferSyntaxUID), "SENDER", content[start:])
    except (InvalidDicomError, AttributeError, KeyError, EOFError, NotImplementedError):
        return


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_predict_reads_or_leaves_every_file_of_pydicom(pydicom_files: list[Path]) -> None:
    folders = sorted({path.parent for path in pydicom_files})
    began = monotonic()
    assert len(studies_in(folders)) > 20
    assert monotonic() - began < HANG_S * len(folders) + 60


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    cases, seed = int(sys.argv[1]), int(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        told = converse(Path(folder), cases, seed)
    sys.stdout.write(f"{cases} conversations: slowest {told[0]:.2f} s, {told[1]} KiB more, pid {os.getpid()}\n")
    sys.stdout.write(f"{10 * cases} data sets: slowest {read_mutations(10 * cases, seed):.2f} s\n")
