"""Whole studies come from Orthanc and DCMTK by the recipes of the documentation, and results go back into them.

Orthanc is sender and destination at once: a node that took its own results for something new would never end.
"""

import json
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    JPEG2000,
    UID,
    ComprehensiveSRStorage,
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSNearLossless,
    KeyObjectSelectionDocumentStorage,
    MRImageStorage,
    RTStructureSetStorage,
    XRayRadiationDoseSRStorage,
)
from sqlalchemy import select

from survnode.model.phantom.phantom import make_phantom, write_dicom
from survnode.node.state.database import Database, fetch
from survnode.node.state.records import Association, Job, Keeping, OtherSeries, Study, StudyState
from survnode.node.state.tables import associations, jobs, other_series, studies

from ..integration.nodes import FAST, RunningNode, dcmtk, until
from . import peers
from .peers import Orthanc

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "administrator.md"
PRIVATE_CLASS = "1.3.12.2.1107.5.9.1"
QUIET_S = 2.0
LUNG1_S = 400.0


def recipe(name: str) -> str:
    """The text of a recipe in the document, as an administrator copies it."""
    found = re.search(rf"<!-- recipe: {re.escape(name)} -->\n```\w+\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert found, f"the document holds no recipe {name}"
    return found[1]


@dataclass(frozen=True)
class Site:
    """Orthanc with the documented routing, and the node behind it."""

    orthanc: Orthanc
    node: RunningNode

    def rows(self, record: Any, table: Any) -> list[Any]:
        database = Database(self.node.data_dir / "survnode.db")
        try:
            with database.reading() as connection:
                return fetch(connection, record, select(table))
        finally:
            database.close()

    def study(self, uid: str) -> Study:
        """The study once it has been judged."""

        def settled() -> Study | None:
            found = [it for it in self.rows(Study, studies) if it.study_instance_uid == uid]
            return found[0] if found and found[0].state is not StudyState.RECEIVING else None

        return until(f"the end of study {uid}", settled, LUNG1_S)

    def others(self, uid: str) -> dict[tuple[str, Keeping], int]:
        numbers = Counter[tuple[str, Keeping]]()
        for it in self.rows(OtherSeries, other_series):
            if it.study_instance_uid == uid:
                numbers[it.sop_class_uid, it.keeping] += it.instances
        return dict(numbers)

    def jobs(self, uid: str) -> list[Job]:
        return [job for job in self.rows(Job, jobs) if job.study_instance_uid == uid]

    def upload(self, paths: list[Path]) -> None:
        for path in paths:
            self.orthanc.send_bytes("/instances", path.read_bytes())

    def modalities_of(self, uid: str) -> list[str]:
        found = self.orthanc.json(f"/studies/{self.orthanc.lookup(uid)}/series")
        return sorted(series["MainDicomTags"]["Modality"] for series in found)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The recipes are applied as they stand, but for the addresses and the seconds."""
    home = tmp_path_factory.mktemp("site")
    node = RunningNode(home, {}, quiet_period_s=QUIET_S)
    settings = json.loads(recipe("orthanc.json")) | {"StableAge": 2}
    script = home / settings["LuaScripts"][0]
    script.write_text(recipe("survnode.lua"))
    settings["LuaScripts"] = [str(script)]
    with peers.orthanc(home / "orthanc", settings) as orthanc:
        node.config.write_text(
            node.config.read_text()
            + f'[[destinations]]\nname = "pacs"\nae_title = "{orthanc.ae_title}"\nhost = "127.0.0.1"\n'
            + f"port = {orthanc.dicom_port}\n"
        )
        node.start()
        orthanc.knows(node.port)
        yield Site(orthanc, node)
        assert node.stop() == 0


def companion(ct: Dataset, sop_class: str, modality: str, number: int, **values: object) -> Dataset:
    """An instance of a study that is not CT, with as much in it as a PACS files it by."""
    ds = Dataset()
    for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID"):
        setattr(ds, keyword, ct.get(keyword, ""))
    ds.SOPClassUID, ds.Modality = sop_class, modality
    ds.SeriesInstanceUID = f"{ct.StudyInstanceUID[:50]}.{number}"
    ds.SOPInstanceUID = f"{ds.SeriesInstanceUID}.1"
    ds.SeriesNumber, ds.InstanceNumber = number, 1
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def write(ds: Dataset, path: Path, syntax: str = ExplicitVRLittleEndian) -> Path:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    path.parent.mkdir(parents=True, exist_ok=True)
    dcmwrite(path, ds, enforce_file_format=True)
    return path


@pytest.fixture(scope="module")
def whole_study(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A CT with what lies beside it in a PACS."""
    folder = tmp_path_factory.mktemp("whole")
    ct = write_dicom(make_phantom(21, shape=(80, 128, 128), spacing_mm=(4.0, 3.2, 3.2)), folder / "ct")
    header = dcmread(ct[0], stop_before_pixels=True)
    kinds = [
        (RTStructureSetStorage, "RTSTRUCT"),
        (XRayRadiationDoseSRStorage, "SR"),
        (KeyObjectSelectionDocumentStorage, "KO"),
    ]
    others = [
        write(companion(header, uid, modality, number), folder / f"{modality}.dcm")
        for number, (uid, modality) in enumerate(kinds, start=50)
    ]
    return [*others, *ct]


def test_orthanc_routes_a_whole_study_and_gets_its_results_without_end_or_repetition(
    site: Site, whole_study: list[Path]
) -> None:
    uid = str(dcmread(whole_study[0], stop_before_pixels=True).StudyInstanceUID)
    site.upload(whole_study)  # what follows is the script's doing
    job = site.node.await_job(uid)
    site.node.await_delivered(job["job"], "pacs")
    assert site.modalities_of(uid) == ["CT", "KO", "KO", "OT", "OT", "RTSTRUCT", "SR", "SR"]

    # The results made the study stable again: it comes back, whole.
    results = len(site.node.status.job(job["job"])["results"])
    assert results == 8  # report, 5 captures, key objects, curve
    until("the study with its results", lambda: sum(_own(site, uid).values()) >= results or None)

    # A person sends it once more by the REST interface; nothing new comes of any of this.
    name, before = site.orthanc.lookup(uid), sum(_own(site, uid).values())
    command = recipe("orthanc.sh").replace("http://127.0.0.1:8042", site.orthanc.url)
    subprocess.run(command.replace("ORTHANC-ID-OF-THE-STUDY", name), shell=True, check=True, capture_output=True)
    assert sum(_own(site, uid).values()) >= before + results
    study = site.study(uid)
    assert (study.state, study.due_at) == (StudyState.ASSEMBLED, None)
    assert [made.version for made in site.jobs(uid)] == [1]
    sent = site.node.status.job(job["job"])["deliveries"]
    assert [(it["state"], it["tries"]) for it in sent] == [("SENT", 1)] * results
    assert site.modalities_of(uid) == ["CT", "KO", "KO", "OT", "OT", "RTSTRUCT", "SR", "SR"]
    ended = [it for it in site.rows(Association, associations) if it.calling_ae_title == site.orthanc.ae_title]
    assert ended
    assert {(it.refused, it.contexts_rejected) for it in ended} == {(0, 0)}


def _own(site: Site, uid: str) -> dict[str, int]:
    return {sop_class: number for (sop_class, keeping), number in site.others(uid).items() if keeping is Keeping.OWN}


def test_dcmtk_sends_lung1s_folder_whose_rtstruct_comes_first(site: Site, shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "NSCLC-Radiomics" / "LUNG1-001"
    struct = next(path for path in source.rglob("*.dcm") if _class_of(path) == RTStructureSetStorage)
    (tmp_path / "0").mkdir()
    shutil.copy(struct, tmp_path / "0" / "0.dcm")  # LUNG1-003's lies first, and so does this now
    for path in source.rglob("*.dcm"):
        if path != struct:
            (tmp_path / "1").mkdir(exist_ok=True)
            os.link(path, tmp_path / "1" / path.name) if _same_disk(path, tmp_path) else shutil.copy(
                path, tmp_path / "1" / path.name
            )
    uid = str(dcmread(struct, stop_before_pixels=True).StudyInstanceUID)
    _dcmsend(site, tmp_path)
    study = site.study(uid)
    assert study.state is StudyState.ASSEMBLED
    assert site.others(uid) == {(RTStructureSetStorage, Keeping.DROPPED): 1}
    (job,) = site.jobs(uid)
    assert (job.reason, len(job.sop_instance_uids)) == (None, 134)
    _dcmsend(site, tmp_path)
    assert [made.id for made in site.jobs(uid)] == [job.id]
    assert site.study(uid).revision == study.revision


def _class_of(path: Path) -> str:
    return str(dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID"]).SOPClassUID)


def _same_disk(path: Path, folder: Path) -> bool:
    return path.stat().st_dev == folder.stat().st_dev


def _dcmsend(site: Site, folder: Path) -> None:
    tool, *words = recipe("dcmtk.sh").replace("11112", str(site.node.port)).replace("FOLDER", str(folder)).split()
    subprocess.run([dcmtk(tool), *words], check=True, env=FAST, capture_output=True)


def image(uid: str, number: int, **values: object) -> Dataset:
    """One CT image of a study that is analysed for no reason but those given."""
    ds = Dataset()
    ds.PatientName, ds.PatientID, ds.StudyInstanceUID, ds.SeriesInstanceUID = "Odd^Study", "ODD", uid, f"{uid}.1"
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, f"{uid}.1.{number}"
    ds.StudyDate, ds.StudyTime, ds.StudyID, ds.Modality = "20260102", "120000", "1", "CT"
    ds.SeriesNumber, ds.InstanceNumber, ds.ImageType = 1, number, ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.FrameOfReferenceUID, ds.ImagePositionPatient = f"{uid}.9", [-100.0, -100.0, 5.0 * number]
    ds.ImageOrientationPatient, ds.PixelSpacing = [1, 0, 0, 0, 1, 0], [4.0, 4.0]
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.Rows, ds.Columns = 1, "MONOCHROME2", 64, 64
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
    ds.PixelData = np.full((64, 64), 1064, np.int16).tobytes()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


ODD = {
    "a head CT": ({"BodyPartExamined": "HEAD"}, 30, StudyState.IGNORED, "No lungs were found"),
    "a short head CT": ({"BodyPartExamined": "HEAD"}, 3, StudyState.IGNORED, "too few slices"),
    "a short chest CT": ({"BodyPartExamined": "CHEST"}, 3, StudyState.ASSEMBLED, ""),
    "an MR": ({"SOPClassUID": MRImageStorage, "Modality": "MR"}, 3, StudyState.IGNORED, "no CT, but 3 MR Image"),
    "a lone RTSTRUCT": (
        {"SOPClassUID": RTStructureSetStorage, "Modality": "RTSTRUCT"}, 1, StudyState.IGNORED, "RT Structure Set",
    ),
    "a private class": ({"SOPClassUID": PRIVATE_CLASS, "Modality": "OT"}, 2, StudyState.IGNORED, PRIVATE_CLASS),
    "another's report": ({"SOPClassUID": ComprehensiveSRStorage, "Modality": "SR"}, 1, StudyState.IGNORED, "SR"),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(ODD))
def test_odd_studies_end_in_the_open(site: Site, tmp_path: Path, kind: str) -> None:
    values, number, state, words = ODD[kind]
    uid = f"1.2.826.0.1.3680043.10.1234.{list(ODD).index(kind) + 1}"
    for each in range(1, number + 1):
        write(image(uid, each, **values), tmp_path / f"{each}.dcm")
    _dcmsend(site, tmp_path)
    if kind == "a head CT":  # it is analysed first
        site.study(uid)
        until("its job", lambda: site.jobs(uid)[0].ended_at, LUNG1_S)
    study = site.study(uid)
    assert (study.state, words in study.detail) == (state, True), study
    reported = [job for job in site.jobs(uid) if job.reports_refusal]
    assert len(reported) == (state is StudyState.ASSEMBLED)


UNSIGNED = {"PixelRepresentation": 0, "RescaleIntercept": -1024}
BYTES = {**UNSIGNED, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelData": bytes(64 * 64)}
LOSSY, FEW = "LOSSY_COMPRESSION", "TOO_FEW_SLICES"


@pytest.mark.parametrize(
    ("syntax", "values", "reason"),
    [
        (JPEGBaseline8Bit, BYTES, LOSSY),
        (JPEGLSNearLossless, UNSIGNED, LOSSY),
        (JPEG2000, UNSIGNED, LOSSY),
        (JPEG2000Lossless, UNSIGNED, FEW),  # it is none of the lossy
    ],
)
def test_compressed_ct_is_stored_and_reported_not_refused(
    site: Site, tmp_path: Path, syntax: str, values: dict[str, Any], reason: str
) -> None:
    uid = f"1.2.826.0.1.3680043.10.1235.{syntax.rsplit('.', 1)[1]}"
    (tmp_path / "sent").mkdir()
    for number in range(1, 4):
        ds = image(uid, number, BodyPartExamined="CHEST", **values)
        _compress(ds, tmp_path / "sent" / f"{number}.dcm", syntax)
    command = [dcmtk("dcmsend"), "--decompress-never", "-aec", "SURVNODE", "127.0.0.1", str(site.node.port)]
    subprocess.run([*command, *map(str, (tmp_path / "sent").iterdir())], check=True, env=FAST, capture_output=True)
    assert site.study(uid).state is StudyState.ASSEMBLED
    (job,) = site.jobs(uid)
    assert (job.reason and job.reason.value, job.reports_refusal) == (reason, True)
    reported = site.node.await_job(uid)
    site.node.await_delivered(reported["job"], "pacs")
    assert site.modalities_of(uid) == ["SR"]


def _compress(ds: Dataset, path: Path, syntax: str) -> None:
    tools = {JPEGBaseline8Bit: ("dcmcjpeg", "+eb"), JPEGLSNearLossless: ("dcmcjpls", "+en")}
    if syntax in tools:
        tool, option = tools[UID(syntax)]
        plain = write(ds, path.parents[1] / "plain")
        subprocess.run([dcmtk(tool), option, "+un", str(plain), str(path)], check=True, capture_output=True)
    else:
        write(ds, path)
        options: dict[str, Any] = {"j2k_cr": [4]} if syntax == JPEG2000 else {}
        ds.compress(UID(syntax), generate_instance_uid=False, **options)
        write(ds, path, syntax)
    assert dcmread(path).file_meta.TransferSyntaxUID == syntax


def test_an_enhanced_ct_is_analysed_as_a_series_of_its_frames(site: Site, tmp_path: Path) -> None:
    """It holds no lungs, which only its decoded frames show; a chest's refusal is reported."""
    uid, frames = "1.2.826.0.1.3680043.10.1236.1", 24
    ds = image(uid, 1, SOPClassUID=EnhancedCTImageStorage, BodyPartExamined="CHEST", NumberOfFrames=frames)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope"):
        delattr(ds, keyword)
    del ds.RescaleIntercept
    ds.SharedFunctionalGroupsSequence = [
        _item(
            PixelMeasuresSequence=[_item(PixelSpacing=[4.0, 4.0], SliceThickness=5.0)],
            PlaneOrientationSequence=[_item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
            PixelValueTransformationSequence=[_item(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU")],
            CTImageFrameTypeSequence=[_item(FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"])],
        )
    ]
    ds.PerFrameFunctionalGroupsSequence = [
        _item(PlanePositionSequence=[_item(ImagePositionPatient=[-100.0, -100.0, 5.0 * frame])])
        for frame in range(frames)
    ]
    ds.PixelData = np.full((frames, 64, 64), 1064, np.int16).tobytes()
    write(ds, tmp_path / "enhanced.dcm")
    _dcmsend(site, tmp_path)
    job = site.node.await_job(uid)
    site.node.await_delivered(job["job"], "pacs")
    (made,) = site.jobs(uid)
    assert (made.reason and made.reason.value, made.sop_instance_uids) == ("NO_LUNGS", (ds.SOPInstanceUID,))


def _item(**values: object) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds
