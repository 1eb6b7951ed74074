"""One Implementation Class UID and version name, wherever this software tells who it is."""

from collections.abc import Iterator
from importlib.metadata import version
from io import BytesIO
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE, evt

from survnode.model.errors import Reason
from survnode.node.contexts import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, VERIFICATION
from survnode.node.delivery.destination import Destination
from survnode.node.delivery.sender import echo
from survnode.node.intake.instance import Received
from survnode.node.intake.receiver import Listening, Receiver
from survnode.node.results.bundle import not_analysed
from survnode.node.results.envelope import SourceStudy
from survnode.node.results.identity import derived_uid

from ..node.results.conftest import a_header, a_run

OURS = (IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver(Listening("NODE"), {VERIFICATION: (ExplicitVRLittleEndian,)}, lambda _received: None)
    receiver.start()
    yield receiver
    receiver.stop(drain_s=1)


def test_the_version_name_is_of_this_version_and_fits_its_sixteen_characters() -> None:
    assert f"SURVNODE_{version('survnode')}".startswith(IMPLEMENTATION_VERSION_NAME)
    assert len(IMPLEMENTATION_VERSION_NAME) <= 16
    assert derived_uid("implementation") == IMPLEMENTATION_CLASS_UID


def test_who_calls_the_receiver_is_told_it(receiver: Receiver) -> None:
    peer = AE("PEER")
    peer.add_requested_context(VERIFICATION, ExplicitVRLittleEndian)
    assoc = peer.associate("127.0.0.1", receiver.port, ae_title="NODE")
    assert assoc.is_established
    told = (assoc.acceptor.implementation_class_uid, assoc.acceptor.implementation_version_name)
    assoc.release()
    assert told == OURS


def test_a_destination_is_told_it() -> None:
    told: list[tuple[Any, Any]] = []

    def note(event: Any) -> None:
        requestor = event.assoc.requestor
        told.append((requestor.implementation_class_uid, requestor.implementation_version_name))

    peer = AE("PACS")
    peer.add_supported_context(VERIFICATION)
    server = peer.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_ACCEPTED, note)])
    assert server is not None
    try:
        echo(Destination("pacs", "PACS", "127.0.0.1", server.server_address[1]))
    finally:
        server.shutdown()
    assert told == [OURS]


def test_files_of_received_and_of_made_objects_say_it() -> None:
    received = Received(CTImageStorage, "1.2.3", ExplicitVRLittleEndian, "SENDER", b"").part10
    (made,) = not_analysed(SourceStudy((a_header(1),)), Reason.NO_LUNGS, "", a_run(), None)
    for file in (received, made.encode()):
        meta = dcmread(BytesIO(file)).file_meta
        assert (meta.ImplementationClassUID, meta.ImplementationVersionName) == OURS
