"""As many associations as are allowed, all sending at once; a disk that stands still for a while."""

import os
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import select

from survnode.node.state.database import Database, fetch
from survnode.node.state.files import is_as_received
from survnode.node.state.records import Instance
from survnode.node.state.tables import instances

from .scu import C_ECHO, ECHO, Scu, associated, command, connected, ct, p_data, request, value
from .test_hostile_peers import receiving

IMAGES = 3
REJECTED = 3
PATIENCE_S = 60.0


def send_all(scu: Scu, number: int, statuses: list[int]) -> None:
    """A study of its own."""
    for image in range(1, IMAGES + 1):
        uid = f"1.2.{number}.1.{image}"
        statuses.append(scu.store(uid, ct(uid, f"1.2.{number}", size=20_000), message=image))
    scu.release()


def in_parallel(associations: list[Scu], statuses: list[int]) -> list[threading.Thread]:
    threads = [threading.Thread(target=send_all, args=(it, n, statuses)) for n, it in enumerate(associations)]
    for thread in threads:
        thread.start()
    return threads


def whole(folder: Path) -> int:
    """The number of images that are known and on disk as they were sent."""
    database = Database(folder / "node.sqlite")
    with database.reading() as connection:
        rows = fetch(connection, Instance, select(instances))
    database.close()
    return sum(is_as_received(folder / "store" / row.path, row.sha256) for row in rows)


def test_sixty_four_associations_at_once_are_all_served_and_one_more_is_told_to_come_later(tmp_path: Path) -> None:
    statuses: list[int] = []
    with receiving(tmp_path) as receiver, ExitStack() as stack:
        associations = [stack.enter_context(associated(receiver.port)) for _ in range(64)]
        with connected(receiver.port) as late:
            late.send(request())
            kind, body = late.read_pdu()
            assert (kind, body[1]) == (REJECTED, 2)  # transient
        for thread in in_parallel(associations, statuses):
            thread.join(PATIENCE_S)
        with associated(receiver.port) as again:
            again.release()
    assert statuses == [0] * 64 * IMAGES
    assert whole(tmp_path) == 64 * IMAGES


def test_while_the_disk_stands_still_no_image_is_acknowledged_and_echoes_are_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, syncs, goes_on = os.fsync, list[int](), threading.Event()

    def slow(descriptor: int) -> None:
        assert goes_on.wait(PATIENCE_S)
        fsync(descriptor)
        syncs.append(len(statuses))

    statuses: list[int] = []
    with receiving(tmp_path) as receiver, ExitStack() as stack:
        associations = [stack.enter_context(associated(receiver.port)) for _ in range(4)]
        monkeypatch.setattr(os, "fsync", slow)
        threads = in_parallel(associations, statuses)
        with associated(receiver.port) as asking:
            asking.send(p_data(value(ECHO, command(C_ECHO), command=True, last=True)))
            assert asking.status() == 0
            asking.release()
        assert not statuses
        goes_on.set()
        for thread in threads:
            thread.join(PATIENCE_S)
    assert statuses == [0] * 4 * IMAGES
    assert whole(tmp_path) == 4 * IMAGES
    assert len(syncs) >= 2 * 4 * IMAGES  # of each file, and of its folder
