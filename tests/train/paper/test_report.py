"""The report as a page: whole in one file, names nobody but the paper's patient, says what is missing."""

from html.parser import HTMLParser
from pathlib import Path

import numpy as np

from survnode.train.paper.experiments import experiments
from survnode.train.paper.report import RESEARCH_USE, example_row, write_report
from survnode.train.paper.tables import Findings

from .findings import MISSING, REFERENCE, fusions, made_up_cohort, made_up_result

PAPER = experiments()


class Tags(HTMLParser):
    """Which tags are open, and where the page's images and links lead."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.images, self.links, self.text = list[str](), list[str](), list[str](), ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img"):
            self.open.append(tag)
        self.images += [str(value) for name, value in attrs if name == "src"]
        self.links += [str(value) for name, value in attrs if name == "href"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_report_is_whole_without_any_other_file(tmp_path: Path) -> None:
    found = fusions()
    reference = found.results[REFERENCE]
    slices = {reference.patients[39]: np.zeros((len(reference.attention[39]), 8, 8), np.int16)}
    path = write_report(tmp_path, PAPER, found, [made_up_cohort(reference)], slices.get, "Preset <paper>.")
    page = Tags()
    page.feed(path.read_text(encoding="utf-8"))
    assert page.open == []
    assert len(page.images) == 3
    assert all(image.startswith("data:image/svg+xml;base64,") for image in page.images)
    assert all((tmp_path / link).is_file() for link in page.links)
    for words in (RESEARCH_USE, MISSING, "Preset <paper>.", "differences under 0.04 prove nothing at n = 415", "0.584"):
        assert words in page.text
    names = {file.name for file in tmp_path.iterdir()}
    assert names >= {f"figure-{number}.{kind}" for number in (3, 4, 5) for kind in ("png", "svg")}
    assert names >= {f"table-{number}.csv" for number in (1, 3, 4, 5, 6)} | {"cost.csv"}


def test_only_the_papers_patient_is_named(tmp_path: Path) -> None:
    found = fusions()
    others = tuple(patient for patient in found.results[REFERENCE].patients if patient != "LUNG1-040")
    reference = found.results[REFERENCE].of(others)
    row = example_row(reference)
    slices = {others[row]: np.zeros((len(reference.attention[row]), 8, 8), np.int16)}
    path = write_report(tmp_path, PAPER, Findings({REFERENCE: reference}, {}), [], slices.get)
    text = path.read_text(encoding="utf-8")
    assert (tmp_path / "figure-5.png").is_file()
    assert "Figure 5: what the model looked at in one patient" in text
    assert others[row] not in text


def test_a_report_of_nothing_says_what_is_missing(tmp_path: Path) -> None:
    text = write_report(tmp_path, PAPER, Findings({}, {}), []).read_text(encoding="utf-8")
    assert "No system ran yet." in text
    assert "Not run yet." in text
    assert not list(tmp_path.glob("*.png"))


def test_the_papers_patient_is_the_example_and_otherwise_the_first_who_died() -> None:
    result = made_up_result(skill=0.5)
    assert result.patients[example_row(result)] == "LUNG1-040"
    others = result.of(tuple(patient for patient in result.patients if patient != "LUNG1-040"))
    row = example_row(others)
    assert others.event[row]
    assert others.time_months[row] < 24
    assert not (others.event & (others.time_months < 24))[:row].any()
