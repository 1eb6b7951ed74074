"""The receiver is asked now and then whether it still answers: one that hangs looks like one that waits."""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

import structlog

from survnode.node import errors
from survnode.node.config import NodeConfig
from survnode.node.contexts import WATCHDOG_AE_TITLE
from survnode.node.delivery.destination import Destination
from survnode.node.delivery.sender import echo

log = structlog.get_logger()

TIMEOUT_S = 10.0
MAX_UNANSWERED = 3  # a receiver under load may be late once
LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  what listens at all listens here


@dataclass
class ReceiverWatchdog:
    """Ends a receiver that does not answer.

    Parameters
    ----------
    kill_receiver : its death is then seen by who started it
    asks : says whether it answers
    """

    config: NodeConfig
    kill_receiver: Callable[[], None]
    asks: Callable[[Destination], bool]
    _unanswered: int = 0
    _port: str = ""

    def watch(self) -> None:
        """Ask once; not a receiver that takes no connection from its own machine."""
        networks = self.config.receiver.networks
        if networks and not any(ip_address("127.0.0.1") in network for network in networks):
            return
        try:
            port = self.config.port_file.read_text()
        except OSError:  # it does not listen yet, or not any more: who started it sees to that
            port = ""
        if port != self._port or not port or self.asks(self._receiver(int(port))):
            self._port, self._unanswered = port, 0
            return
        self._unanswered += 1
        log.warning("receiver.unanswered", times=self._unanswered)
        if self._unanswered >= MAX_UNANSWERED:
            log.error("receiver.hung", times=self._unanswered)
            self._unanswered = 0
            self.kill_receiver()

    def _receiver(self, port: int) -> Destination:
        settings = self.config.receiver
        return Destination(
            name="the receiver",
            ae_title=settings.ae_title,
            host=LOOPBACK.get(settings.host, settings.host),
            port=port,
            calling_ae_title=WATCHDOG_AE_TITLE,
            connection_timeout_s=TIMEOUT_S,
            acse_timeout_s=TIMEOUT_S,
            dimse_timeout_s=TIMEOUT_S,
        )


def answers(receiver: Destination, echo: Callable[[Destination], None] = echo) -> bool:
    """Whether the receiver answers in any way: one that says no, since it is full or knows us not, is alive.

    Nobody listens, or nothing comes in time: then it does not answer.
    """
    began = time.monotonic()
    try:
        echo(receiver)
    except errors.AssociationRejected:
        return True
    except errors.DeliveryFailed:  # a connection that is closed at once is an answer, too
        return time.monotonic() - began < receiver.acse_timeout_s and _listens(receiver)
    return True


def _listens(receiver: Destination) -> bool:
    try:
        socket.create_connection((receiver.host, receiver.port), receiver.connection_timeout_s).close()
    except OSError:
        return False
    return True
