from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from survnode.model.ct.verdict import SeriesVerdict
from survnode.model.errors import Reason
from survnode.node.commands.printing import Column, cell
from survnode.node.commands.table_layouts import (
    ASSOCIATIONS,
    EXPECTED_SERIES,
    SERIES,
    of_deliveries,
    of_jobs,
    of_one_job,
    of_one_study,
    of_studies,
)
from survnode.node.roles import ResultRole
from survnode.node.state.records import AssociationEnd, CommitmentState, DeliveryState, JobState, StudyState
from survnode.node.state.summaries import (
    AssociationSummary,
    ComparedSeries,
    DeliverySummary,
    JobDetail,
    ResultSummary,
    Standing,
    StudyDetail,
)

AT = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
SHORT = {"1.2.4711": "...4711"}
STUDY = StudyDetail(
    "1.2.4711", "A1", "P1", "", Standing.ANALYSED, StudyState.ASSEMBLED, 60, 0, AT, AT, None, "", 1, JobState.FINISHED,
    None, "", "", sentence=StudyState.ASSEMBLED.sentence, series=(), other_series=(), quarantined=(), jobs=(),
    deliveries=(),
)  # fmt: skip
JOB = JobDetail(
    1, "1.2.4711", "A1", "P1", 2, JobState.FINISHED, None, "", 1, 0, AT, AT, "", sentence=JobState.FINISHED.sentence,
    series_instance_uid="1.2.5", images=60, device_uid="2.25.1", deliveries=(),
    results=(ResultSummary(ResultRole.REPORT, "1.2.6", "00000001/report.dcm"),),
)  # fmt: skip
DELIVERY = DeliverySummary(
    1, 1, "1.2.4711", "pacs", ResultRole.CAPTURE, 2, DeliveryState.WAITING, 1, None, AT, AT, None,
    "It cannot be reached.", CommitmentState.NONE, None, "",
)  # fmt: skip
ASSOCIATION = AssociationSummary(
    1, AT, AT, "192.0.2.7", "CT1", "SURVNODE", AssociationEnd.RELEASED, 2, 1, ("PET",), 0, 10, 1, 2_000_000, ""
)


def shown(columns: tuple[Column[Any], ...], record: object) -> dict[str, str]:
    return {column.name: cell(column.value(record)) for column in columns}


def test_a_study_in_need_of_a_person_says_what_it_wants() -> None:
    conflict = replace(STUDY, state=StudyState.PATIENT_CONFLICT, standing=Standing.FAILED)
    assert shown(of_one_study(), conflict)["state"] == f"failed: {StudyState.PATIENT_CONFLICT.sentence}"
    assert of_studies(SHORT).note(conflict) == StudyState.PATIENT_CONFLICT.sentence
    assert of_studies(SHORT).style(conflict) == "red"
    assert shown(of_one_study(), STUDY)["state"] == f"analysed: {Standing.ANALYSED.sentence}"
    assert of_studies(SHORT).note(STUDY) == ""


def test_a_reason_that_the_detail_holds_already_is_not_said_twice() -> None:
    sentence = Reason.TOO_FEW_SLICES.sentence
    refused = replace(STUDY, reason=Reason.TOO_FEW_SLICES, detail="Found 3.")
    assert of_studies(SHORT).note(refused) == f"{sentence} Found 3."
    ignored = replace(refused, detail=f"No report: {sentence} Found 3.")
    assert of_studies(SHORT).note(ignored) == f"No report: {sentence} Found 3."


def test_a_job_names_the_folder_of_its_files_only_if_it_has_any() -> None:
    values = shown(of_one_job(Path("/data/results")), JOB)
    assert (values["files below"], values["ended its worker"], values["begun"]) == ("/data/results", "", "")
    died = shown(of_one_job(Path("/data/results")), replace(JOB, kills=1, attempts=3, results=()))
    assert (died["files below"], died["ended its worker"], died["begun"]) == ("", "1 time", "3 times")


def test_a_delivery_names_its_capture_and_only_what_its_destination_answered() -> None:
    layout = of_deliveries(SHORT)
    assert shown(layout.columns, DELIVERY)["object"] == "capture 2"
    assert layout.note(DELIVERY) == ""  # that it cannot be reached is said once, above the list
    refused = replace(DELIVERY, state=DeliveryState.REFUSED, status="0xA900", error="It does not take it.")
    assert layout.note(refused) == "It does not take it."
    assert layout.style(refused) == "red"


def test_an_association_counts_what_it_refused_and_names_what_it_rejected() -> None:
    assert shown(ASSOCIATIONS.columns, ASSOCIATION)["contexts"] == "2/3"
    assert ASSOCIATIONS.note(ASSOCIATION) == "Refused: 1 image. Not accepted: PET."


@pytest.mark.parametrize(("received", "style"), [(59, "yellow"), (60, "")])
def test_a_series_that_lacks_images_stands_out(received: int, style: str) -> None:
    assert EXPECTED_SERIES.style(ComparedSeries("1.2.5", received, 60)) == style


def test_why_a_series_was_not_chosen_stands_below_it() -> None:
    verdict = SeriesVerdict("1.2.5", 3, False, Reason.TOO_FEW_SLICES, "Found 3.")
    assert SERIES.note(verdict) == f"{Reason.TOO_FEW_SLICES.sentence} Found 3."
    assert SERIES.note(replace(verdict, reason=None, detail="Fewer slices.")) == "Fewer slices."


def test_the_study_of_a_job_has_its_short_name() -> None:
    assert shown(of_jobs(SHORT).columns, JOB)["study"] == "...4711"
