"""Which CT series is analysed, of a study or of a patient, and why the others are not: one rule for all who choose.

Of several that can be analysed, the one that covers at least 150 mm along its normal, has its slices nearest to as far
apart as the model sees them, has the most slices, the lowest series number, the lowest UID: the first of these rules
that tells two apart decides. Of several that cannot, the reason of the largest is told.

Headers are enough to judge a series (`judge`), and what they say does not depend on a model: it may be kept. Only the
comparison (`compare`) asks for the spacing of the checkpoint's preprocessing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydicom import Dataset

from survnode.model.ct.arrangement import arrange
from survnode.model.ct.verdict import SeriesVerdict
from survnode.model.errors import Reason, SeriesUnsuitable

# An adult's lungs measure 200-300 mm from base to apex; a series of half of that shows a part of a chest. Chosen, not
# measured: it has to part whole chests from short reconstructions, and these differ by far more than its error.
CHEST_MM = 150

# Positions are decimal strings, rounded by scanners to 0.01-0.1 mm, so that two series of 3 mm are 3.0000 and 2.9999 mm
# apart. Their length (60 x 2.5, 50 x 3, 30 x 5) may be just 150 mm: it is rounded to whole millimetres, which moves the
# edge to 149.5 mm, where usual spacings put no series. Spacings are the mean of at least 19 gaps, and so off by up to
# 0.005 mm: they are compared in hundredths.
EXTENT_DIGITS, SPACING_DIGITS = 0, 2


@dataclass(frozen=True)
class JudgedSeries:
    """What the headers of a series say of it, whatever the model.

    Parameters
    ----------
    images : slices, or data sets if it cannot be analysed
    reason, detail : why it cannot be analysed; None and empty if it can
    spacing_mm, extent_mm : between slices, and along their normal; 0 if it cannot be analysed
    """

    series_instance_uid: str
    images: int
    series_number: int = 0
    reason: Reason | None = None
    detail: str = ""
    spacing_mm: float = 0.0
    extent_mm: float = 0.0

    def rank(self, spacing_mm: float) -> tuple[bool, float, int, int, str]:
        """Least is best; each place is explained by the same place of `preferences`."""
        short = round(self.extent_mm, EXTENT_DIGITS) < CHEST_MM
        off = round(abs(self.spacing_mm - spacing_mm), SPACING_DIGITS)
        return short, off, -self.images, self.series_number, self.series_instance_uid


@dataclass(frozen=True)
class SeriesChoice:
    """What becomes of a study.

    Parameters
    ----------
    series_instance_uid : the series to analyse; with a ``reason``, the one that the reason is about
    reason, detail : why no series can be analysed; None if one can
    verdicts : on each series, by UID
    """

    series_instance_uid: str
    reason: Reason | None
    detail: str
    verdicts: tuple[SeriesVerdict, ...]


def choose(series: Mapping[str, Sequence[Dataset]], spacing_mm: float) -> SeriesChoice:
    """The one series to analyse, or the most telling reason why there is none.

    Parameters
    ----------
    series : the headers of each series by its UID
    spacing_mm : between the slices that the model sees
    """
    return compare((judge(uid, datasets) for uid, datasets in series.items()), spacing_mm)


def compare(judged: Iterable[JudgedSeries], spacing_mm: float) -> SeriesChoice:
    """As `choose`, of series that were judged already."""
    judged = sorted(judged, key=lambda series: series.series_instance_uid)
    if not judged:
        return SeriesChoice("", Reason.NO_ELIGIBLE_SERIES, "None of its files can be read.", ())
    eligible = [series for series in judged if series.reason is None]
    if eligible:
        best = min(eligible, key=lambda series: series.rank(spacing_mm))
    else:
        best = max(judged, key=lambda series: (series.images, series.series_instance_uid))
    verdicts = tuple(_verdict(series, best, spacing_mm) for series in judged)
    return SeriesChoice(best.series_instance_uid, best.reason, best.detail, verdicts)


def judge(series_instance_uid: str, datasets: Sequence[Dataset]) -> JudgedSeries:
    """What the headers of one series, in any order, say of it."""
    try:
        arrangement = arrange(datasets)
        number = min(int(ds.get("SeriesNumber") or 0) for ds in datasets)
    except SeriesUnsuitable as refusal:
        return JudgedSeries(series_instance_uid, len(datasets), reason=refusal.reason, detail=refusal.detail)
    except Exception as error:  # noqa: BLE001  a header may hold anything: this series is refused, the others judged
        return unusable(series_instance_uid, len(datasets), error)
    return JudgedSeries(
        series_instance_uid,
        len(arrangement.frames),
        number,
        spacing_mm=arrangement.spacing_mm[0],
        extent_mm=arrangement.extent_mm,
    )


def unusable(series_instance_uid: str, images: int, error: Exception) -> JudgedSeries:
    """A series whose headers cannot be used; the error's own words may hold what a header says of the patient."""
    detail = f"Its headers cannot be used ({type(error).__name__})."
    return JudgedSeries(series_instance_uid, images, reason=Reason.NO_ELIGIBLE_SERIES, detail=detail)


def preferences(spacing_mm: float) -> tuple[str, ...]:
    """What the chosen series has that another one has not, in the order of `JudgedSeries.rank`."""
    return (
        f"covers at least {CHEST_MM} mm",
        f"has slices nearer to {spacing_mm:g} mm apart",
        "has more slices",
        "has the lower series number",
        "has the lower series UID",
    )


def _verdict(series: JudgedSeries, best: JudgedSeries, spacing_mm: float) -> SeriesVerdict:
    uid, images = series.series_instance_uid, series.images
    if series.reason is not None:
        return SeriesVerdict(uid, images, chosen=False, reason=series.reason, detail=series.detail)
    if series is best:
        return SeriesVerdict(uid, images, chosen=True, reason=None)
    ranks = zip(series.rank(spacing_mm), best.rank(spacing_mm), preferences(spacing_mm), strict=True)
    preference = next(words for place, better, words in ranks if place != better)
    return SeriesVerdict(uid, images, chosen=False, reason=None, detail=f"The chosen series {preference}.")
