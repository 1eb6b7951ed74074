from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.uid import EnhancedCTImageStorage, ExplicitVRLittleEndian

from survnode.model.ct.arrangement import SourceImage
from survnode.model.ct.origin import OWN_MANUFACTURER
from survnode.model.ct.volume import Volume
from survnode.model.errors import Reason
from survnode.model.prediction import Prediction
from survnode.node.results.bundle import analysed, not_analysed, preview_png
from survnode.node.results.documents.withdrawal import withdrawal
from survnode.node.results.envelope import ResultObject, SourceStudy
from survnode.node.results.identity import Layout, Predecessor
from survnode.node.roles import ResultRole

from .conftest import COVERAGE, Headers, Predict, a_model, a_prediction, a_run, a_volume

Results = tuple[ResultObject, ...]


def read(result: ResultObject) -> Dataset:
    return dcmread(BytesIO(result.encode()))


def encoded(results: Results) -> list[bytes]:
    return [result.encode() for result in results]


def walk(ds: Dataset) -> Iterator[Dataset]:
    yield ds
    for element in ds:
        if element.VR == "SQ":
            for item in element.value:
                yield from walk(item)


def uids(results: Results) -> set[str]:
    return {uid for result in results for uid in (result.sop_instance_uid, result.series_instance_uid)}


def test_a_prediction_becomes_a_report_the_captures_by_rank_the_key_objects_and_the_curve(results: Results) -> None:
    assert [result.file_name for result in results] == [
        "report.dcm", "captures/01.dcm", "captures/02.dcm", "captures/03.dcm", "captures/04.dcm", "captures/05.dcm",
        "key-objects.dcm", "curve.dcm",
    ]  # fmt: skip
    assert [result.role for result in results] == [
        ResultRole.REPORT, *[ResultRole.CAPTURE] * 5, ResultRole.KEY_OBJECTS, ResultRole.CURVE,
    ]  # fmt: skip


def test_the_same_run_gives_the_same_bytes(
    results: Results, source: SourceStudy, volume: Volume, predict: Predict
) -> None:
    backwards = SourceStudy(tuple(reversed(source.headers)))
    assert encoded(analysed(backwards, volume, predict(), a_run())) == encoded(results)


def test_another_processors_last_digits_give_the_same_bytes(
    results: Results, source: SourceStudy, volume: Volume, predict: Predict
) -> None:
    exact = predict()
    nearly = Prediction(exact.grid, exact.member_pmf * (1 + 1e-9), exact.attention, exact.model, COVERAGE)
    assert encoded(analysed(source, volume, nearly, a_run())) == encoded(results)


@pytest.mark.parametrize(
    ("prediction", "run"),
    [
        ({"hazard": 0.0301}, {}),
        ({"device_uid": "2.25.43"}, {}),
        ({}, {"version": 2}),
        ({}, {"software_version": "0.2"}),
        ({}, {"created": datetime(2026, 11, 24, 12, 0, 1, tzinfo=UTC)}),  # of a job whose first row was lost
    ],
    ids=["numbers", "model", "version", "software", "time"],
)
def test_another_result_shares_no_uid_and_no_series(
    results: Results,
    source: SourceStudy,
    volume: Volume,
    predict: Predict,
    prediction: dict[str, float],
    run: dict[str, object],
) -> None:
    other = analysed(source, volume, predict(**prediction), a_run(**run))
    assert uids(other).isdisjoint(uids(results))


def test_other_series_numbers_make_other_uids(
    results: Results, source: SourceStudy, volume: Volume, predict: Predict
) -> None:
    layout = Layout(series_numbers={role: 70 + i for i, role in enumerate(ResultRole)})
    assert uids(analysed(source, volume, predict(), a_run(), layout)).isdisjoint(uids(results))


def test_another_source_image_makes_another_result(results: Results, headers: Headers) -> None:
    images = tuple(SourceImage("1.2.840.10008.5.1.4.1.1.2", f"1.2.3.4.{i + 1}", i + 1) for i in range(25))
    other = analysed(SourceStudy(tuple(headers(25))), a_volume(images), a_prediction(images), a_run())
    assert uids(other).isdisjoint(uids(results))


def test_each_role_has_a_series_of_its_own_and_its_number(results: Results) -> None:
    numbers = {(result.role, result.series_instance_uid, int(result.dataset.SeriesNumber)) for result in results}
    assert sorted(number for _, _, number in numbers) == [9101, 9102, 9103, 9104]


def test_the_series_are_numbered_as_the_site_wants_them(source: SourceStudy, volume: Volume, predict: Predict) -> None:
    layout = Layout(series_numbers={role: 70 + i for i, role in enumerate(ResultRole)}, captures=2)
    results = analysed(source, volume, predict(), a_run(), layout)
    assert [int(result.dataset.SeriesNumber) for result in results] == [70, 71, 71, 72, 73]


def test_patient_and_study_are_the_sources_and_times_are_the_jobs(results: Results) -> None:
    for ds in map(read, results):
        assert (ds.PatientName, ds.PatientID, ds.PatientBirthDate) == ("Doe^Jane", "SECRET-1", "19500102")
        assert (ds.StudyInstanceUID, ds.StudyDate, ds.StudyTime) == ("1.2.3", "20250102", "101500")
        assert (ds.AccessionNumber, ds.StudyID, ds.StudyDescription) == ("A1", "S1", "CT chest")
        assert {ds.InstanceCreationDate, ds.SeriesDate, ds.ContentDate} == {"20190304"}
        assert {ds.InstanceCreationTime, ds.SeriesTime, ds.ContentTime} == {"050607"}
        assert ds.SpecificCharacterSet == "ISO_IR 192"
        assert ds.ContentQualification == "RESEARCH"
        assert ds.SeriesDescription.endswith("(research use only)")
        assert ds.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


def test_no_time_of_the_making_machine_is_left(results: Results) -> None:
    stated = {"19500102", "20250102", "20190304", "20190304050607"}
    for result in results:
        dates = {str(element.value) for element in result.dataset.iterall() if element.VR in {"DA", "DT"}}
        assert dates <= stated


def test_times_are_written_in_the_sources_time_zone(headers: Headers) -> None:
    source = SourceStudy(tuple(headers(1, TimezoneOffsetFromUTC="+0900")))
    (report,) = not_analysed(source, Reason.NO_LUNGS, "", a_run(), None)
    assert (read(report).ContentTime, read(report).TimezoneOffsetFromUTC) == ("140607", "+0900")


def test_the_device_uid_of_the_model_is_in_every_object(results: Results) -> None:
    for result in results:
        equipment = {item.Manufacturer: item for item in result.dataset.ContributingEquipmentSequence}
        assert equipment[OWN_MANUFACTURER].DeviceUID == "2.25.42"
        assert "SIEMENS" in equipment
        assert result.dataset.Manufacturer == OWN_MANUFACTURER


def test_no_pixel_depends_on_who_the_patient_is(
    results: Results, headers: Headers, volume: Volume, predict: Predict
) -> None:
    other = analysed(
        SourceStudy(tuple(headers(PatientName="Roe^Richard", StudyDate="20250102"))), volume, predict(), a_run()
    )
    for one, another in zip(results, other, strict=True):
        if "PixelData" in one.dataset:
            assert one.dataset.PixelData == another.dataset.PixelData


def test_the_patient_stands_only_where_the_standard_puts_him(results: Results) -> None:
    places = {"PatientName", "PatientID", "PatientBirthDate", "ReferringPhysicianName"}
    for result in results:
        for element in result.dataset.iterall():
            if element.keyword not in places and element.VR != "SQ":
                assert not any(part in str(element.value) for part in ("Doe", "Jane", "SECRET-1", "House"))


def test_a_reason_instead_of_a_prediction_gives_one_report(source: SourceStudy) -> None:
    results = not_analysed(source, Reason.TOO_FEW_SLICES, "Found 7, at least 20 are needed.", a_run(), a_model())
    assert [result.role for result in results] == [ResultRole.REPORT]


def test_a_refusal_is_known_by_its_reason_and_detail(source: SourceStudy) -> None:
    first = not_analysed(source, Reason.NO_LUNGS, "", a_run(), None)
    again = not_analysed(source, Reason.NO_LUNGS, "", a_run(), None)
    other = not_analysed(source, Reason.NO_LUNGS, "none at all", a_run(), None)
    assert encoded(first) == encoded(again)
    assert uids(first).isdisjoint(uids(other))


def test_a_new_version_names_its_predecessor(
    source: SourceStudy, volume: Volume, predict: Predict, results: Results
) -> None:
    before = results[0]
    predecessor = Predecessor(before.sop_class_uid, before.sop_instance_uid, before.series_instance_uid, "1.2.3")
    report = analysed(source, volume, predict(), a_run(version=2, predecessor=predecessor))[0]
    (study,) = report.dataset.PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    (instance,) = series.ReferencedSOPSequence
    assert (study.StudyInstanceUID, series.SeriesInstanceUID) == ("1.2.3", before.series_instance_uid)
    assert instance.ReferencedSOPInstanceUID == before.sop_instance_uid


def test_frames_of_a_multi_frame_instance_are_named_by_their_number(headers: Headers) -> None:
    images = tuple(SourceImage(EnhancedCTImageStorage, "1.2.3.4.1", 1, i + 1) for i in range(24))
    source = SourceStudy(tuple(headers(1, SOPClassUID=EnhancedCTImageStorage, NumberOfFrames=24)))
    report, capture, *_, key_objects, _curve = analysed(source, a_volume(images), a_prediction(images), a_run())
    assert capture.dataset.SourceImageSequence[0].ReferencedFrameNumber == 17
    shown = [item for item in key_objects.dataset.ContentSequence if item.ValueType == "IMAGE"]
    assert [item.ReferencedSOPSequence[0].ReferencedFrameNumber for item in shown] == [17, 18, 16, 19, 15]
    sources = [ds for ds in walk(report.dataset) if ds.get("ValueType") == "IMAGE"]
    assert [ds.ReferencedSOPSequence[0].ReferencedFrameNumber for ds in sources] == [17, 18, 16, 19, 15]
    assert any("source frame 17" in ds.get("TextValue", "") for ds in walk(report.dataset))


def test_pixels_of_the_source_are_not_changed(source: SourceStudy, volume: Volume, predict: Predict) -> None:
    before = volume.hu.copy()
    analysed(source, volume, predict(), a_run())
    assert np.array_equal(volume.hu, before)


def test_a_preview_shows_the_pixels_of_the_object(results: Results, tmp_path: Path) -> None:
    path = tmp_path / "curve.png"
    preview_png(results[-1].dataset, path)
    assert np.array_equal(np.asarray(Image.open(path)), read(results[-1]).pixel_array)


def test_the_names_of_the_series_say_version_and_state(source: SourceStudy, volume: Volume, predict: Predict) -> None:
    layout = Layout(optional=frozenset({ResultRole.PDF}))
    second = analysed(source, volume, predict(), a_run(version=2), layout)
    names = {item.role: item.dataset.SeriesDescription for item in second}
    assert names[ResultRole.REPORT] == "AI survival report v2 (research use only)"
    assert names[ResultRole.CAPTURE] == "AI attention v2 (research use only)"
    assert second[-1].dataset.DocumentTitle == names[ResultRole.PDF] == "AI survival summary v2 (research use only)"
    (refusal,) = not_analysed(source, Reason.NO_LUNGS, "", a_run(version=3), None)
    assert refusal.dataset.SeriesDescription == "AI not analysed v3 (research use only)"
    assert withdrawal([item.dataset for item in second], a_run(version=2)).dataset.SeriesDescription == (
        "AI results withdrawn v2 (research use only)"
    )
    assert all(len(role.description) + len(" v9999 (research use only)") <= 64 for role in ResultRole)


@pytest.mark.parametrize("role", ResultRole)
def test_a_list_of_series_has_room_for_the_name_and_the_version(role: ResultRole) -> None:
    """OHIF's list of its default width shows 20 characters below a thumbnail and 23 in the line of a document."""
    room = 20 if role in {ResultRole.CAPTURE, ResultRole.CURVE} else 23
    assert len(f"{role.description} v9") <= room
