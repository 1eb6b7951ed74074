"""What is decided about a study from its headers and the site's rules: pure, so that it can be asked beforehand too."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydicom import Dataset

from survnode.model.ct.selection import SeriesChoice, choose
from survnode.node.config import NotAnalysed
from survnode.node.contexts import name_of
from survnode.node.intake.header_facts import SeriesFacts, facts_of, field_mm_of
from survnode.node.intake.rules import Route, Routes, StudyFacts, may_be_chest, wants_report
from survnode.node.state.records import Keeping, OtherSeries, Study


@dataclass(frozen=True)
class JudgedStudy:
    """What becomes of a study.

    Parameters
    ----------
    chest : one of its CT series may be a chest's, or none of its CT can be read
    """

    route: Route
    choice: SeriesChoice
    chest: bool

    def reports(self, *, replaces: bool) -> bool:
        """Whether a report says so if it cannot be analysed; see `survnode.node.intake.rules.wants_report`."""
        return wants_report(self.route.not_analysed, chest=self.chest, replaces=replaces)

    def ignored(self, *, replaces: bool) -> str:
        """Why there is to be neither an analysis nor a report; empty if there is to be one."""
        if self.route.ignore:
            return f"The rule {self.route.rule} ignores it."
        if self.choice.reason is None or self.reports(replaces=replaces):
            return ""
        why = f"{self.choice.reason.sentence} {self.choice.detail}".strip()
        return f"{why} {without_report(self.route, chest=self.chest)}"

    def without_ct(self, others: Sequence[OtherSeries]) -> str:
        """Why a study is ignored of which no CT was received."""
        if self.route.ignore:
            return f"The rule {self.route.rule} ignores it."
        if all(series.keeping is Keeping.OWN for series in others):
            return "It holds nothing but results of this software."
        listed = ", ".join(f"{number} {name}" for name, number in sorted(numbers_of(others).items()))
        return f"It holds no CT, but {listed}."


def judge_study(
    study: Study,
    series: Mapping[str, Sequence[Dataset]],
    others: Sequence[OtherSeries],
    routes: Routes,
    spacing_mm: float,
) -> JudgedStudy:
    """What becomes of ``study``.

    Parameters
    ----------
    series : the headers of each CT series that can be read, by its UID
    others : what was received besides
    spacing_mm : between the slices that the model sees
    """
    first = [datasets[0] for datasets in series.values()]
    facts = [*map(facts_of, first), *(_facts_of_other(it) for it in others if it.keeping is not Keeping.OWN)]
    route = routes.route(StudyFacts(study.calling_ae_title, study.called_ae_title, tuple(facts)))
    chest = not first or any(may_be_chest(facts_of(ds), field_mm_of(ds)) for ds in first)
    return JudgedStudy(route, choose(series, spacing_mm), chest)


def without_report(route: Route, *, chest: bool) -> str:
    """Why a study that cannot be analysed gets no report."""
    whose = f"the rule {route.rule}" if route.rule else "the configuration"
    if chest or route.not_analysed is NotAnalysed.NEVER:
        return f"No report is made: {whose} asks for none."
    return f"No report is made: its headers name no chest, and {whose} asks for reports on chests only."


def numbers_of(others: Sequence[OtherSeries]) -> Counter[str]:
    """How many instances were received of each SOP class besides CT, by its name."""
    numbers = Counter[str]()
    for series in others:
        numbers[name_of(series.sop_class_uid)] += series.instances
    return numbers


def _facts_of_other(series: OtherSeries) -> SeriesFacts:
    return SeriesFacts(series.modality, series.body_part, series.series_description, series.protocol_name)
