"""How far the prediction of one CT moves when the CT is disturbed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from survnode.model.ct.arrangement import MIN_SLICES
from survnode.model.ct.coverage import CoverageWarning
from survnode.model.ct.volume import Volume
from survnode.model.errors import Reason, SeriesUnsuitable
from survnode.model.prediction import Prediction
from survnode.train.measure.disturbances import Disturbance

FloatArray = NDArray[np.float64]
Predict = Callable[[Volume], Prediction]
FEWEST_PLACES = 3  # of attention that both show: two ranks agree or not, and say nothing


@dataclass(frozen=True, eq=False)
class Movement:
    """What one disturbance does to a prediction.

    Parameters
    ----------
    survival : (K,) at the end of each month; None where the disturbed CT is refused
    change : of survival at the horizon
    largest_change : of survival at the month where it is largest, with its sign
    attention_correlation : Spearman's, of the attention by position along the body; None where it is not defined
    reason, detail : why the disturbed CT is refused
    warnings : that its report would bear
    """

    disturbance: Disturbance
    survival: FloatArray | None = None
    change: float | None = None
    largest_change: float | None = None
    attention_correlation: float | None = None
    reason: Reason | None = None
    detail: str = ""
    warnings: tuple[CoverageWarning, ...] = ()


@dataclass(frozen=True, eq=False)
class StressedPrediction:
    """The prediction of a CT as it is, and how it moves."""

    undisturbed: Prediction
    movements: tuple[Movement, ...]

    @property
    def horizon_months(self) -> int:
        """The month at which survival is told."""
        return self.undisturbed.grid.horizon_months

    @property
    def furthest(self) -> Movement | None:
        """The movement by the largest change at the horizon; None where every disturbed CT is refused."""
        told = [it for it in self.movements if it.change is not None]
        return max(told, key=lambda it: abs(it.change or 0.0), default=None)


def stress(
    volume: Volume,
    predict: Predict,
    undisturbed: Prediction,
    disturbances: Sequence[Disturbance],
    progress: Callable[[int, int], None] = lambda *_: None,
) -> StressedPrediction:
    """How the prediction of ``volume`` moves under each of the disturbances."""
    movements = []
    for done, disturbance in enumerate(disturbances):
        progress(done, len(disturbances))
        movements.append(_movement(volume, predict, undisturbed, disturbance))
    progress(len(disturbances), len(disturbances))
    return StressedPrediction(undisturbed, tuple(movements))


def _movement(volume: Volume, predict: Predict, undisturbed: Prediction, disturbance: Disturbance) -> Movement:
    disturbed = disturbance.apply(volume)
    try:
        _check_slices(disturbed)
        prediction = predict(disturbed)
    except SeriesUnsuitable as refusal:
        return Movement(disturbance, reason=refusal.reason, detail=refusal.detail)
    change = prediction.survival - undisturbed.survival
    return Movement(
        disturbance,
        survival=prediction.survival,
        change=float(change[-1]),
        largest_change=float(change[np.argmax(np.abs(change))]),
        attention_correlation=attention_correlation((volume, undisturbed), (disturbed, prediction)),
        warnings=prediction.coverage.warnings,
    )


def _check_slices(volume: Volume) -> None:
    """Refuse what would be refused if it came as DICOM files."""
    if len(volume.images) < MIN_SLICES:
        found = f"Found {len(volume.images)}, at least {MIN_SLICES} are needed."
        raise SeriesUnsuitable(Reason.TOO_FEW_SLICES, found)


def attention_correlation(before: tuple[Volume, Prediction], after: tuple[Volume, Prediction]) -> float | None:
    """Spearman's correlation of attention at the places before, where both look; None of fewer than three places."""
    places, weights = _attention_along_body(*before)
    others, moved = _attention_along_body(*after)
    both = (places >= others[0] - 1e-6) & (places <= others[-1] + 1e-6)
    if both.sum() < FEWEST_PLACES:
        return None
    first, second = rankdata(weights[both]), rankdata(np.interp(places[both], others, moved))
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.corrcoef(first, second)[0, 1])


def _attention_along_body(volume: Volume, prediction: Prediction) -> tuple[FloatArray, FloatArray]:
    """Where along the slices' normal each image lies, in mm, and its attention."""
    start = float(volume.origin_mm @ volume.directions[:, 2])
    rows = np.array([item.index for item in prediction.attention])
    return start + rows * volume.spacing_mm[0], np.array([item.weight for item in prediction.attention])
