"""What a node that worked leaves behind: no identity outside its store, and nothing that others may read."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import UID, EnhancedCTImageStorage, RTStructureSetStorage

from survnode.model.phantom.phantom import make_phantom, write_dicom
from survnode.node.contexts import result_contexts
from survnode.node.errors import InstanceMismatch
from survnode.node.intake.instance import Received
from survnode.node.intake.receiver import Listening, Receiver

from ..command_line import survnode
from .nodes import Pacs, RunningNode, until
from .scu import CONTEXTS, CT, associated, context, ct, p_data, request, store, value

MARK = "MARKED"  # is in every name, number and text of the patients below
BIRTH_DATES = ("19010203", "19040506")
KANJI = "山田"  # in a name in another script, by ISO 2022
MARKS = (MARK, *BIRTH_DATES, KANJI)
IN_BYTES = (
    *(mark.encode() for mark in MARKS),
    KANJI.encode("iso2022_jp").removesuffix(b"\x1b(B"),
    KANJI.encode("unicode_escape"),  # as JSON writes it
    KANJI.encode("latin-1", "backslashreplace"),
    KANJI.encode("iso2022_jp").decode("latin-1").removesuffix("\x1b(B").replace("\x1b", "\\u001b").encode(),
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # what is written here is meant to be wrong


def marked(ds: Dataset, patient: str, birth_date: str = BIRTH_DATES[0]) -> Dataset:
    """A data set that names its patient wherever one can be named."""
    ds.PatientName, ds.PatientID = f"{MARK}^{patient}", f"{MARK}-{patient}"
    ds.PatientBirthDate, ds.OtherPatientIDs = birth_date, f"{MARK}-OTHER"
    ds.AccessionNumber, ds.StudyID = f"{MARK}-A", f"{MARK}-S"
    ds.ReferringPhysicianName, ds.InstitutionName = f"{MARK}^DOCTOR", f"{MARK} HOSPITAL"
    ds.StudyDescription, ds.SeriesDescription = f"chest of {MARK}", f"lung of {MARK}"
    ds.PatientComments, ds.ImageComments = f"{MARK} said", f"of {MARK}"
    block = ds.private_block(0x0011, f"{MARK} CREATOR", create=True)
    block.add_new(0x01, "LO", f"{MARK} PRIVATE")
    return ds


def copies(paths: list[Path], folder: Path, study: str, **attributes: object) -> list[Path]:
    """A marked study of its own; the files' names are marked too."""
    folder.mkdir()
    written = []
    for number, path in enumerate(paths, start=1):
        ds = marked(dcmread(path), study)
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.BodyPartExamined = study, f"{study}.1", "CHEST"
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(f"{study}.1.{number}")
        for keyword, attribute in attributes.items():
            setattr(ds, keyword, attribute)
        written.append(folder / f"{MARK}-{number:04d}.dcm")
        ds.save_as(written[-1], enforce_file_format=True)
    return written


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    phantom = make_phantom(3, shape=(100, 128, 128), spacing_mm=(3.0, 3.2, 3.2))
    return write_dicom(phantom, tmp_path_factory.mktemp("phantom"))


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory, phantom: list[Path]) -> Iterator[RunningNode]:
    """A node that analysed, refused and failed, in that order."""
    home = tmp_path_factory.mktemp("worked")
    temporary = home / "tmp"
    temporary.mkdir()
    pacs = Pacs()
    refuser = Receiver(Listening("PACS"), result_contexts(), refuse)
    refuser.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(temporary))
        umask = os.umask(0)  # the node must not rely on its caller's
        node = RunningNode(home, {"pacs": pacs.start(), "nobody": 1, "refuser": refuser.port})
        node.config.write_text(node.config.read_text().replace("data_dir", 'log_level = "debug"\ndata_dir', 1))
        try:
            node.start()
            misuse(node, phantom, home)
            yield node
            assert node.stop() == 0
        finally:
            os.umask(umask)
            pacs.stop()
            refuser.stop()


IN_KANJI = {"SpecificCharacterSet": ["", "ISO 2022 IR 87"], "PatientName": f"{MARK}^YAMADA={KANJI}^太郎"}


def refuse(_: Received) -> None:
    raise InstanceMismatch(f"{MARK}^DOE is another patient")  # an Error Comment that names one


def misuse(node: RunningNode, phantom: list[Path], home: Path) -> None:
    """Make it go through what it can go through."""
    good = copies(phantom, home / "good", "1.2.826.0.1.1")
    assert set(node.send(good)) == {0}
    node.await_job("1.2.826.0.1.1")  # before its corrected images come, which make it a study of two patients
    two = copies(phantom[:30], home / "two", "1.2.826.0.1.2")
    other = dcmread(two[0])
    marked(other, "SECOND", BIRTH_DATES[1]).save_as(two[0])
    node.send(two)
    part = copies(phantom[:4], home / "part", "1.2.826.0.1.3", **IN_KANJI)
    node.send(part)
    changed = copies(phantom[:2], home / "changed", "1.2.826.0.1.1")  # UIDs that are known, other bytes
    for path in changed:
        ds = dcmread(path)
        ds.PatientID = f"{MARK}-CORRECTED"
        ds.save_as(path)
    node.send(changed)
    lying = copies(phantom[:25], home / "lying", "1.2.826.0.1.4", Rows=60000, Columns=60000)
    node.send(lying)
    odd = copies(phantom[:25], home / "odd", "1.2.826.0.1.5", SOPClassUID=UID(EnhancedCTImageStorage))
    node.send(odd)
    structures = copies(phantom[:1], home / "rt", "1.2.826.0.1.6", SOPClassUID=UID(RTStructureSetStorage))
    node.send(structures)
    wrong_values(node)
    for study in ("1.2.826.0.1.2", "1.2.826.0.1.3", "1.2.826.0.1.4"):
        until(f"the end of {study}", lambda study=study: ended(node, study))  # type: ignore[misc]
    for command in (("studies", "list"), ("studies", "retry", "1.2.826.0.1.1"), ("send", "--study", "1.2.826.0.1.1")):
        node.survnode(*command)


def ended(node: RunningNode, study: str) -> bool | None:
    states = [row["state"] for row in node.status.studies() if row["study_instance_uid"] == study]
    return True if states and states[0] != "RECEIVING" else None


def wrong_values(node: RunningNode) -> None:
    """Data sets that cannot be read, with the marks in what libraries quote of them; and marked UIDs."""
    random = Random(5)
    whole = ct(study="1.2.826.0.1.7", PatientID=MARK, PatientName=f"{MARK}^X", StudyDescription=f"{MARK} chest")
    bad = [
        whole[:60],
        whole.replace(b"1.2.826.0.1.7", b"1.2.MARKED.17"),
        whole.replace(b"LO", b"DS"),
        whole.replace(b"LO", b"SQ"),
        whole.replace(b"PN", b"UI"),
        whole.replace(b"\x10\x00\x20\x00LO", b"\x08\x00\x05\x00CS"),  # as a character set
        MARK.encode() * 50,
        *(bytes(byte if random.random() > 0.02 else random.randrange(256) for byte in whole) for _ in range(20)),
    ]
    for content in bad:
        with associated(node.port) as scu:
            scu.store(content=content)
    with associated(node.port) as scu:
        scu.send(p_data(value(CT, store(f"{MARK}.1"), command=True, last=True)))
        scu.send(p_data(value(CT, whole, command=False, last=True)))
        assert scu.status() == 0x0117
    with associated(node.port, request(contexts=(*CONTEXTS, context(5, f"{MARK}.1", "1.2.840.10008.1.2")))) as scu:
        scu.send(MARK.encode() * 20)
        assert scu.is_closed()


def outside_the_store(node: RunningNode) -> list[Path]:
    made = [node.log, *node.home.glob("*.toml"), *(node.home / "tmp").rglob("*")]
    made += [path for path in node.data_dir.iterdir() if not path.name.startswith("survnode.db")]
    return [path for path in made if path.is_file()]


def test_nothing_outside_the_store_names_a_patient(worked: RunningNode) -> None:
    looked_at = outside_the_store(worked)
    assert worked.log in looked_at
    assert len(worked.log.read_text().splitlines()) > 50
    lines = [(path.name, line) for path in looked_at for line in path.read_bytes().splitlines()]
    assert [(name, line) for name, line in lines if any(mark in line for mark in IN_BYTES)] == []


def test_the_audit_trail_names_patients_by_their_ids_alone(worked: RunningNode) -> None:
    exported = survnode("audit", "export", "--config", worked.config).stdout
    assert f'ParticipantObjectID="{MARK}-' in exported
    assert [mark for mark in (f"{MARK}^", *BIRTH_DATES, KANJI, f"{MARK} ", f"of {MARK}") if mark in exported] == []


def test_no_process_of_the_node_leaves_its_memory_in_a_file_when_it_dies(worked: RunningNode) -> None:
    limits = Path(f"/proc/{worked.worker_pid()}/limits").read_text()
    assert re.search(r"Max core file size +0 +0 ", limits)


def test_no_file_name_names_a_patient(worked: RunningNode) -> None:
    names = [str(path) for path in (*worked.data_dir.rglob("*"), *(worked.home / "tmp").rglob("*"))]
    assert [name for name in names if any(mark in name for mark in MARKS)] == []


def test_nobody_else_reads_what_the_node_keeps(worked: RunningNode) -> None:
    found = [worked.data_dir, *worked.data_dir.rglob("*")]
    kinds = {path.relative_to(worked.data_dir).parts[0] for path in found[1:]}
    assert {"received", "results", "survnode.db", "survnode.db-wal"} <= kinds
    modes = {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in found}
    assert modes == {(True, 0o700), (False, 0o600)}
