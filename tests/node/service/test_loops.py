from threading import Event

from survnode.node.errors import DatabaseBusy
from survnode.node.service.loops import Loop

WAIT_S = 20.0


def test_a_loop_outlives_what_fails_in_it() -> None:
    turns: list[int] = []
    third = Event()

    def act() -> None:
        turns.append(1)
        if len(turns) == 1:
            raise DatabaseBusy("busy")
        if len(turns) == 2:
            raise ZeroDivisionError
        third.set()

    loop = Loop("test", 0.001, act)
    loop.start()
    assert third.wait(WAIT_S)
    loop.request_stop()
    loop.join()


def test_a_loop_that_was_not_started_can_be_joined() -> None:
    loop = Loop("test", 60.0, lambda: None)
    loop.request_stop()
    loop.join()
