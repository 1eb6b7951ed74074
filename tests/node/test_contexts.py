import pytest
from pydicom.uid import JPEG2000, UID, CTImageStorage, ExplicitVRLittleEndian, JPEGLosslessSV1
from pynetdicom.sop_class import _STORAGE_CLASSES

from survnode.model.ct.frames import CT_SOP_CLASSES
from survnode.node import contexts, errors
from survnode.node.contexts import Answer, ContextResult, Negotiated, StoreStatus

ACCEPTED = ContextResult.ACCEPTED


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (0x0000, Answer.STORED),
        (0xB000, Answer.STORED),
        (0xB007, Answer.STORED),
        (0xA700, Answer.TRY_AGAIN),
        (0xA701, Answer.TRY_AGAIN),
        (None, Answer.TRY_AGAIN),
        (0xA900, Answer.REFUSED),
        (0xC000, Answer.DOUBTFUL),
        (0xC123, Answer.DOUBTFUL),
        (0x0122, Answer.REFUSED),
        (0x0110, Answer.DOUBTFUL),
    ],
)
def test_a_destinations_status_is_read_as_the_standard_says(status: int | None, answer: Answer) -> None:
    assert contexts.meaning_of(status) is answer


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.UIDInvalid("x"), 0x0117),
        (errors.InstanceUnparsable("x"), 0xC000),
        (errors.InstanceMismatch("x"), 0xA900),
        (errors.StorageFull("x"), 0xA700),
        (errors.StorageFailed("x"), 0x0110),
        (errors.DatabaseBusy("x"), 0x0110),
        (KeyError("x"), 0x0110),
    ],
)
def test_a_sender_is_told_what_kept_its_instance_out(error: Exception, status: int) -> None:
    assert contexts.status_of(error) == status


def test_no_warning_is_ever_answered() -> None:
    assert [status for status in StoreStatus if status & 0xF000 == 0xB000] == []


def answer(abstract_syntax: str, *proposed: str) -> Negotiated:
    return contexts.negotiated(contexts.accepted_contexts(), abstract_syntax, proposed)


def test_what_the_model_can_read_is_what_is_called_ct() -> None:
    assert set(contexts.CT_SOP_CLASSES) == CT_SOP_CLASSES


@pytest.mark.parametrize("sop_class", sorted(_STORAGE_CLASSES.values()))
def test_every_storage_class_of_the_standard_is_accepted_as_it_is_proposed_first(sop_class: str) -> None:
    assert answer(sop_class, JPEGLosslessSV1, ExplicitVRLittleEndian) == Negotiated(ACCEPTED, JPEGLosslessSV1)


@pytest.mark.parametrize(
    "sop_class",
    [
        "1.3.12.2.1107.5.9.1",  # Siemens CSA
        "1.2.840.10008.5.1.4.1.1.5",  # nuclear medicine, retired, still in archives
        "1.2.840.10008.5.1.4.1.1.999.1",  # what the standard may list one day
    ],
)
def test_private_retired_and_future_classes_are_accepted_in_any_syntax(sop_class: str) -> None:
    assert answer(sop_class, "1.2.3.4") == Negotiated(ACCEPTED, "1.2.3.4")


@pytest.mark.parametrize(
    "sop_class",
    [
        contexts.COMMITMENT,
        "1.2.840.10008.5.1.4.1.2.2.1",  # C-FIND
        "1.2.840.10008.5.1.4.38.1",  # hanging protocols
        "1.2.840.10008.1.3.10",  # DICOMDIR
        ExplicitVRLittleEndian,
    ],
)
def test_what_the_standard_lists_as_another_service_is_not_storage(sop_class: str) -> None:
    assert answer(sop_class, ExplicitVRLittleEndian).result is ContextResult.CLASS_UNSUPPORTED


def test_ct_comes_without_loss_where_the_peer_offers_it_and_as_it_is_where_not() -> None:
    assert answer(CTImageStorage, JPEG2000, ExplicitVRLittleEndian).transfer_syntax == ExplicitVRLittleEndian
    assert answer(CTImageStorage, JPEGLosslessSV1, ExplicitVRLittleEndian).transfer_syntax == JPEGLosslessSV1
    assert answer(CTImageStorage, JPEG2000).transfer_syntax == JPEG2000
    assert answer(CTImageStorage, "1.2.3.4").transfer_syntax == "1.2.3.4"


def test_a_receiver_of_results_takes_nothing_else() -> None:
    listed = contexts.result_contexts()
    assert contexts.negotiated(listed, CTImageStorage, [ExplicitVRLittleEndian]).result == 3
    assert contexts.negotiated(listed, contexts.VERIFICATION, [JPEG2000]).result == 4


def test_every_transfer_syntax_in_the_tables_is_one() -> None:
    listed = contexts.UNCOMPRESSED + contexts.LOSSLESS + contexts.LOSSY
    assert len(set(listed)) == len(listed)
    assert all(UID(uid).is_transfer_syntax for uid in listed)
