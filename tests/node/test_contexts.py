import pytest
from pydicom.uid import JPEG2000, UID, CTImageStorage, JPEGLosslessSV1

from survnode.model.ct.frames import CT_SOP_CLASSES, LOSSY_TRANSFER_SYNTAXES
from survnode.node import contexts, errors
from survnode.node.contexts import Answer, StoreStatus


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
        (0xC000, Answer.REFUSED),
        (0xC123, Answer.REFUSED),
        (0x0122, Answer.REFUSED),
        (0x0110, Answer.REFUSED),
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


def test_what_the_model_can_read_is_what_is_accepted() -> None:
    assert set(contexts.CT_SOP_CLASSES) == CT_SOP_CLASSES
    assert set(contexts.accepted_contexts()) == CT_SOP_CLASSES | {contexts.VERIFICATION}


def test_lossy_images_are_accepted_only_if_asked_for() -> None:
    strict, lenient = contexts.accepted_contexts(), contexts.accepted_contexts(lossy=True)
    assert set(strict[CTImageStorage]) & LOSSY_TRANSFER_SYNTAXES == set()
    assert JPEGLosslessSV1 in strict[CTImageStorage]
    assert JPEG2000 in lenient[CTImageStorage]


def test_every_transfer_syntax_in_the_tables_is_one() -> None:
    listed = contexts.UNCOMPRESSED + contexts.LOSSLESS + contexts.LOSSY
    assert len(set(listed)) == len(listed)
    assert all(UID(uid).is_transfer_syntax for uid in listed)
