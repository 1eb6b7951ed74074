"""``survnode send`` beside a node that runs: again, withdrawn, made anew; in the order in which a site would do it."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from survnode.model.phantom.phantom import make_phantom, write_dicom
from survnode.node.roles import DEFAULT_ROLES

from .nodes import Pacs, RunningNode, evidence, numbers, until

OBJECTS = 8  # of one result: report, five captures, key objects, curve
SENT_AGAIN = "It is sent again."


@pytest.fixture(scope="module")
def pacs() -> Iterator[Pacs]:
    destination = Pacs()
    yield destination
    destination.stop()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, pacs: Pacs) -> Iterator[RunningNode]:
    running = RunningNode(tmp_path_factory.mktemp("node"), {"pacs": pacs.start()})
    running.start()
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def jobs(node: RunningNode, pacs: Pacs, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The jobs of two studies whose results lie in the PACS."""
    made = []
    for number in ("1", "2"):
        phantom = make_phantom(int(number), shape=(60, 96, 96), spacing_mm=(5.0, 4.2, 4.2))
        paths = write_dicom(phantom, tmp_path_factory.mktemp(f"ct-{number}"), study=number)
        assert set(node.send(paths)) == {0}
        job = node.await_job(str(dcmread(paths[0], stop_before_pixels=True).StudyInstanceUID))
        node.await_delivered(job["job"], "pacs")
        made.append(job)
    assert [len(of(pacs, job)) for job in made] == [OBJECTS, OBJECTS]
    return made


def of(pacs: Pacs, job: dict[str, Any]) -> list[Dataset]:
    return pacs.of_study(job["study_instance_uid"])


def arrived(pacs: Pacs, job: dict[str, Any], number: int) -> list[Dataset]:
    """All that came of the study of a job, once it is ``number`` objects."""
    return until(f"object {number}", lambda: found if len(found := of(pacs, job)) >= number else None)


def send(node: RunningNode, *options: str) -> list[tuple[int, int, str]]:
    return [(row["job"], row["objects"], row["note"]) for row in node.survnode("send", *options)]


def test_a_study_is_sent_again_byte_for_byte(node: RunningNode, pacs: Pacs, jobs: list[dict[str, Any]]) -> None:
    one, other = jobs
    assert send(node, "--study", one["study_instance_uid"]) == [(one["job"], OBJECTS, SENT_AGAIN)]
    found = arrived(pacs, one, 2 * OBJECTS)
    assert found[:OBJECTS] == found[OBJECTS:]
    assert len(of(pacs, other)) == OBJECTS


def test_a_time_span_and_a_version_of_the_model_mean_what_fulfils_both(
    node: RunningNode, pacs: Pacs, jobs: list[dict[str, Any]]
) -> None:
    one, other = jobs
    ended = [datetime.fromisoformat(job["ended"]).astimezone().replace(tzinfo=None) for job in jobs]
    assert ended[0] < ended[1]
    since = (ended[1] - timedelta(seconds=1) if ended[1] - ended[0] > timedelta(seconds=2) else ended[1]).isoformat()
    before = len(of(pacs, one))
    assert send(node, "--since", since, "--model", one["device_uid"]) == [(other["job"], OBJECTS, SENT_AGAIN)]
    arrived(pacs, other, 2 * OBJECTS)
    assert len(of(pacs, one)) == before


def test_only_what_the_destination_takes_is_sent_again(
    node: RunningNode, pacs: Pacs, jobs: list[dict[str, Any]]
) -> None:
    """The administrator left all but the report out of its profile."""
    one, _ = jobs
    whole = node.config.read_text()
    before = len(of(pacs, one))
    node.config.write_text(whole.replace('name = "pacs"', 'name = "pacs"\nobjects = ["report"]'))
    assert send(node, "--study", one["study_instance_uid"]) == [(one["job"], 1, SENT_AGAIN)]
    node.config.write_text(whole)
    assert arrived(pacs, one, before + 1)[-1].Modality == "SR"
    assert len(DEFAULT_ROLES) > 1


def test_what_did_not_change_is_not_made_anew(node: RunningNode, jobs: list[dict[str, Any]]) -> None:
    one, _ = jobs
    study = one["study_instance_uid"]
    assert send(node, "--study", study, "--anew") == [(one["job"], 0, "It is judged again.")]
    until("the judgement", lambda: node.status.study(study)["state"] == "ASSEMBLED" or None)
    assert [job["version"] for job in node.jobs_of(study)] == [1]


def test_a_withdrawal_names_all_that_went_there_and_comes_after_it(
    node: RunningNode, pacs: Pacs, jobs: list[dict[str, Any]]
) -> None:
    one, other = jobs
    before = len(of(pacs, one)), len(of(pacs, other))
    assert send(node, "--study", one["study_instance_uid"], "--withdraw", "--yes") == [
        (one["job"], OBJECTS, "Withdrawn.")
    ]
    found = arrived(pacs, one, before[0] + 1)
    note = found[-1]
    assert (note.Modality, note.ConceptNameCodeSequence[0].CodeValue) == ("KO", "113001")
    assert evidence(note) == {ds.SOPInstanceUID for ds in found[:-1]}
    assert len(of(pacs, other)) == before[1]


def test_after_a_withdrawal_the_old_is_not_sent_again_and_the_new_has_uids_of_its_own(
    node: RunningNode, pacs: Pacs, jobs: list[dict[str, Any]]
) -> None:
    one, _ = jobs
    study = one["study_instance_uid"]
    before = of(pacs, one)
    ((_, objects, note),) = send(node, "--study", study)
    assert (objects, "withdrawn" in note) == (0, True)
    send(node, "--study", study, "--anew")
    job = node.await_job(study, version=2)
    node.await_delivered(job["job"], "pacs")
    after = of(pacs, one)[len(before) :]
    assert len(after) == OBJECTS
    assert {ds.SOPInstanceUID for ds in after}.isdisjoint(ds.SOPInstanceUID for ds in before)
    (old, *_), (new, *_) = ([ds for ds in found if ds.Modality == "SR"] for found in (before, after))
    (series,) = new.PredecessorDocumentsSequence[0].ReferencedSeriesSequence
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == old.SOPInstanceUID
    assert numbers(new) == numbers(old)
