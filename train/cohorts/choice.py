"""Which CT series of a patient is used, judged by geometry alone, and why the others are not.

Of several that can be analysed, the one that covers at least 150 mm along its normal, has its slices nearest to 3 mm
apart, has the most slices, the lowest series number, the lowest UID: the first of these rules that tells two apart
decides. It is the rule by which the node chooses, so that training and serving see the same series. Of several that
cannot be analysed, the reason of the largest is told.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from survnode.model.ct import frames, volume
from survnode.model.ct.volume import arrange, read_headers
from survnode.model.errors import Reason, SeriesUnsuitable
from survnode.train.cohorts.dicom_tree import Progress, TreeSeries, open_index

CHEST_MM = 150.0  # a series that covers less of the body is a part of a chest
MODEL_SPACING_MM = 3.0  # what the model sees


@dataclass(frozen=True)
class Verdict:
    """What a series' headers say about it.

    Parameters
    ----------
    reason, detail : why it cannot be analysed; None and empty if it can
    spacing_mm, extent_mm : between slices, and along their normal; 0 if it cannot be analysed
    """

    series_instance_uid: str
    slices: int
    series_number: int
    reason: Reason | None = None
    detail: str = ""
    spacing_mm: float = 0.0
    extent_mm: float = 0.0

    @property
    def rank(self) -> tuple[bool, float, int, int, str]:
        """Least is best; each place is explained by the same place of `PREFERENCES`."""
        off = round(abs(self.spacing_mm - MODEL_SPACING_MM), 2)
        return self.extent_mm < CHEST_MM, off, -self.slices, self.series_number, self.series_instance_uid


PREFERENCES = (
    f"covers at least {CHEST_MM:.0f} mm",
    f"has slices nearer to {MODEL_SPACING_MM:.0f} mm apart",
    "has more slices",
    "has the lower series number",
    "has the lower series UID",
)


@dataclass(frozen=True)
class Choice:
    """The series to use, or the most telling refusal; and a sentence on each of the others, by UID."""

    best: Verdict
    passed_over: dict[str, str]


def choose(verdicts: Iterable[Verdict]) -> Choice:
    """The choice between the series of one patient, at least one."""
    verdicts = list(verdicts)
    eligible = [verdict for verdict in verdicts if verdict.reason is None]
    best = (
        min(eligible, key=lambda verdict: verdict.rank)
        if eligible
        else max(verdicts, key=lambda verdict: (verdict.slices, verdict.series_instance_uid))
    )
    return Choice(best, {other.series_instance_uid: _why_not(other, best) for other in verdicts if other is not best})


def judge_series(
    series: Sequence[TreeSeries], index: Path, *, threads: int = 4, progress: Progress = lambda *_: None
) -> dict[str, Verdict]:
    """The verdict on each series by its UID; those in the file ``index`` are not judged again."""
    keys = {one.series_instance_uid: f"{one.key}/{_rules_sha256()}" for one in series}
    with closing(open_index(index)) as connection:
        known = dict(connection.execute("SELECT key, json FROM verdict"))
        verdicts = {uid: _from_json(known[key]) for uid, key in keys.items() if key in known}
        fresh = [one for one in series if one.series_instance_uid not in verdicts]
        progress(len(verdicts), len(series))
        with ThreadPoolExecutor(threads) as pool:
            for verdict in pool.map(_judge, fresh):
                uid = verdict.series_instance_uid
                if verdict.reason is not Reason.NO_ELIGIBLE_SERIES:  # a disk may have failed: ask again next time
                    with connection:
                        row = keys[uid], json.dumps(asdict(verdict))
                        connection.execute("INSERT OR REPLACE INTO verdict VALUES (?, ?)", row)
                verdicts[uid] = verdict
                progress(len(verdicts), len(series))
    return verdicts


def _judge(series: TreeSeries) -> Verdict:
    uid, slices = series.series_instance_uid, len(series.paths)
    try:
        datasets = read_headers(series.paths)
        number = int(datasets[0].get("SeriesNumber") or 0)
        arrangement = arrange(datasets)
    except SeriesUnsuitable as error:
        return Verdict(uid, slices, 0, error.reason, error.detail)
    except Exception as error:  # noqa: BLE001  a header may hold anything: this series is refused, the others judged
        detail = f"The headers cannot be used: {type(error).__name__}."
        return Verdict(uid, slices, 0, Reason.NO_ELIGIBLE_SERIES, detail)
    spacing, extent = round(arrangement.spacing_mm[0], 4), round(arrangement.extent_mm, 2)
    return Verdict(uid, len(arrangement.frames), number, spacing_mm=spacing, extent_mm=extent)


def _from_json(text: str) -> Verdict:
    values = json.loads(text)
    reason = values.pop("reason")
    return Verdict(**values, reason=Reason[reason] if reason else None)


def _why_not(other: Verdict, best: Verdict) -> str:
    if other.reason is not None:
        return f"{other.reason.sentence} {other.detail}".strip()
    ranks = zip(other.rank, best.rank, PREFERENCES, strict=True)
    return f"The chosen series {next(text for mine, its, text in ranks if mine != its)}."


@cache
def _rules_sha256() -> str:
    """The hash of the code that judges: a new rule judges every series anew."""
    code = b"".join(Path(str(module.__file__)).read_bytes() for module in (volume, frames))
    return hashlib.sha256(code).hexdigest()[:16]
