"""What the site's rules say of a study, and whether a study without an eligible series gets a report: pure functions.

A rule fits a study if everything that it names fits. What it names of series (modality, body part, descriptions,
protocol, age) must be true together of one of them, CT or not; contrast means that some series, or that none, was made
with a contrast agent. The first rule that fits decides; without one the configuration's defaults do.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from survnode.node.config import NodeConfig, NotAnalysed, Rule, RuleAction
from survnode.node.intake.header_facts import SeriesFacts

# Words in Body Part Examined (PS3.16 Annex L) and in the names that people give to series, protocols and studies, in
# the languages of the scanners' own protocols; a part of a word is enough ("CHESTABDOMEN", "Thoraxbasis").
CHEST_WORDS = (
    "CHEST", "THORA", "TORAX", "TORAC", "TORSO", "LUNG", "PULM", "POUMON", "POLMON", "BRUSTK", "BRUST CT", "MEDIASTIN",
    "WHOLEBODY", "WHOLE BODY", "GANZK", "CAP ", "C/A/P", "TAP ", "FULLBODY",
)  # fmt: skip
OTHER_WORDS = (
    "HEAD", "SKULL", "BRAIN", "CRAN", "CEREBR", "NEURO", "KOPF", "SCHAEDEL", "SCHÄDEL", "CABEZA", "TESTA", "ORBIT",
    "SINUS", "FACE", "FACIAL", "TEMPORAL", "PETROUS", "DENT", "JAW", "MAXILL", "MANDIB", "NECK", "HALS", "SPINE",
    "LUMBAR", "ABDOM", "LIVER", "KIDNEY", "PELVI", "BECKEN", "COLON", "HIP", "KNEE", "KNIE", "ANKLE", "FOOT", "LEG",
    "ARM", "HAND", "WRIST", "ELBOW", "EXTREM",
)  # fmt: skip

# Where no word tells: a head is reconstructed on 200 to 260 mm, an adult's chest on 300 to 500 mm (LUNG1: 500 mm).
CHEST_FIELD_MM = 300.0


@dataclass(frozen=True)
class StudyFacts:
    """What rules can ask about a study."""

    calling_ae_title: str
    called_ae_title: str
    series: tuple[SeriesFacts, ...]


@dataclass(frozen=True)
class Route:
    """What the configuration wants done with a study.

    Parameters
    ----------
    rule : the name of the rule that decided; empty for the defaults
    destinations : to which its results go; None means all
    not_analysed : when a study without an eligible series gets a report
    """

    rule: str
    ignore: bool
    quiet_period_s: float
    destinations: tuple[str, ...] | None
    not_analysed: NotAnalysed


@dataclass(frozen=True)
class Routes:
    """The rules of a configuration."""

    rules: tuple[Rule, ...] = ()
    quiet_period_s: float = 60.0
    not_analysed: NotAnalysed = NotAnalysed.CHEST

    @classmethod
    def of(cls, config: NodeConfig) -> "Routes":
        """Those of a node."""
        return cls(config.rules, config.assembly.quiet_period_s, config.assembly.not_analysed_report)

    def route(self, study: StudyFacts) -> Route:
        """What is wanted of ``study``."""
        rule = next((rule for rule in self.rules if fits(rule, study)), None)
        if rule is None:
            return Route("", False, self.quiet_period_s, None, self.not_analysed)
        silent = rule.action is RuleAction.ANALYSE_ONLY
        return Route(
            rule=rule.name,
            ignore=rule.action is RuleAction.IGNORE,
            quiet_period_s=rule.quiet_period_s or self.quiet_period_s,
            destinations=() if silent else rule.destinations,
            not_analysed=rule.not_analysed_report or self.not_analysed,
        )


def fits(rule: Rule, study: StudyFacts) -> bool:
    """Whether everything that a rule names is true of a study."""
    return (
        _matches(rule.calling_ae_title, study.calling_ae_title)
        and _matches(rule.called_ae_title, study.called_ae_title)
        and rule.contrast in (None, any(series.contrast for series in study.series))
        and (not rule.asks_of_series or any(_fits_series(rule, series) for series in study.series))
    )


def _fits_series(rule: Rule, series: SeriesFacts) -> bool:
    return (
        _matches(rule.modality, series.modality)
        and _matches(rule.body_part, series.body_part)
        and _matches(rule.study_description, series.study_description)
        and _matches(rule.series_description, series.series_description)
        and _matches(rule.protocol, series.protocol)
        and _fits_age(rule, series.age_years)
    )


def _fits_age(rule: Rule, age_years: float | None) -> bool:
    """Whether an age is in a rule's range, whose ends are whole years lived; an unknown one is in none."""
    if rule.min_age_years is None and rule.max_age_years is None:
        return True
    if age_years is None:
        return False
    return (rule.min_age_years or 0) <= age_years < (rule.max_age_years or 999) + 1


def _matches(patterns: Sequence[str], text: str) -> bool:
    """Whether one of ``patterns`` is the whole of ``text``, without case; no pattern asks for nothing."""
    return not patterns or any(fnmatchcase(text.casefold(), pattern.casefold()) for pattern in patterns)


def may_be_chest(series: SeriesFacts, field_mm: float | None) -> bool:
    """Whether a CT series' header lets one expect a chest.

    Its own words decide, then those of its study, then its field of view. It is no more than a guess, and decides only
    whether a refusal is worth a report; a wrong body part keeps no series from being analysed.

    Parameters
    ----------
    field_mm : the width of its images; None if it is not told
    """
    own = f"{series.body_part} {series.series_description} {series.protocol} "
    for words in (own, f"{series.study_description} "):
        if _has(words, CHEST_WORDS):
            return True
        if _has(words, OTHER_WORDS):
            return False
    return field_mm is not None and field_mm >= CHEST_FIELD_MM


def _has(text: str, words: Iterable[str]) -> bool:
    return any(word in text.upper() for word in words)


def wants_report(wanted: NotAnalysed, *, chest: bool, replaces: bool) -> bool:
    """Whether a study that cannot be analysed gets a report.

    Parameters
    ----------
    chest : one of its CT series may be a chest's
    replaces : results of an earlier version may be in the PACS, which the report takes the place of
    """
    return replaces or wanted is NotAnalysed.ALWAYS or (wanted is NotAnalysed.CHEST and chest)
