from collections.abc import Iterator
from dataclasses import replace

import pytest
from pydicom import Dataset
from pydicom.uid import ComprehensiveSRStorage, EnhancedSRStorage

from survnode.model.ct.coverage import Coverage, CoverageWarning
from survnode.model.ct.volume import Volume
from survnode.model.errors import Reason
from survnode.model.likeness import Difference, Unlikeness
from survnode.node.results.bundle import analysed, not_analysed
from survnode.node.results.envelope import ResultObject, SourceStudy
from survnode.node.results.findings import DEMONSTRATION
from survnode.node.results.identity import Layout
from survnode.node.results.words import LINE_CHARS

from ..conftest import Headers, Predict, a_model, a_run

Results = tuple[ResultObject, ...]


def items(ds: Dataset) -> Iterator[Dataset]:
    """The content items below ``ds``, in the order in which a reader meets them."""
    for item in ds.get("ContentSequence", []):
        yield item
        yield from items(item)


def name(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeValue)


def numbers(ds: Dataset) -> list[tuple[str, float]]:
    return [
        (name(item), float(item.MeasuredValueSequence[0].NumericValue)) for item in items(ds) if item.ValueType == "NUM"
    ]


def texts(ds: Dataset, code: str) -> list[str]:
    return [item.TextValue for item in items(ds) if item.ValueType == "TEXT" and name(item) == code]


@pytest.fixture(scope="module")
def report(results: Results) -> Dataset:
    return results[0].dataset


def test_it_is_a_preliminary_unverified_report_for_research(report: Dataset) -> None:
    assert (report.CompletionFlag, report.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    assert (report.PreliminaryFlag, report.ContentQualification) == ("PRELIMINARY", "RESEARCH")
    assert report.ConceptNameCodeSequence[0].CodeValue == "126001"
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"


def test_the_first_number_is_the_survival_at_two_years(report: Dataset, predict: Predict) -> None:
    code, value = numbers(report)[0]
    assert code == "OS-M24"
    assert value == pytest.approx(100 * predict().survival_at(24), abs=0.005)


def test_the_curve_is_one_number_a_month_and_equals_the_predictions(report: Dataset, predict: Predict) -> None:
    curve = numbers(report)[1:25]
    assert [code for code, _ in curve] == [f"CIF-M{month:02d}" for month in range(1, 25)]
    assert [value for _, value in curve] == pytest.approx(100 * predict().cif, abs=0.005)


def test_each_ranked_slice_has_its_weight_and_its_source(report: Dataset, predict: Predict) -> None:
    weights = [item for item in items(report) if item.ValueType == "NUM" and name(item) == "ATTENTION"]
    ranked = predict().ranked(5)
    assert [float(item.MeasuredValueSequence[0].NumericValue) for item in weights] == pytest.approx(
        [100 * item.weight for item in ranked], abs=0.005
    )
    references = [item.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in weights]
    assert references == [item.image.sop_instance_uid for item in ranked]


def test_every_group_can_be_tracked(report: Dataset) -> None:
    names = [item.TextValue for item in items(report) if name(item) == "112039"]
    uids = [item.UID for item in items(report) if name(item) == "112040"]
    assert names == [
        "24-month survival 48 % (three models: 41 to 56 %) (research use only)",
        "Survival curve",
        *(
            f"Attention rank {rank}, source image {image}, z {3 * image - 3:.1f} mm"
            for rank, image in enumerate((17, 18, 16, 19, 15), start=1)
        ),
    ]
    assert len(set(uids)) == 7


def test_nothing_but_its_name_place_and_kind_stands_between_the_top_of_the_findings_and_the_headline(
    report: Dataset,
) -> None:
    (measurements,) = [item for item in report.ContentSequence if name(item) == "126010"]
    headline = measurements.ContentSequence[0].ContentSequence
    assert [name(item) for item in headline] == ["112039", "112040", "121071", "363698007", "OS-M24"]
    finding = headline[2].ConceptCodeSequence[0]
    assert (finding.CodeValue, finding.CodingSchemeDesignator) == ("365858006", "SCT")


def test_every_container_is_separate_or_viewers_drop_its_labels(report: Dataset) -> None:
    containers = [report, *(item for item in items(report) if item.ValueType == "CONTAINER")]
    assert {item.ContinuityOfContent for item in containers} == {"SEPARATE"}
    assert len(containers) == 10


def test_it_says_what_computed_it(report: Dataset) -> None:
    numbers_of = [item for item in items(report) if item.ValueType == "NUM"]
    (curve,) = [item for item in items(report) if item.ValueType == "CONTAINER" and "CIF-M01" in map(name, items(item))
                and name(item) == "125007"]  # fmt: skip
    for told in (numbers_of[0], curve):  # the headline and the curve
        assert texts(told, "111001") == ["survnode-test"]
        assert texts(told, "111003") == ["1.2.0"]
    parameters = "\n".join(texts(numbers_of[0], "111002"))
    assert parameters == "\n".join(texts(curve, "111002"))
    for fact in ("ab" * 32, "cd" * 32, "threshold", "1.5 mm, lungs cropped", "24 bins of one month", "100 patients"):
        assert fact in parameters


def test_the_words_carry_the_numbers_and_the_warning(report: Dataset) -> None:
    (summary,) = texts(report, "121071")
    assert "24 months:  48 %   (three models: 41 to 56 %)" in summary
    assert "Analysed: CT series of 2025-01-02" in summary
    assert "24 slices, 72 mm; lungs 4600 ml, 255 mm from base to apex" in summary
    assert "Each value is the mean of 3 models" in summary
    assert "At 24 months it is higher than in 48 % of the training cohort." in summary
    assert "Training cohort: a cohort of 100 patients" in summary
    assert "rank 1:" in summary
    assert texts(report, "121106")[0].startswith("Research use only.")


def test_no_line_of_the_words_is_longer_than_a_viewer_shows(
    source: SourceStudy, volume: Volume, predict: Predict
) -> None:
    cohort = "421 patients of a cohort whose name is long, " * 5
    report = analysed(source, volume, predict(cohort=cohort), a_run())[0].dataset
    (summary,) = texts(report, "121071")
    assert max(len(line) for line in summary.splitlines()) <= LINE_CHARS
    assert " ".join(cohort.split()) in " ".join(summary.split())
    refused = not_analysed(source, Reason.NO_LUNGS, "Expected this and that, found " + "something " * 20, a_run(), None)
    (text,) = texts(refused[0].dataset, "121071")
    assert max(len(line) for line in text.splitlines()) <= LINE_CHARS


def test_one_model_has_no_range(source: SourceStudy, volume: Volume, predict: Predict) -> None:
    report = analysed(source, volume, predict(members=1), a_run())[0].dataset
    assert "models" not in texts(report, "121071")[0]


def test_generated_text_is_ascii_and_survives_a_model_that_is_not(
    source: SourceStudy, volume: Volume, predict: Predict
) -> None:
    report = analysed(source, volume, predict(name="Modèle", cohort="größer"), a_run())[0].dataset
    assert all(item.TextValue.isascii() for item in items(report) if item.ValueType == "TEXT")
    assert report.ManufacturerModelName == "Mod?le"


def test_a_demonstration_model_says_so_in_the_report(source: SourceStudy, volume: Volume, predict: Predict) -> None:
    honest = analysed(source, volume, predict(demonstration=True), a_run())[0].dataset
    assert f"{DEMONSTRATION}." in texts(honest, "121106")
    assert "demonstration model: knows nothing of patients" in texts(honest, "112039")[0]  # above the headline
    plain = analysed(source, volume, predict(), a_run())[0].dataset
    assert not any(DEMONSTRATION in text for text in texts(plain, "121106"))


def test_all_source_images_are_evidence(report: Dataset) -> None:
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    assert len(series.ReferencedSOPSequence) == 24


def test_the_procedure_is_the_sources_or_an_unspecified_ct(headers: Headers, report: Dataset) -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "24627-2", "LN", "CT Chest"
    source = SourceStudy(tuple(headers(1, ProcedureCodeSequence=[code])))
    named = not_analysed(source, Reason.NO_LUNGS, "", a_run(), None)[0].dataset
    for ds, expected in ((named, "24627-2"), (report, "25045-6")):
        procedures = [item for item in items(ds) if name(item) == "121058"]
        assert [item.ConceptCodeSequence[0].CodeValue for item in procedures] == [expected]


def test_the_request_is_referenced(headers: Headers) -> None:
    item = Dataset()
    item.RequestedProcedureID, item.ScheduledProcedureStepID = "RP1", "SPS1"
    source = SourceStudy(tuple(headers(1, AccessionNumber="A7", RequestAttributesSequence=[item])))
    (request,) = not_analysed(source, Reason.NO_LUNGS, "", a_run(), None)[0].dataset.ReferencedRequestSequence
    assert (request.AccessionNumber, request.RequestedProcedureID, request.StudyInstanceUID) == ("A7", "RP1", "1.2.3")


@pytest.mark.parametrize("sop_class", [ComprehensiveSRStorage, EnhancedSRStorage])
def test_the_same_tree_is_written_in_an_older_class(
    source: SourceStudy, volume: Volume, predict: Predict, report: Dataset, sop_class: str
) -> None:
    other = analysed(source, volume, predict(), a_run(), Layout(report_sop_class=sop_class))[0].dataset
    assert sop_class == other.SOPClassUID
    assert numbers(other) == numbers(report)


@pytest.mark.parametrize("reason", Reason)
def test_a_refusal_gives_the_reason_as_code_and_in_words_and_no_numbers(source: SourceStudy, reason: Reason) -> None:
    ds = not_analysed(source, reason, "Found 7.", a_run(), None)[0].dataset
    assert numbers(ds) == []
    (finding,) = [item for item in items(ds) if item.ValueType == "CODE" and name(item) == "121071"]
    assert finding.ConceptCodeSequence[0].CodingSchemeDesignator == "99SURVNODE"
    assert finding.ConceptCodeSequence[0].CodeMeaning == reason.sentence.rstrip(".")
    (text,) = texts(ds, "121071")
    assert text.splitlines() == [
        "Not analysed: no survival was predicted for this study.", f"Reason: {reason.sentence}", "Found 7.",
    ]  # fmt: skip


def test_a_refusal_names_the_model_that_was_not_asked(source: SourceStudy) -> None:
    ds = not_analysed(source, Reason.NO_LUNGS, "", a_run(), a_model(demonstration=True))[0].dataset
    assert [item.UID for item in items(ds) if name(item) == "121012"] == ["2.25.42"]
    assert f"{DEMONSTRATION}." in texts(ds, "121106")


def findings_coded(ds: Dataset) -> list[tuple[str, str]]:
    coded = [item.ConceptCodeSequence[0] for item in items(ds) if item.ValueType == "CODE" and name(item) == "121071"]
    return [(code.CodeValue, code.CodingSchemeDesignator) for code in coded]


def test_what_is_missing_of_the_lungs_and_that_the_models_disagree_are_coded(
    source: SourceStudy, volume: Volume, predict: Predict
) -> None:
    cut = Coverage(240.0, 4000.0, 0.2, 0.0, (CoverageWarning.CUT_BELOW,))
    prediction = replace(predict(max_spread=0.1), coverage=cut)
    ds = analysed(source, volume, prediction, a_run())[0].dataset
    assert findings_coded(ds) == [
        ("365858006", "SCT"), ("130576", "DCM"), ("W-CUT-BELOW", "99SURVNODE"), ("W-DISAGREE", "99SURVNODE"),
    ]  # fmt: skip
    (summary,) = texts(ds, "121071")
    assert "WARNING: The lungs are cut off at the lower end of the CT." in summary
    assert "The models disagree: more than on 95 of 100 patients" in summary
    assert "the models disagree" in next(item.TextValue for item in items(ds) if name(item) == "112039")


def test_how_a_patient_is_unlike_the_training_is_coded_and_said(
    source: SourceStudy, volume: Volume, predict: Predict
) -> None:
    unlike = Unlikeness(Difference.IMAGES), Unlikeness(Difference.SCAN, ("lung volume [ml]: 900, in training 2 to 5",))
    ds = analysed(source, volume, replace(predict(), unlike=unlike), a_run())[0].dataset
    assert findings_coded(ds)[1:] == [("W-UNLIKE-IMAGE", "99SURVNODE"), ("W-UNLIKE-SCAN", "99SURVNODE")]
    told = " ".join(texts(ds, "121071")[0].split())
    assert "WARNING: The images are unlike those that the model was trained on." in told
    assert "trained on. Lung volume [ml]: 900, in training 2 to 5." in told


def test_an_undisputed_number_on_whole_lungs_has_its_kind_as_its_only_code(report: Dataset) -> None:
    assert findings_coded(report) == [("365858006", "SCT")]
