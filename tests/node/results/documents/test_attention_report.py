import pytest
from pydicom import Dataset

from survnode.model.ct.volume import Volume
from survnode.node.results.bundle import analysed
from survnode.node.results.documents.attention_report import attention_report
from survnode.node.results.envelope import Envelope, ResultObject, SourceStudy
from survnode.node.results.findings import findings_of
from survnode.node.results.identity import Layout, Predecessor
from survnode.node.results.inspection.content import concept, content_items, numbers
from survnode.node.roles import ResultRole

from ..conftest import Predict, a_run, a_series


@pytest.fixture(scope="module")
def made(source: SourceStudy, volume: Volume, predict: Predict) -> ResultObject:
    prediction = predict()
    before = Predecessor("1.2.840.10008.5.1.4.1.1.88.34", "2.25.7", "2.25.8", "1.2.3")
    envelope = Envelope(source, a_run(version=2, predecessor=before), Layout(), prediction.model, "content")
    return attention_report(findings_of(prediction, a_series(), 5), volume.images, envelope)


@pytest.fixture(scope="module")
def ds(made: ResultObject) -> Dataset:
    return made.dataset


def test_every_slice_has_its_weight_and_its_image_feet_to_head(ds: Dataset, predict: Predict) -> None:
    found = list(numbers(ds))
    expected = sorted(predict().attention, key=lambda item: item.index)
    assert [value for _, value, _ in found] == pytest.approx([100 * item.weight for item in expected], abs=0.005)
    assert [image and image.sop_instance_uid for _, _, image in found] == [
        item.image.sop_instance_uid for item in expected
    ]


def test_every_group_can_be_tracked_apart_from_the_others_and_from_the_first_report(
    ds: Dataset, results: tuple[ResultObject, ...]
) -> None:
    uids = [str(item.UID) for item in content_items(ds) if concept(item) == "112040"]
    first = {str(item.UID) for item in content_items(results[0].dataset) if concept(item) == "112040"}
    assert len(set(uids)) == 24
    assert first.isdisjoint(uids)


def test_every_container_is_separate(ds: Dataset) -> None:
    containers = [ds, *(item for item in content_items(ds) if item.ValueType == "CONTAINER")]
    assert {item.ContinuityOfContent for item in containers} == {"SEPARATE"}


def test_it_is_a_series_of_its_own_and_replaces_no_report(made: ResultObject) -> None:
    assert (made.role, made.dataset.SeriesNumber) == (ResultRole.ATTENTION_REPORT, 9107)
    assert "PredecessorDocumentsSequence" not in made.dataset


def test_it_is_made_only_if_it_is_wanted(source: SourceStudy, volume: Volume, predict: Predict) -> None:
    wanted = Layout(captures=1, optional=frozenset({ResultRole.ATTENTION_REPORT}))
    roles = [item.role for item in analysed(source, volume, predict(), a_run(), wanted)]
    assert roles == [
        ResultRole.REPORT, ResultRole.CAPTURE, ResultRole.KEY_OBJECTS, ResultRole.CURVE, ResultRole.ATTENTION_REPORT,
    ]  # fmt: skip
