"""What `check` says of destinations; the command itself is tested with the command line."""

from collections.abc import Iterator
from contextlib import contextmanager

from pydicom.uid import EnhancedSRStorage, KeyObjectSelectionDocumentStorage, SecondaryCaptureImageStorage

from survnode.node.commands.check import Finding, _check_destination
from survnode.node.config import DestinationConfig, ReceiverConfig
from survnode.node.contexts import RESULT_TRANSFER_SYNTAXES, VERIFICATION, Contexts
from survnode.node.intake.receiver import Listening, Receiver
from survnode.node.roles import ResultRole

ENHANCED, CAPTURES, KEY_OBJECTS = (
    str(uid) for uid in (EnhancedSRStorage, SecondaryCaptureImageStorage, KeyObjectSelectionDocumentStorage)
)


@contextmanager
def destination(*sop_classes: str, **settings: object) -> Iterator[DestinationConfig]:
    contexts: Contexts = dict.fromkeys((*sop_classes, VERIFICATION), RESULT_TRANSFER_SYNTAXES)
    receiver = Receiver(Listening("PACS"), contexts, lambda _: None)
    receiver.start()
    try:
        where = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": receiver.port}
        yield DestinationConfig.model_validate(where | settings)
    finally:
        receiver.stop(drain_s=1)


def findings(settings: DestinationConfig, receiver: ReceiverConfig | None = None) -> dict[str, Finding]:
    return {found.what: found for found in _check_destination(settings, receiver or ReceiverConfig())}


def test_the_class_that_a_destination_accepts_is_named() -> None:
    with destination(ENHANCED, CAPTURES, KEY_OBJECTS) as settings:
        found = findings(settings)
    assert [it.ok for it in found.values()] == [True, True]
    assert found["destination pacs: classes"].detail.endswith("reports go as Enhanced SR")


def test_a_class_that_is_to_be_sent_and_is_not_accepted_is_a_fault() -> None:
    with destination(CAPTURES) as settings:
        (_, classes) = findings(settings).values()
    assert not classes.ok
    assert "does not accept Comprehensive 3D SR, Key Object Selection Document" in classes.detail


def test_a_class_that_was_set_and_is_not_accepted_is_a_fault() -> None:
    with destination(ENHANCED, objects=(ResultRole.REPORT,), report_class="comprehensive") as settings:
        (_, classes) = findings(settings).values()
    assert (classes.ok, "does not accept Comprehensive SR" in classes.detail) == (False, True)


def test_a_destination_that_is_to_commit_must_be_able_to_and_be_let_in() -> None:
    receiver = ReceiverConfig(calling_ae_titles=("CT1",))
    with destination(ENHANCED, objects=(ResultRole.REPORT,), commitment=True) as settings:
        found = findings(settings, receiver)
    assert [name for name, it in found.items() if not it.ok] == [
        "destination pacs: commitment",
        "destination pacs: classes",
    ]
    assert "Storage Commitment" in found["destination pacs: classes"].detail
