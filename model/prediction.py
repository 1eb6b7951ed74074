"""What a prediction says, as plain values: no torch, so that reports can be written without it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from survnode.model.certainty import LowerBound
from survnode.model.covariates import CovariateValue
from survnode.model.ct.arrangement import SourceImage
from survnode.model.ct.coverage import Coverage
from survnode.model.likeness import Unlikeness
from survnode.model.timegrid import TimeGrid, cif_from_pmf, median_months


@dataclass(frozen=True)
class ModelIdentity:
    """Which model spoke: all of it goes into the report.

    Parameters
    ----------
    name, version : of the checkpoint
    device_uid : DICOM Device UID; changes with anything that can change a prediction
    weights_sha256 : of the trained weights
    encoder, encoder_sha256 : the frozen backbone's name and its weights' hash
    lungs : the segmentation's name
    preprocessing : one line, for people
    cohort : what it was trained on, one line, for people
    cohort_survival : survival at the horizon that the model predicts for its own cohort at the quantiles
        0, 1, ..., 100 %, ascending; empty if not recorded
    max_spread : see `survnode.model.checkpoint.Limits`
    lower_bound : how long patients live at least; None if not recorded
    demonstration : True for a model that was trained on phantoms and knows nothing of patients
    """

    name: str
    version: str
    device_uid: str
    weights_sha256: str
    encoder: str
    encoder_sha256: str
    lungs: str
    preprocessing: str
    cohort: str
    cohort_survival: tuple[float, ...] = ()
    demonstration: bool = False
    max_spread: float | None = None
    lower_bound: LowerBound | None = None


@dataclass(frozen=True)
class SliceAttention:
    """The share of attention that one source image received; the shares of a prediction sum to 1."""

    image: SourceImage
    index: int  # the image's row in ``Volume.hu`` and in ``Volume.images``
    weight: float


@dataclass(frozen=True, eq=False)
class Prediction:
    """A survival curve and where the model looked.

    Parameters
    ----------
    grid : the time bins
    member_pmf : (M, K + 1) float64, probability mass of each member of the ensemble (M = 1 without one)
    attention : one entry for each source image that the network saw, feet to head
    model : which model spoke
    coverage : what of the lungs it saw
    known : what it took beside the image, one entry for each covariate of the model
    unlike : how the patient is unlike those that the model was trained on; empty also where it does not know
    """

    grid: TimeGrid
    member_pmf: NDArray[np.float64]
    attention: tuple[SliceAttention, ...]
    model: ModelIdentity
    coverage: Coverage
    known: tuple[CovariateValue, ...] = ()
    unlike: tuple[Unlikeness, ...] = ()

    @cached_property
    def member_cif(self) -> NDArray[np.float64]:
        """Cumulative incidence of death of each member, (M, K), at the end of each month."""
        return cif_from_pmf(self.member_pmf)

    @cached_property
    def cif(self) -> NDArray[np.float64]:
        """Cumulative incidence of death, the members' mean, (K,), at the end of each month."""
        return np.asarray(self.member_cif.mean(axis=0))

    @property
    def survival(self) -> NDArray[np.float64]:
        """Probability of being alive at the end of each month, (K,)."""
        return 1.0 - self.cif

    def survival_at(self, month: int) -> float:
        """Probability of being alive ``month`` months after the CT, 1 <= month <= horizon."""
        if not 1 <= month <= self.grid.horizon_months:
            msg = f"month must lie within 1..{self.grid.horizon_months}, not {month}"
            raise ValueError(msg)
        return float(self.survival[month - 1])

    @property
    def spread(self) -> float:
        """Between the lowest and the highest survival at the horizon that a member says; 0 for a single one."""
        return float(np.ptp(self.member_cif[:, -1]))

    @property
    def median_months(self) -> float | None:
        """The predicted median survival; None when it lies beyond the horizon."""
        return median_months(self.cif)

    def ranked(self, count: int | None = None) -> tuple[SliceAttention, ...]:
        """The ``count`` images of the highest attention, highest first; ties in favour of the one nearer the feet."""
        return tuple(sorted(self.attention, key=lambda item: (-item.weight, item.index))[:count])
