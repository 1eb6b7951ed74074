"""What the files of a study say, read without trust: all of it plain values, so that it can cross a process."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydicom import Dataset

from survnode.model.ct.volume import read_headers
from survnode.node.intake.judgement import JudgedStudy, judge_study
from survnode.node.intake.rules import Routes
from survnode.node.state.records import Instance, InstanceState, OtherSeries, Study


@dataclass(frozen=True)
class Evidence:
    """What the database knows of a study that is to be judged."""

    study: Study
    instances: Sequence[Instance]
    others: Sequence[OtherSeries]


@dataclass(frozen=True)
class Verdict:
    """What comes of a study.

    Parameters
    ----------
    sop_instance_uids : of the series that was chosen, sorted
    unreadable : SOP Instance UIDs of the files whose headers cannot be read
    """

    judged: JudgedStudy
    sop_instance_uids: tuple[str, ...]
    unreadable: tuple[str, ...]


class Judge(Protocol):
    """Whoever reads the files of a study and says what comes of it."""

    def judge(self, evidence: Evidence) -> Verdict:
        """What comes of a study."""
        ...


@dataclass(frozen=True)
class FileJudge:
    """Reads the files in the process that asks.

    Parameters
    ----------
    folder : of the store
    spacing_mm : between the slices that the model sees
    """

    folder: Path
    routes: Routes
    spacing_mm: float

    def judge(self, evidence: Evidence) -> Verdict:
        """What comes of a study; a file that cannot be read is named, and the others are judged."""
        series: dict[str, list[Dataset]] = {}
        unreadable = []
        for instance in evidence.instances:
            if instance.state is not InstanceState.STORED:
                continue
            header = _header_of(self.folder / instance.path)
            if header is None:
                unreadable.append(instance.sop_instance_uid)
            else:
                series.setdefault(instance.series_instance_uid, []).append(header)
        judged = judge_study(evidence.study, series, evidence.others, self.routes, self.spacing_mm)
        chosen = series.get(judged.choice.series_instance_uid, ())
        return Verdict(judged, tuple(sorted(str(ds.SOPInstanceUID) for ds in chosen)), tuple(unreadable))


def _header_of(path: Path) -> Dataset | None:
    """The data set without its pixels; None if it cannot be read."""
    try:
        return read_headers([path])[0]
    except MemoryError:
        raise  # of this process, which is to end by it, and not a fault of the file alone
    except Exception:  # noqa: BLE001  pydicom raises what it likes at bytes that are no data set
        return None
