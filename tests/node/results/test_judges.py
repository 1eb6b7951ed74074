"""What tools that others wrote think of the objects."""

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import Dataset
from pydicom.uid import (
    ComprehensiveSRStorage,
    CTImageStorage,
    EnhancedCTImageStorage,
    EnhancedSRStorage,
    MRImageStorage,
)

from survnode.model.ct.arrangement import SourceImage
from survnode.model.ct.volume import Volume
from survnode.model.errors import Reason
from survnode.model.prediction import Prediction
from survnode.node.errors import ObjectFaulty
from survnode.node.results.bundle import analysed, not_analysed
from survnode.node.results.documents.attention_report import attention_report
from survnode.node.results.documents.variant import in_class
from survnode.node.results.documents.withdrawal import withdrawal
from survnode.node.results.envelope import Envelope, ResultObject, SourceStudy
from survnode.node.results.findings import findings_of
from survnode.node.results.identity import Layout, Predecessor
from survnode.node.results.inspection.inspection import inspect
from survnode.node.roles import ResultRole

from .conftest import (
    Headers,
    Judge,
    Predict,
    a_header,
    a_model,
    a_prediction,
    a_run,
    a_series,
    a_volume,
    as_received,
    find_tool,
    output_of,
    write,
)

Read = Callable[[Path], Mapping[str, Any]]
Results = tuple[ResultObject, ...]

PREDECESSOR = Predecessor("1.2.840.10008.5.1.4.1.1.88.34", "2.25.7", "2.25.8", "1.2.3")


def a_request() -> Dataset:
    item = Dataset()
    item.RequestedProcedureID, item.ScheduledProcedureStepID = "RP1", "SPS1"
    return item


def a_procedure() -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "24627-2", "LN", "CT Chest"
    return item


SOURCES: dict[str, dict[str, Any]] = {
    "sparse": {},
    "Japanese": {
        "SpecificCharacterSet": ["", "ISO 2022 IR 87"], "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう",
        "StudyDescription": "胸部CT",
    },
    "katakana": {
        "SpecificCharacterSet": ["ISO 2022 IR 13", "ISO 2022 IR 87"],
        "PatientName": "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    },
    "Korean": {"SpecificCharacterSet": ["", "ISO 2022 IR 149"], "PatientName": "Hong^Gildong=洪^吉洞=홍^길동"},
    "Greek": {"SpecificCharacterSet": "ISO_IR 126", "PatientName": "Διονυσιος^Α", "InstitutionName": "Ιατρείο"},
    "Cyrillic": {"SpecificCharacterSet": "ISO_IR 144", "PatientName": "Люкceмбypг^И", "Manufacturer": "Завод"},
    "long and not Latin": {
        "SpecificCharacterSet": "ISO_IR 192", "PatientName": "Константинопольский^Александр^Иннокентьевич",
        "InstitutionName": "Городская клиническая больница имени Николая Ивановича Пирогова",
        "StationName": "胸部CT装置一号機",
        "StudyDescription": "胸部単純および造影CT検査、術前評価、肺癌疑い、前回検査との比較あり",
    },
    "over-long": {
        "PatientName": "n" * 80 + "^x", "PatientID": "i" * 80, "AccessionNumber": "a" * 20, "StudyID": "s" * 20,
        "StudyDescription": "d" * 100, "InstitutionName": "h" * 100, "StationName": "t" * 30,
        "ManufacturerModelName": "m" * 100, "Manufacturer": "f" * 100,
    },
    "faulty": {
        "PatientSex": "U", "StudyTime": "10:15", "StudyDate": "2025.01.02", "PatientBirthDate": "19501399",
        "PatientAge": "83", "PatientWeight": "0", "PatientSize": "0.0",
        "PatientIdentityRemoved": "YES", "TimezoneOffsetFromUTC": "+0100",
    },
    "requested": {"RequestAttributesSequence": [a_request()], "ProcedureCodeSequence": [a_procedure()]},
}  # fmt: skip


def inconsistencies(*paths: Path) -> list[str]:
    """What dicom3tools finds that objects tell differently of one patient, study or series."""
    return [line for line in output_of(find_tool("dcentvfy"), *paths).splitlines() if line.startswith("Error")]


@pytest.mark.filterwarnings("ignore:Invalid value for VR", "ignore:The value length", "ignore:The PN component")
@pytest.mark.parametrize("attributes", SOURCES.values(), ids=SOURCES)
def test_every_object_is_valid_whatever_the_source_says(
    attributes: dict[str, Any],
    headers: Headers,
    volume: Volume,
    predict: Predict,
    dciodvfy: Judge,
    read_tid1500: Read,
    tmp_path: Path,
) -> None:
    source = SourceStudy(tuple(as_received(ds) for ds in headers(**attributes)))
    layout = Layout(captures=1, optional=frozenset({ResultRole.PDF, ResultRole.ATTENTION_REPORT}))
    results = analysed(source, volume, predict(), a_run(), layout)
    note = withdrawal([result.dataset for result in results], a_run(version=2))
    inspect(results, source)
    paths = write([*results, note], tmp_path)
    assert {path.name: dciodvfy(path) for path in paths} == {path.name: [] for path in paths}
    assert [line for line in inconsistencies(*paths) if "SOPInstanceUID that was referenced" not in line] == []
    assert [line for line in printed(paths[0]) if line.startswith(("E:", "F:"))] == []
    assert values_in(read_tid1500(paths[0]))[0] == {"OS-M24": pytest.approx(100 * predict().survival_at(24), abs=0.005)}


def printed(path: Path) -> list[str]:
    """A document as DCMTK shows it, and what it says of that."""
    return output_of(find_tool("dsrdump", "/usr/bin"), "+Pl", path).splitlines()


def values_in(report: Mapping[str, Any]) -> list[dict[str, float]]:
    """The numbers of each group that dcmqi read, by their code."""
    return [
        {item["quantity"]["CodeValue"]: float(item["value"]) for item in group["measurementItems"]}
        for group in report["Measurements"]
    ]


def test_a_value_that_is_over_long_in_characters_is_still_a_fault(source: SourceStudy) -> None:
    (spoilt,) = not_analysed(source, Reason.NO_LUNGS, "", a_run(), None)
    spoilt.dataset.StudyDescription = "я" * 65
    with pytest.raises(ObjectFaulty, match="has a value that is no LO"):
        inspect([spoilt], source)


def test_the_judge_and_its_allow_list_let_no_fault_pass(source: SourceStudy, dciodvfy: Judge, tmp_path: Path) -> None:
    (spoilt,) = not_analysed(source, Reason.NO_LUNGS, "", a_run(), None)
    spoilt.dataset.VerificationFlag = "PERHAPS"
    del spoilt.dataset.PatientID
    (path,) = write([spoilt], tmp_path)
    assert len([line for line in dciodvfy(path) if line.startswith("Error")]) >= 2


@pytest.mark.parametrize("sop_class", [CTImageStorage, MRImageStorage, EnhancedCTImageStorage])
def test_a_refusal_of_any_kind_of_image_is_valid(sop_class: str, dciodvfy: Judge, tmp_path: Path) -> None:
    source = SourceStudy(
        tuple(a_header(i + 1, SOPClassUID=sop_class, SeriesInstanceUID=f"1.2.3.{i}") for i in range(3))
    )
    run = a_run(version=2, predecessor=PREDECESSOR)
    (path,) = write(not_analysed(source, Reason.NOT_CT, "Modality is 'MR'.", run, None), tmp_path)
    assert dciodvfy(path) == []
    assert "NA-NOT-CT" in output_of(find_tool("dsrdump", "/usr/bin"), "+Pc", path)


@pytest.mark.parametrize("reason", Reason)
def test_a_refusal_for_any_reason_is_valid(
    reason: Reason, source: SourceStudy, dciodvfy: Judge, tmp_path: Path
) -> None:
    refusal = not_analysed(source, reason, "Found 7, at least 20 are needed.", a_run(), a_model())
    inspect(refusal, source)
    assert dciodvfy(*write(refusal, tmp_path)) == []


@pytest.mark.parametrize("sop_class", [ComprehensiveSRStorage, EnhancedSRStorage])
def test_the_fall_back_classes_are_valid(
    sop_class: str, source: SourceStudy, volume: Volume, predict: Predict, dciodvfy: Judge, tmp_path: Path
) -> None:
    report = analysed(source, volume, predict(), a_run(), Layout(report_sop_class=sop_class))[0]
    (built,) = write([report], tmp_path / "built")
    first = not_analysed(source, Reason.NO_LUNGS, "", a_run(version=2, predecessor=PREDECESSOR), None)[0]
    rewritten = ResultObject(ResultRole.REPORT, in_class(first.dataset, sop_class))
    assert dciodvfy(built) == dciodvfy(*write([rewritten], tmp_path)) == []


def test_results_of_an_enhanced_ct_are_valid(headers: Headers, dciodvfy: Judge, tmp_path: Path) -> None:
    images = tuple(SourceImage(EnhancedCTImageStorage, "1.2.3.4.1", 1, i + 1) for i in range(24))
    source = SourceStudy(tuple(headers(1, SOPClassUID=EnhancedCTImageStorage, NumberOfFrames=24)))
    paths = write(analysed(source, a_volume(images), a_prediction(images), a_run()), tmp_path)
    assert [complaint for path in paths for complaint in dciodvfy(path)] == []


@pytest.fixture(scope="module")
def real(lung1: tuple[SourceStudy, Volume], lung1_lungs: Path) -> tuple[Prediction, Results]:
    """A real patient's results with all that is optional; his lungs were drawn by hand."""
    source, volume = lung1
    prediction = a_prediction(volume.images, demonstration=True)
    layout = Layout(optional=frozenset({ResultRole.PDF, ResultRole.SEGMENTATION, ResultRole.ATTENTION_REPORT}))
    lungs = sitk.GetArrayFromImage(sitk.ReadImage(str(lung1_lungs))).astype(np.uint8)
    return prediction, analysed(source, volume, prediction, a_run(), layout, lungs)


def test_results_of_a_real_patient_are_valid_and_consistent_with_his_ct(
    real: tuple[Prediction, Results], lung1_series: list[Path], dciodvfy: Judge, tmp_path: Path
) -> None:
    paths = write(real[1], tmp_path)
    assert [complaint for path in paths for complaint in dciodvfy(path)] == []
    # The tool compares the files pairwise; the patient's RTSTRUCT, which disagrees with his CT, is not ours to judge.
    assert [line for line in inconsistencies(*paths, *lung1_series) if str(tmp_path) in line] == []


def test_an_independent_reader_reads_the_numbers_of_the_prediction(
    real: tuple[Prediction, Results], read_tid1500: Read, tmp_path: Path
) -> None:
    prediction, results = real
    survival, curve, *slices = values_in(read_tid1500(write(results[:1], tmp_path)[0]))
    assert survival["OS-M24"] == pytest.approx(100 * prediction.survival_at(24), abs=0.005)
    assert [curve[f"CIF-M{month:02d}"] for month in range(1, 25)] == pytest.approx(100 * prediction.cif, abs=0.005)
    assert (len(survival), len(curve)) == (1, 24)
    expected = [100 * item.weight for item in prediction.ranked(5)]
    assert [weights["ATTENTION"] for weights in slices] == pytest.approx(expected, abs=0.005)


def test_an_independent_reader_finds_the_lungs_where_they_were_drawn(
    real: tuple[Prediction, Results], lung1_lungs: Path, tmp_path: Path
) -> None:
    tool = find_tool("segimage2itkimage")
    (path,) = write([result for result in real[1] if result.role is ResultRole.SEGMENTATION], tmp_path)
    output_of(tool, "--inputDICOM", path, "--outputDirectory", tmp_path, "--outputType", "nrrd")
    drawn = sitk.ReadImage(str(lung1_lungs))
    for number in (1, 2):
        found = sitk.ReadImage(str(tmp_path / f"{number}.nrrd")) > 0
        placed = sitk.Resample(found, drawn, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
        expected = sitk.GetArrayFromImage(drawn == number)
        assert expected.sum() > 500_000
        assert np.array_equal(sitk.GetArrayFromImage(placed), expected)


def test_dcmtk_prints_the_report_and_the_key_objects(real: tuple[Prediction, Results], tmp_path: Path) -> None:
    _, results = real
    chosen = [result for result in results if result.role in {ResultRole.REPORT, ResultRole.KEY_OBJECTS}]
    report, key_objects = ("\n".join(printed(path)) for path in write(chosen, tmp_path))
    for said in (report, key_objects):
        assert not any(line.startswith(("E:", "F:")) for line in said.splitlines())
    assert report.count("contains NUM") == 30
    assert "DEMONSTRATION MODEL: trained on phantoms, knows nothing of patients." in report
    assert key_objects.count("contains IMAGE") == 5


@pytest.fixture
def every_weight(source: SourceStudy, volume: Volume, predict: Predict) -> ResultObject:
    """The second report."""
    findings = findings_of(predict(), a_series(), 5)
    envelope = Envelope(source, a_run(), Layout(), findings.model, "content")
    return attention_report(findings, volume.images, envelope)


PIXELMED = Path("/usr/share/java/pixelmed.jar")
NO_LIMITS = [f"-Djdk.xml.xpath{limit}=0" for limit in ("ExprOpLimit", "TotalOpLimit", "ExprGrpLimit")]


def test_pixelmed_finds_the_templates_and_no_error(
    results: Results, source: SourceStudy, every_weight: ResultObject, tmp_path: Path
) -> None:
    """Slow: each start compiles 8 MB of style sheets, 9 s of a processor; so they run side by side."""
    if not PIXELMED.exists():
        pytest.skip("libpixelmed-java is not installed")
    java = find_tool("java")
    (refusal,) = write(not_analysed(source, Reason.NO_LUNGS, "", a_run(), None), tmp_path / "refused")
    report, *_, key_objects, _ = write(results, tmp_path)
    (note,) = write([withdrawal([result.dataset for result in results], a_run())], tmp_path)
    (weights,) = write([every_weight], tmp_path)
    quick_start = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
    options = [
        *quick_start,
        "-Djava.awt.headless=true",
        *NO_LIMITS,
        "-cp",
        str(PIXELMED),
        "com.pixelmed.validate.DicomSRValidator",
    ]
    running = [
        subprocess.Popen([java, *options, path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for path in (report, refusal, key_objects, note, weights)
    ]
    said = [process.communicate(timeout=300)[0] for process in running]
    templates = ("TID_1500", "TID_1500", "TID_2010", "TID_2010", "TID_1500")
    for words, template in zip(said, templates, strict=True):
        assert f"Found Root Template {template}" in words
        assert "Root Template Validation Complete" in words
        assert "Error" not in words
        assert "Warning" not in words
