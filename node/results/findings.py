"""The numbers of a prediction as all results write them: percentages with two decimals.

Every object is made from these and never from the raw numbers. So the report, the captures and the curve page agree to
the last digit, and a retry on another processor, which differs in the seventh digit, gives the same objects.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from survnode.model.covariates import CovariateValue
from survnode.model.ct.arrangement import SourceImage
from survnode.model.likeness import Unlikeness
from survnode.model.prediction import ModelIdentity, Prediction
from survnode.node.results.source.series import AnalysedSeries
from survnode.node.state.records import Completeness

DECIMALS = 2  # of a percentage
DEMONSTRATION = "DEMONSTRATION MODEL: trained on phantoms, knows nothing of patients"
RESEARCH_USE = "Research use only"


@dataclass(frozen=True)
class RankedSlice:
    """A slice that is shown.

    Parameters
    ----------
    rank : from 1
    index : in the volume
    weight : percent
    series : how a person finds its series; empty if that has no number
    position_mm : along the patient's axis, see `AnalysedSeries`
    """

    rank: int
    index: int
    weight: float
    image: SourceImage
    series: str
    position_mm: float

    @property
    def place(self) -> str:
        """How a person finds the image in its series."""
        frame = self.image.frame_number
        number = self.image.instance_number if frame is None else frame
        place = f"z {self.position_mm:.1f} mm"
        return place if number is None else f"{'image' if frame is None else 'frame'} {number}, {place}"

    @property
    def name(self) -> str:
        """How a person finds the image in its study."""
        frame = self.image.frame_number
        number = self.image.instance_number if frame is None else frame
        place = f"z {self.position_mm:.1f} mm"
        series = f" of {self.series}" if self.series else ""
        if number is None:
            return f"source image at {place}{series}"
        return f"source {'image' if frame is None else 'frame'} {number}{series}, {place}"


@dataclass(frozen=True, eq=False)
class ReportedFindings:
    """What was found, in percent.

    Parameters
    ----------
    months : (K,) the ends of the months, 1 .. K
    incidence : (K,) cumulative incidence of death
    survival : (K,) 100 - incidence
    member_survival : (M, K) of each member of the ensemble
    attention : (D,) of each slice of the volume, 0 where the network did not look
    slices : the ranked slices, highest attention first
    cohort_survival : ascending quantiles of the survival at the horizon in the training cohort; may be empty
    series : what was analysed
    known : what the model took beside the image
    unlike : how the patient is unlike those that the model was trained on
    """

    months: NDArray[np.int64]
    incidence: NDArray[np.float64]
    survival: NDArray[np.float64]
    member_survival: NDArray[np.float64]
    median_months: float | None
    attention: NDArray[np.float64]
    slices: tuple[RankedSlice, ...]
    cohort_survival: NDArray[np.float64]
    model: ModelIdentity
    series: AnalysedSeries
    known: tuple[CovariateValue, ...] = ()
    unlike: tuple[Unlikeness, ...] = ()

    @property
    def horizon(self) -> int:
        """The last month."""
        return int(self.months[-1])

    @property
    def milestones(self) -> tuple[int, ...]:
        """The months that people ask for: every six, and the last one."""
        return tuple(sorted({*range(6, self.horizon + 1, 6), self.horizon}))

    def survival_at(self, month: int) -> float:
        """Percent alive at the end of ``month``."""
        return float(self.survival[month - 1])

    def spread_at(self, month: int) -> tuple[float, float] | None:
        """The lowest and the highest survival among the members, percent; None without an ensemble."""
        if len(self.member_survival) < 2:
            return None
        values = self.member_survival[:, month - 1]
        return float(values.min()), float(values.max())

    @property
    def least_months(self) -> float | None:
        """How long a patient lives at least by the model's lower bound; None where the checkpoint has none."""
        bound = self.model.lower_bound
        return None if bound is None else float(bound.months(self.incidence[None] / 100)[0])

    @property
    def models_disagree(self) -> bool:
        """Whether the members lie further apart at the horizon than the checkpoint calls agreement."""
        spread, limit = self.spread_at(self.horizon), self.model.max_spread
        return spread is not None and limit is not None and spread[1] - spread[0] > 100 * limit

    @property
    def cohort_rank(self) -> float | None:
        """The share of the training cohort, percent, whose predicted survival is below this patient's."""
        if self.cohort_survival.size < 2:
            return None
        quantiles = np.linspace(0, 100, self.cohort_survival.size)
        return float(np.round(np.interp(self.survival[-1], self.cohort_survival, quantiles)))

    def values(self) -> Iterator[object]:
        """All that tells one result from another, in a fixed order."""
        yield from self.incidence
        yield from self.member_survival.ravel()
        yield from self.attention
        yield from (round(self.series.coverage.height_mm), round(self.series.coverage.volume_ml))
        yield from told(self.series.completeness)
        yield from (it.sentence for it in self.unlike)
        for item in self.slices:
            yield from (item.rank, item.index, item.image.sop_instance_uid, item.image.frame_number)


def told(completeness: Completeness | None) -> tuple[object, ...]:
    """What tells one result from another in whether its images came whole."""
    if completeness is None:
        return ()
    return completeness.state, completeness.received, completeness.expected, completeness.others_lacking


def findings_of(prediction: Prediction, series: AnalysedSeries, captures: int) -> ReportedFindings:
    """The numbers of ``prediction`` over ``series``, with ``captures`` ranked slices."""
    incidence = _percent(prediction.cif)
    attention = np.zeros(len(series.positions_mm))
    for item in prediction.attention:
        attention[item.index] = _percent(np.float64(item.weight))
    ranked = enumerate(prediction.ranked(captures), start=1)
    median = prediction.median_months
    return ReportedFindings(
        months=prediction.grid.months,
        incidence=incidence,
        survival=np.round(100 - incidence, DECIMALS),
        member_survival=np.round(100 - _percent(prediction.member_cif), DECIMALS),
        median_months=None if median is None else round(median, 1),
        attention=attention,
        slices=tuple(
            RankedSlice(
                rank,
                item.index,
                float(attention[item.index]),
                item.image,
                series.name,
                series.positions_mm[item.index],
            )
            for rank, item in ranked
        ),
        cohort_survival=_percent(np.asarray(prediction.model.cohort_survival, np.float64)),
        model=prediction.model,
        series=series,
        known=prediction.known,
        unlike=prediction.unlike,
    )


def _percent(share: NDArray[np.float64] | np.float64) -> NDArray[np.float64]:
    return np.asarray(np.round(100 * share, DECIMALS) + 0.0)
