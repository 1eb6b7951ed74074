"""What a receiver must stand: silence, half words, floods, nonsense; and a good sender beside all of it."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from random import Random
from time import monotonic

import pytest

from survnode.node.contexts import accepted_contexts
from survnode.node.intake.association import acceptor, listener, request_server
from survnode.node.intake.receiver import Listening, Receiver
from survnode.node.intake.store import Store
from survnode.node.intake.watermark import DiskWatermark
from survnode.node.service.receiving import StoreWithRoom
from survnode.node.state.database import Database

from .scu import (
    C_ECHO,
    CONTEXTS,
    CT,
    ECHO,
    associated,
    command,
    connected,
    context,
    ct,
    item,
    p_data,
    pdu,
    request,
    value,
)
from .scu import store as store_command

PEERS = 200


@contextmanager
def receiving(folder: Path, **listening: object) -> Iterator[Receiver]:
    database = Database(folder / "node.sqlite")
    store = Store(folder / "store", database)
    spool = StoreWithRoom(store, DiskWatermark(1000, 2000, lambda: 10**9))
    receiver = Receiver(Listening("SURVNODE", **listening), accepted_contexts(), spool)  # type: ignore[arg-type]
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.stop(drain_s=0)
        store.close()
        database.close()


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    with receiving(tmp_path) as running:
        yield running


def unfinished(folder: Path) -> list[Path]:
    return list((folder / "store/incoming").iterdir())


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def a_good_sender_works(port: int, images: int = 5) -> None:
    """It gets each answer within a second, or what this machine makes of that."""
    with associated(port) as scu:
        for number in range(1, images + 1):
            assert scu.store(f"1.2.3.1.{number}") == 0
        start = monotonic()
        scu.send(p_data(value(ECHO, command(C_ECHO), command=True, last=True)))
        assert scu.status() == 0
        assert monotonic() - start < 10
        scu.release()


@pytest.mark.parametrize("said", [b"", b"\1\0\0", request()[:-1]], ids=["silent", "half a header", "half a request"])
def test_two_hundred_who_ask_for_nothing_keep_nobody_out(tmp_path: Path, said: bytes) -> None:
    before = threading.active_count()
    with receiving(tmp_path, acse_timeout_s=3.0) as receiver, ExitStack() as stack:
        peers = [stack.enter_context(connected(receiver.port)) for _ in range(PEERS)]
        for peer in peers:
            with suppress(ConnectionError):  # on a slow machine its time is over already
                peer.send(said)
        a_good_sender_works(receiver.port)
        assert threading.active_count() < before + 20  # no thread for any of them
        assert all(peer.is_closed() for peer in peers)
        a_good_sender_works(receiver.port)


def test_two_hundred_idle_associations_keep_nobody_out_and_hold_little_memory(tmp_path: Path) -> None:
    with receiving(tmp_path, max_associations=2 * PEERS + 2) as receiver, ExitStack() as stack:
        a_good_sender_works(receiver.port)
        before = resident_mb()
        for _ in range(PEERS):
            stack.enter_context(associated(receiver.port))
        assert resident_mb() - before < 32
        a_good_sender_works(receiver.port)


def test_two_hundred_who_stop_in_the_middle_of_a_pdu_are_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptor, "PDU_TIMEOUT_S", 3.0)
    half = p_data(value(CT, store_command("1.2.3.1.9"), command=True, last=True))[:-10]
    with receiving(tmp_path, max_associations=2 * PEERS + 2) as receiver, ExitStack() as stack:
        peers = [stack.enter_context(associated(receiver.port)) for _ in range(PEERS)]
        for peer in peers:
            peer.send(half)
        a_good_sender_works(receiver.port)
        assert all(peer.is_closed() for peer in peers)


def test_more_connections_than_may_wait_close_the_oldest(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "MAX_WAITING", 20)
    with ExitStack() as stack:
        peers = [stack.enter_context(connected(receiver.port)) for _ in range(40)]
        a_good_sender_works(receiver.port)
        assert all(peer.is_closed() for peer in peers[:20])


def test_a_flood_of_connections_closes_its_own(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "MAX_WAITING", 20)
    with ExitStack() as stack:
        slow = stack.enter_context(connected(receiver.port))
        flood = [stack.enter_context(connected(receiver.port, source="127.0.0.2")) for _ in range(40)]
        assert all(peer.is_closed() for peer in flood[:20])
        slow.send(request())
        assert slow.read_pdu()[0] == 2


def test_a_refused_address_is_closed_at_once_without_a_thread(tmp_path: Path) -> None:
    before = threading.active_count()
    with receiving(tmp_path, networks=("192.0.2.0/24",)) as receiver:
        for _ in range(50):
            with connected(receiver.port) as peer:
                assert peer.is_closed()
        assert threading.active_count() <= before + 1


def test_a_listed_sender_finds_its_place_beside_one_that_takes_all(tmp_path: Path) -> None:
    lists = {"max_associations": 8, "calling_ae_titles": ("GREEDY", "SENDER")}
    with receiving(tmp_path, **lists) as receiver, ExitStack() as stack:
        for _ in range(4):  # as many as are free then, without SENDER's own
            stack.enter_context(associated(receiver.port, request(calling="GREEDY")))
        with connected(receiver.port) as peer:
            peer.send(request(calling="GREEDY"))
            assert peer.read_pdu() == (3, b"\0\2\3\2")  # transient, presentation, local limit
        a_good_sender_works(receiver.port)


def test_one_address_that_asks_for_all_associations_leaves_half_of_them(tmp_path: Path) -> None:
    with receiving(tmp_path, max_associations=16) as receiver, ExitStack() as stack:
        granted = 0
        for _ in range(16):
            peer = stack.enter_context(connected(receiver.port, source="127.0.0.2"))
            peer.send(request())
            granted += peer.read_pdu()[0] == 2
        assert granted == 8
        a_good_sender_works(receiver.port)


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (request(called="OTHER"), (3, b"\0\1\1\7")),
        (request(application="1.2.3"), (3, b"\0\1\1\2")),
        (request().replace(b"\0\1\0\0SURVNODE", b"\0\2\0\0SURVNODE"), (3, b"\0\1\2\2")),
        (request(contexts=()), (7, b"\0\0\2\6")),
        (request(contexts=(CONTEXTS[0], CONTEXTS[0])), (7, b"\0\0\2\6")),  # one number twice
        (request(contexts=(context(2, "1.2.840.10008.1.1", "1.2.840.10008.1.2"),)), (7, b"\0\0\2\6")),
        (request(contexts=[CONTEXTS[0]] * 10_000)[:200_000], (7, b"\0\0\2\6")),
        (request(user_items=[item(0x55, b"X")] * 6000), (7, b"\0\0\2\6")),
        (pdu(1, bytes(10)), (7, b"\0\0\2\6")),
        (pdu(1, bytes(200)), (3, b"\0\1\2\2")),
        (pdu(4, bytes(10)), (7, b"\0\0\2\2")),
        (b"GET / HTTP/1.1\r\nHost: node\r\n\r\n", (7, b"\0\0\2\2")),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), (7, b"\0\0\2\2")),  # TLS
        (b"\1\0\xff\xff\xff\xff", (7, b"\0\0\2\2")),  # 4 GiB
        (b"\1\0\0\x10\0\0", (7, b"\0\0\2\2")),  # 1 MiB
    ],
)
def test_a_request_that_is_not_granted_is_told_why(receiver: Receiver, asked: bytes, answer: tuple[int, bytes]) -> None:
    if asked[0] == 1 and len(asked) > 100_000:  # cut: its length must be its own
        asked = struct.pack(">BxL", 1, len(asked) - 6) + asked[6:]
    with connected(receiver.port) as peer:
        peer.send(asked)
        assert peer.read_pdu() == answer
        assert peer.is_closed()
    a_good_sender_works(receiver.port, 1)


def test_forty_requests_of_many_items_at_once_delay_nobody_for_long(receiver: Receiver) -> None:
    many = request(contexts=[context(2 * n + 1, f"1.2.{n}", *["1.2.840.10008.1.2"] * 25) for n in range(128)])
    with ExitStack() as stack:
        peers = [stack.enter_context(connected(receiver.port)) for _ in range(40)]
        for peer in peers:
            peer.send(many)
        start = monotonic()
        a_good_sender_works(receiver.port, 1)
        assert monotonic() - start < 20


def test_nonsense_of_every_kind_leaves_nothing_behind(receiver: Receiver, tmp_path: Path) -> None:
    """Mutations of a good conversation, from one seed; a longer run takes another."""
    random = Random(12)
    good = request() + p_data(value(CT, store_command("1.2.3.1.1"), command=True, last=True))
    good += p_data(value(CT, ct(size=3000), command=False, last=True)) + pdu(5, bytes(4))
    a_good_sender_works(receiver.port)
    files = descriptors()
    for _ in range(150):
        mutant = bytearray(good)
        for _ in range(random.choice((1, 1, 2, 8, 64))):
            mutant[random.randrange(len(mutant))] = random.randrange(256)
        del mutant[random.randrange(len(mutant)) :]
        with connected(receiver.port) as peer:
            try:
                peer.send(bytes(mutant))
                peer.socket.shutdown(socket.SHUT_WR)
            except OSError:  # it was cut off already
                continue
            assert peer.is_closed()
    a_good_sender_works(receiver.port)
    assert unfinished(tmp_path) == []
    assert descriptors() <= files + 5


def test_a_connection_reset_in_mid_object_leaves_no_file(receiver: Receiver, tmp_path: Path) -> None:
    for _ in range(10):
        with associated(receiver.port) as peer:
            peer.send(p_data(value(CT, store_command("1.2.3.1.1"), command=True, last=True)))
            peer.send(p_data(value(CT, bytes(100_000), command=False, last=False)))
            peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    a_good_sender_works(receiver.port)
    deadline = monotonic() + 20
    while unfinished(tmp_path):
        assert monotonic() < deadline


def test_an_object_larger_than_the_buffers_is_never_whole_in_memory(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 96 MiB that do not end, and then do, next to nothing is held."""
    monkeypatch.setattr(request_server, "MAX_OBJECT_BYTES", 200 << 20)
    content = ct("1.2.3.1.7", size=96 << 20)
    with associated(receiver.port, timeout_s=120) as peer:
        peer.send(p_data(value(CT, store_command("1.2.3.1.7"), command=True, last=True)))
        before = resident_mb()
        peak = before
        for start in range(0, len(content), 1 << 20):
            part = content[start : start + (1 << 20)]
            peer.send(p_data(value(CT, part, command=False, last=start + len(part) == len(content))))
            peak = max(peak, resident_mb())
        assert peer.status() == 0
        assert peak - before < 32
    (stored,) = (tmp_path / "store/studies").rglob("*.dcm")
    assert stored.read_bytes().endswith(content)


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / (1 << 20)


def test_who_never_reads_his_answers_is_let_go(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptor, "PDU_TIMEOUT_S", 0.5)
    echo = p_data(value(ECHO, command(C_ECHO), command=True, last=True))
    with associated(receiver.port) as peer:
        with suppress(ConnectionError):  # it is let go while it still asks
            for _ in range(300):
                peer.send(echo * 1000)
        assert peer.is_closed()
    a_good_sender_works(receiver.port)
