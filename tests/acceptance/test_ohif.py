"""What a radiologist sees in OHIF. Off unless it is asked for: ``deploy/test.sh -m ohif``; see ``ohif.cjs``.

The screenshots lie in the folder that the environment variable SURVNODE_SCREENSHOTS names.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from survnode.model.phantom.phantom import make_phantom, write_dicom

from ..integration.nodes import FAST, RunningNode, dcmtk
from . import peers
from .peers import Orthanc

pytestmark = pytest.mark.ohif


@pytest.fixture(scope="module")
def seen(
    orthanc: Orthanc, node: RunningNode, ct: list[Path], job: dict[str, Any], study_instance_uid: str, home: Path
) -> dict[int, list[str]]:
    """The words on the page at each step through each series, by its number."""
    ohif = peers.ohif()
    archive(orthanc, ct)
    node.await_delivered(job["job"], "orthanc")
    return {series["number"]: series["steps"] for series in ohif.look(orthanc, study_instance_uid, screenshots(home))}


def archive(orthanc: Orthanc, ct: list[Path]) -> None:
    """Put a CT beside its results."""
    command = [dcmtk("dcmsend"), "-aec", orthanc.ae_title, "127.0.0.1", str(orthanc.dicom_port), *map(str, ct)]
    subprocess.run(command, check=True, env=FAST, capture_output=True)


def screenshots(home: Path) -> Path:
    return Path(os.environ.get("SURVNODE_SCREENSHOTS", home / "screenshots"))


def test_the_ct_still_opens_on_its_first_image(seen: dict[int, list[str]], ct: list[Path]) -> None:
    assert f"(1/{len(ct)})" in seen[1][0]


def test_every_series_is_listed_beside_the_ct(seen: dict[int, list[str]]) -> None:
    for name in ("AI survival report", "AI attention", "AI key images", "AI survival curve"):
        assert f"{name} v1 (research use only)" in seen[1][0]


def test_the_report_shows_its_numbers_and_its_words(
    seen: dict[int, list[str]], node: RunningNode, job: dict[str, Any]
) -> None:
    shown, summary = seen[9101][0], node.prediction(job["job"])
    assert f"overall survival probability: {summary['survival_at_horizon_percent']:g} %" in shown
    for month, value in enumerate(summary["cumulative_incidence_percent"], start=1):
        assert f"at month {month}: {value:g} %" in shown
    for item in summary["ranked_slices"]:
        assert f"Share of the model's attention: {item['weight_percent']:g} %" in shown
        assert f"rank {item['rank']}:" in shown
    assert "Research use only. Not a medical device" in shown


def test_the_report_shows_the_headline_and_that_it_is_research_before_what_computed_it(
    seen: dict[int, list[str]],
) -> None:
    shown = seen[9101][0]
    places = [shown.index(words) for words in ("research use only", "24-month overall survival", "Algorithm Name")]
    assert places == sorted(places)


def test_the_captures_open_on_rank_1_and_go_on_in_rank_order(seen: dict[int, list[str]]) -> None:
    assert [f"I:{rank} ({rank}/5)" in words for rank, words in enumerate(seen[9102], start=1)] == [True] * 5


def test_the_curve_page_opens(seen: dict[int, list[str]]) -> None:
    assert "AI survival curve v1 (research use only)\n1/1" in seen[9104][0]


def test_a_study_that_was_not_analysed_says_so_and_why(orthanc: Orthanc, node: RunningNode, home: Path) -> None:
    phantom = make_phantom(13, shape=(40, 64, 64), spacing_mm=(6.0, 6.0, 6.0))
    paths = write_dicom(phantom, home / "refused", study="3")
    paths.pop(20).unlink()
    assert set(node.send(paths)) == {0}
    uid = str(dcmread(paths[0], stop_before_pixels=True).StudyInstanceUID)
    job = node.await_job(uid)
    archive(orthanc, paths)
    node.await_delivered(job["job"], "orthanc")
    found = peers.ohif().look(orthanc, uid, screenshots(home) / "refused")
    seen = {series["number"]: series["steps"] for series in found}
    assert "Not analysed: no survival was predicted for this study." in seen[9101][0]
    assert "The slices are not evenly spaced: some are missing or misplaced." in seen[9101][0]
    assert "Research use only. Not a medical device" in seen[9101][0]


@dataclass(frozen=True)
class Told:
    """A study of two versions whose second was withdrawn: the words on the page for each series, by its description."""

    before: dict[str, list[str]]
    after: dict[str, list[str]]


@pytest.fixture(scope="module")
def told(orthanc: Orthanc, node: RunningNode, home: Path) -> Told:
    """An image comes late, and the results are withdrawn after that."""
    phantom = make_phantom(12, shape=(80, 128, 128), spacing_mm=(4.0, 3.2, 3.2))
    paths = write_dicom(phantom, home / "versions", study="4")
    uid = str(dcmread(paths[0], stop_before_pixels=True).StudyInstanceUID)
    for version, some in ((1, paths[:-1]), (2, paths[-1:])):
        assert set(node.send(some)) == {0}
        node.await_delivered(node.await_job(uid, version)["job"], "orthanc")
    archive(orthanc, paths)
    before = by_description(orthanc, uid, screenshots(home) / "versions")
    withdrawn = node.survnode("send", "--study", uid, "--destination", "orthanc", "--withdraw", "--yes")
    assert {row["note"] for row in withdrawn} == {"Withdrawn."}
    for job in node.jobs_of(uid):
        node.await_delivered(job["job"], "orthanc")
    return Told(before, by_description(orthanc, uid, screenshots(home) / "withdrawn"))


def by_description(orthanc: Orthanc, uid: str, out: Path) -> dict[str, list[str]]:
    return {series["description"]: series["steps"] for series in peers.ohif().look(orthanc, uid, out)}


REPORTS = [f"AI survival report v{version} (research use only)" for version in (1, 2)]


def test_the_later_version_is_told_from_the_earlier_in_the_list(told: Told) -> None:
    for name in REPORTS:
        assert name in told.before[REPORTS[1]][0]


def test_the_later_report_says_that_it_replaces_the_earlier(told: Told) -> None:
    assert "Version 2: replaces the earlier report" in "".join(told.before[REPORTS[1]])
    assert "replaces the earlier report" not in "".join(told.before[REPORTS[0]])


def test_a_withdrawal_stands_in_the_list_of_series(told: Told) -> None:
    shown = told.after[REPORTS[1]][0]
    assert "AI results withdrawn v2 (research use only)" in shown
    assert "AI results withdrawn" not in told.before[REPORTS[1]][0]
