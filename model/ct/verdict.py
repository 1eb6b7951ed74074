"""What was decided about a series, as a plain value: who reads records of it loads nothing that reads images."""

from dataclasses import dataclass

from survnode.model.errors import Reason


@dataclass(frozen=True)
class SeriesVerdict:
    """What was decided about one series of a study.

    Parameters
    ----------
    reason : why it cannot be analysed; None if it can
    detail : numbers, or why another was preferred
    """

    series_instance_uid: str
    images: int
    chosen: bool
    reason: Reason | None
    detail: str = ""

    @property
    def sentence(self) -> str:
        """Why it is not the one that is analysed; empty if it is."""
        return f"{self.reason.sentence} {self.detail}".strip() if self.reason is not None else self.detail
