"""A rule of the site: for which studies it is, and what is done with them."""

from enum import StrEnum
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from survnode.node.config.values import ConfigSection, Name, Patterns, Seconds


class NotAnalysed(StrEnum):
    """When a study without a series that can be analysed gets a report that says so."""

    ALWAYS = "always"
    CHEST = "chest"  # if one of its CT series may be a chest's, see `survnode.node.intake.rules.may_be_chest`
    NEVER = "never"


class RuleAction(StrEnum):
    """What a rule does with a study."""

    ANALYSE = "analyse"
    ANALYSE_ONLY = "analyse-only"  # and send nothing
    IGNORE = "ignore"


class Rule(ConfigSection):
    """What is done with the studies that fit it; the first rule that fits decides.

    A pattern is compared with the whole value, without case; of several patterns one must fit.
    """

    CONDITIONS: ClassVar[frozenset[str]] = frozenset(
        {
            *("calling_ae_title", "called_ae_title", "contrast", "min_age_years", "max_age_years"),
            *("modality", "body_part", "study_description", "series_description", "protocol"),
        }
    )

    name: Name
    calling_ae_title: Patterns = ()
    called_ae_title: Patterns = ()
    modality: Patterns = ()
    body_part: Patterns = ()
    study_description: Patterns = ()
    series_description: Patterns = ()
    protocol: Patterns = ()
    min_age_years: Annotated[int, Field(ge=0, le=150)] | None = None
    max_age_years: Annotated[int, Field(ge=0, le=150)] | None = None
    contrast: bool | None = None
    action: RuleAction = RuleAction.ANALYSE
    quiet_period_s: Seconds | None = None
    destinations: tuple[Name, ...] | None = None
    not_analysed_report: NotAnalysed | None = None

    @property
    def asks_of_series(self) -> bool:
        """Whether it names anything that one series has to fit."""
        texts = (self.modality, self.body_part, self.study_description, self.series_description, self.protocol)
        return any(texts) or self.min_age_years is not None or self.max_age_years is not None

    @model_validator(mode="after")
    def _is_of_one_mind(self) -> Self:
        faults = [words for wrong, words in self._contradictions() if wrong]
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def _contradictions(self) -> list[tuple[bool, str]]:
        ages = (self.min_age_years, self.max_age_years)
        silent, ignores = self.action is not RuleAction.ANALYSE, self.action is RuleAction.IGNORE
        return [
            (None not in ages and (ages[0] or 0) > (ages[1] or 0), "min_age_years must not be more than max_age_years"),
            (
                silent and self.destinations is not None,
                f'destinations mean nothing with action = "{self.action}", which sends nothing',
            ),
            (self.destinations == (), 'destinations must name one; to send nothing, say action = "analyse-only"'),
            (
                ignores and self.not_analysed_report is not None,
                'not_analysed_report means nothing with action = "ignore", which never reports',
            ),
        ]
