import struct
from io import BytesIO

import pytest
from pydicom.filereader import read_dataset
from pydicom.uid import CTImageStorage

from survnode.node.intake.association.dimse import Command, CommandField, CommandUnreadable, answer_to, read_command

from ....integration import scu

STORE = Command(CommandField.C_STORE, 7, True, CTImageStorage, "1.2.3")


def test_a_command_is_read_as_pydicom_wrote_it() -> None:
    assert read_command(scu.store("1.2.3", 7)) == STORE
    assert read_command(scu.command(scu.C_ECHO, 65535)) == Command(CommandField.C_ECHO, 65535, False)


def test_pydicom_reads_the_answer() -> None:
    ds = read_dataset(BytesIO(answer_to(STORE, 0xA900, "Why it is not taken. " * 9)), True, True)
    assert (ds.CommandField, ds.MessageIDBeingRespondedTo, ds.CommandDataSetType) == (0x8001, 7, 0x0101)
    assert (ds.Status, ds.AffectedSOPClassUID, ds.AffectedSOPInstanceUID) == (0xA900, CTImageStorage, "1.2.3")
    assert ds.ErrorComment == ("Why it is not taken. " * 9)[:64].strip()


def test_the_group_length_of_an_answer_is_that_of_what_follows() -> None:
    content = answer_to(STORE, 0)
    assert struct.unpack_from("<HHLL", content) == (0, 0, 4, len(content) - 12)
    assert len(content) % 2 == 0


def test_an_answer_leaves_out_what_the_request_did_not_name() -> None:
    ds = read_dataset(BytesIO(answer_to(Command(CommandField.C_ECHO, 1, False), 0)), True, True)
    assert "AffectedSOPInstanceUID" not in ds
    assert "ErrorComment" not in ds


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 7,
        b"\0\0\0\1\xff\xff\xff\xff\1\0",  # longer than the command set
        scu.store("1.2.3")[:-3],
        b"\x08\0\x16\0\2\0\0\0\1\0",  # another group
        struct.pack("<HHLH", 0, 0x0100, 2, 1),  # no Command Data Set Type
        struct.pack("<HHLL", 0, 0x0100, 4, 1) + struct.pack("<HHLH", 0, 0x0800, 2, 1),  # a number of four bytes
    ],
)
def test_bytes_that_are_no_command_are_refused(content: bytes) -> None:
    with pytest.raises(CommandUnreadable):
        read_command(content)


def test_a_uid_keeps_whatever_bytes_it_has() -> None:
    content = scu.store("1.2.3").replace(b"1.2.3\0", b"../\xe9\xff\0")
    command = read_command(content)
    assert command.sop_instance_uid == "../\xe9\xff"
    assert b"../\xe9\xff\0" in answer_to(command, 0x0117)
