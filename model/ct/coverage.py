"""How much of the lungs a CT shows, and whether that is enough for a model: judged after segmentation.

A model that saw whole lungs says something of any part of them, and nothing in its number tells that it was a part. So
a checkpoint names what its cohort had, and how far below that a CT may fall.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from survnode.model.ct.volume import Mask
from survnode.model.errors import Explained, Reason, SeriesUnsuitable

# Both shares are of the widest cross-section. Measured on LUNG1-001, on a whole thorax of another scanner and on
# phantoms: what lies beyond the slice with 5 % of it is at most 0.3 % of the lungs' volume (the tip of an apex, the
# rim of a recess, a part of a slice); beyond the slice with half of it lie 5 to 9 % of the volume and 30 to 70 mm.
WARN_EDGE_SHARE = 0.05
MAX_EDGE_SHARE = 0.5
# A height below all but 1 % of the training cohort's is one that the model hardly saw.
HEIGHT_QUANTILE = 0.01
HEIGHT_QUANTILES = 21  # that a card records: 0, 5, ..., 100 %


class CoverageWarning(Explained):
    """What a reader must know of the lungs that were analysed."""

    CUT_BELOW = "CUT_BELOW", "The lungs are cut off at the lower end of the CT."
    CUT_ABOVE = "CUT_ABOVE", "The lungs are cut off at the upper end of the CT."
    SHORT = "SHORT", "The lungs are shorter than those that the model was trained on."
    ONE_LUNG = "ONE_LUNG", "One lung is missing, or is less than a third of the other."
    LUNG_REPLACED = "LUNG_REPLACED", "More than 200 ml of soft tissue lie where a lung should be."


CUT = frozenset({CoverageWarning.CUT_BELOW, CoverageWarning.CUT_ABOVE})


class CoverageLimits(BaseModel):
    """What a CT must show of the lungs; a part of every checkpoint.

    Parameters
    ----------
    n_patients : of the training cohort whose lungs were measured
    lung_heights_mm : of these at the quantiles 0, 5, ..., 100 %, ascending
    min_height_mm : shorter lungs get a warning; if they are cut, they are not analysed
    warn_edge_share : lung area of the first or the last slice as a share of the widest: beyond it the lungs are cut
    max_edge_share : beyond it they are cut so far that they are not analysed
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_patients: int = Field(ge=1)
    lung_heights_mm: tuple[float, ...] = Field(min_length=2)
    min_height_mm: float = Field(ge=0)
    warn_edge_share: float = Field(default=WARN_EDGE_SHARE, gt=0, lt=1)
    max_edge_share: float = Field(default=MAX_EDGE_SHARE, gt=0, lt=1)


@dataclass(frozen=True)
class Coverage:
    """What of the lungs a CT shows.

    Parameters
    ----------
    height_mm : from the lowest slice with lung to the highest, their own thickness included
    lower_edge, upper_edge : lung area of the CT's lowest and highest slice as a share of the widest
    """

    height_mm: float
    volume_ml: float
    lower_edge: float
    upper_edge: float
    warnings: tuple[CoverageWarning, ...] = ()


def lung_height_mm(lungs: Mask, slice_spacing_mm: float) -> float:
    """From the lowest slice of ``lungs`` (D, H, W) that shows any to the highest; 0 where there are none."""
    rows = np.flatnonzero((lungs > 0).any(axis=(1, 2)))
    return float((rows[-1] - rows[0] + 1) * slice_spacing_mm) if rows.size else 0.0


def coverage_limits(heights_mm: Sequence[float]) -> CoverageLimits:
    """The limits that follow from the lung heights of a training cohort, one a patient."""
    quantiles = np.quantile(heights_mm, np.linspace(0, 1, HEIGHT_QUANTILES))
    return CoverageLimits(
        n_patients=len(heights_mm),
        lung_heights_mm=tuple(round(float(height), 1) for height in quantiles),
        min_height_mm=round(float(np.quantile(heights_mm, HEIGHT_QUANTILE)), 1),
    )


def judge_coverage(
    lungs: Mask,
    spacing_mm: tuple[float, float, float],
    limits: CoverageLimits,
    of_sides: tuple[CoverageWarning, ...] = (),
) -> Coverage:
    """What the CT shows of ``lungs`` (D, H, W), with what a reader must know of it.

    Parameters
    ----------
    of_sides : see `survnode.model.ct.missing_lung.LungSides.warnings`

    Raises
    ------
    SeriesUnsuitable
        A part of the lungs is missing, and it is more than ``limits`` allow.
    """
    areas = (lungs > 0).sum(axis=(1, 2))
    height = lung_height_mm(lungs, spacing_mm[0])
    lower, upper = (float(areas[end] / max(areas.max(), 1)) for end in (0, -1))
    warnings = tuple(_warnings(height, lower, upper, limits))
    cut = not CUT.isdisjoint(warnings)
    if max(lower, upper) > limits.max_edge_share:
        raise SeriesUnsuitable(Reason.LUNGS_INCOMPLETE, _where(lower, upper, limits))
    if cut and height < limits.min_height_mm:
        shown = f"{height:.0f} mm of them are shown, the training cohort had at least {limits.min_height_mm:.0f} mm"
        raise SeriesUnsuitable(Reason.LUNGS_INCOMPLETE, f"The lungs are cut; {shown}.")
    volume_ml = float(areas.sum() * np.prod(spacing_mm) / 1000)
    return Coverage(height, volume_ml, lower, upper, (*warnings, *of_sides))


def _warnings(height_mm: float, lower: float, upper: float, limits: CoverageLimits) -> list[CoverageWarning]:
    warnings = {
        CoverageWarning.CUT_BELOW: lower > limits.warn_edge_share,
        CoverageWarning.CUT_ABOVE: upper > limits.warn_edge_share,
        CoverageWarning.SHORT: height_mm < limits.min_height_mm,
    }
    return [warning for warning, holds in warnings.items() if holds]


def _where(lower: float, upper: float, limits: CoverageLimits) -> str:
    ends = {"lowest": lower, "highest": upper}
    name, share = max(ends.items(), key=lambda end: end[1])
    limit = 100 * limits.max_edge_share
    return (
        f"The {name} slice shows {100 * share:.0f} % of the lungs' widest section; at most {limit:.0f} % are accepted."
    )
