from pydicom import Dataset

from survnode.node.results.envelope import ResultObject
from survnode.node.roles import ResultRole

from ..conftest import Predict


def key_objects(results: tuple[ResultObject, ...]) -> Dataset:
    (found,) = [result.dataset for result in results if result.role is ResultRole.KEY_OBJECTS]
    return found


def test_they_are_the_ct_images_of_the_highest_attention_by_rank(
    results: tuple[ResultObject, ...], predict: Predict
) -> None:
    images = [item for item in key_objects(results).ContentSequence if item.ValueType == "IMAGE"]
    referenced = [item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in images]
    assert referenced == [item.image.sop_instance_uid for item in predict().ranked(5)]
    assert not any("ConceptNameCodeSequence" in item for item in images)


def test_they_are_titled_for_research_and_say_why_they_were_chosen(results: tuple[ResultObject, ...]) -> None:
    ds = key_objects(results)
    assert ds.ConceptNameCodeSequence[0].CodeValue == "113009"
    (text,) = [item.TextValue for item in ds.ContentSequence if item.ValueType == "TEXT" and "rank" in item.TextValue]
    assert text.splitlines()[0] == "AI attention, rank 1 to 5 (research use only)"
    assert text.splitlines()[1].startswith("rank 1: 13.3 %, source image 17")


def test_evidence_is_what_is_referenced_and_nothing_else(results: tuple[ResultObject, ...]) -> None:
    (study,) = key_objects(results).CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    assert len(series.ReferencedSOPSequence) == 5
