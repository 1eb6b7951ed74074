"""Whether a study came whole, as far as a source can say."""

from dataclasses import dataclass

from survnode.model.errors import Explained


class CheckState(Explained):
    """What came of asking a source whether a study came whole."""

    WAITING = "WAITING", "Fewer images came than the source holds: the study waits once more for the others."
    FETCHING = "FETCHING", "Fewer images came than the source holds: the others were asked for."
    WHOLE = "WHOLE", "As many images came as the source holds."
    INCOMPLETE = "INCOMPLETE", "Fewer images came than the source holds, and no more are waited for."
    UNKNOWN = "UNKNOWN", "The source holds no CT series of the study."
    UNANSWERED = "UNANSWERED", "The source could not be asked: see the error."


@dataclass(frozen=True)
class ExpectedSeries:
    """How many instances a source holds of a CT series."""

    series_instance_uid: str
    instances: int


@dataclass(frozen=True)
class Check:
    """What a source said of whether a study came whole, the last time that it was asked.

    Parameters
    ----------
    revision : of the study when it was asked; what came later was not checked
    tries : how often the study has waited for what is missing since it last counted as complete
    received : instances of the study when it was asked
    series : the CT series that the source holds; empty if it did not answer
    """

    study_instance_uid: str
    source: str
    revision: int
    state: CheckState
    asked_at: float
    tries: int = 0
    received: int = 0
    series: tuple[ExpectedSeries, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Completeness:
    """Whether what a job tells of came whole, as its report says it.

    Parameters
    ----------
    state : of the check
    received, expected : instances of the job's series, of all CT series if there is none; None where the source
        holds no such series or did not answer
    others_lacking : how many other CT series of the study did not come whole
    """

    state: CheckState
    received: int
    expected: int | None
    others_lacking: int = 0

    @property
    def is_lacking(self) -> bool:
        """Whether the source holds more."""
        return self.expected is not None and self.received < self.expected
