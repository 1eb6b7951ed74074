"""What the headers of each series say of it, asked once and kept: whether it can be analysed, and its geometry.

The choice between them is that of `survnode.model.ct.selection`, as in the node. It is made anew each time, since it
depends on the spacing that a model sees; what is kept here does not.
"""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path

from survnode.model.ct import arrangement, frames, selection, volume
from survnode.model.ct.selection import JudgedSeries, judge, unusable
from survnode.model.ct.volume import read_headers
from survnode.model.errors import Reason
from survnode.train.cohorts.deidentified import mended
from survnode.train.cohorts.dicom_tree import Progress, TreeSeries, open_index


def judge_series(
    series: Sequence[TreeSeries],
    index: Path,
    *,
    deidentified: bool = False,
    threads: int = 4,
    progress: Progress = lambda *_: None,
) -> dict[str, JudgedSeries]:
    """What the headers say of each series, by its UID; those in the file ``index`` are not judged again.

    Parameters
    ----------
    deidentified : see `survnode.train.cohorts.deidentified.mended`
    """
    rules = f"{_rules_sha256()}{'/deidentified' if deidentified else ''}"
    keys = {it.series_instance_uid: f"{it.key}/{rules}" for it in series}
    with closing(open_index(index)) as connection:
        known = dict(connection.execute("SELECT key, json FROM verdict"))
        judged = {uid: _from_json(known[key]) for uid, key in keys.items() if key in known}
        fresh = [it for it in series if it.series_instance_uid not in judged]
        progress(len(judged), len(series))
        with ThreadPoolExecutor(threads) as pool:
            for result in pool.map(partial(_judge, deidentified=deidentified), fresh):
                uid = result.series_instance_uid
                if result.reason is not Reason.NO_ELIGIBLE_SERIES:  # a disk may have failed: ask again next time
                    with connection:
                        row = keys[uid], json.dumps(asdict(result))
                        connection.execute("INSERT OR REPLACE INTO verdict VALUES (?, ?)", row)
                judged[uid] = result
                progress(len(judged), len(series))
    return judged


def _judge(series: TreeSeries, *, deidentified: bool) -> JudgedSeries:
    try:
        headers = read_headers(series.paths)
    except Exception as error:  # noqa: BLE001  pydicom raises what it likes at a damaged file: the others are judged
        return unusable(series.series_instance_uid, len(series.paths), error)
    return judge(series.series_instance_uid, mended(headers) if deidentified else headers)


def _from_json(text: str) -> JudgedSeries:
    values = json.loads(text)
    reason = values.pop("reason")
    return JudgedSeries(**values, reason=Reason[reason] if reason else None)


@cache
def _rules_sha256() -> str:
    """The hash of the code that judges: a new rule judges every series anew."""
    code = b"".join(Path(str(module.__file__)).read_bytes() for module in (arrangement, volume, frames, selection))
    return hashlib.sha256(code).hexdigest()[:16]
