"""What a folder of DICOM files holds, by what the headers say and never by names of folders or files.

The headers are read once: what they say is kept in a file (SQLite) by path, size and time of change, so that a second
look at a tree of 50,000 files opens none of them, and an interrupted one goes on where it was. Two processes may share
the file.
"""

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from pydicom.errors import InvalidDicomError

from survnode.model.ct.budget import read_file
from survnode.train.cohorts.errors import TreeMissing

Progress = Callable[[int, int], None]  # what is done, of how much

KEYWORDS = [
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "Modality",
    "StudyDate",
    "StudyDescription",
    "SeriesDescription",
]
BATCH = 500  # files between two commits: what an interruption costs
NOT_DICOM, UNREADABLE = "", "?"  # in place of the modality

_SCHEMA = """
CREATE TABLE IF NOT EXISTS file (
    path TEXT PRIMARY KEY, size INTEGER, changed_ns INTEGER, modality TEXT, patient_id TEXT, study_uid TEXT,
    series_uid TEXT, sop_instance_uid TEXT, study_date TEXT, description TEXT);
CREATE TABLE IF NOT EXISTS verdict (key TEXT PRIMARY KEY, json TEXT);
"""


class _Row(NamedTuple):
    path: str
    size: int
    changed_ns: int
    modality: str
    patient_id: str = ""
    study_uid: str = ""
    series_uid: str = ""
    sop_instance_uid: str = ""
    study_date: str = ""
    description: str = ""


@dataclass(frozen=True)
class TreeSeries:
    """One series of a tree.

    Parameters
    ----------
    study_date : YYYYMMDD, empty where unknown
    description : of the study and of the series
    paths : one file of each SOP Instance UID, sorted
    key : sha256 of the instances' UIDs and sizes: changes when files are added, lost or rewritten in another size
    """

    patient_id: str
    study_instance_uid: str
    series_instance_uid: str
    modality: str
    study_date: str
    description: str
    paths: tuple[Path, ...]
    key: str


@dataclass(frozen=True)
class DicomTree:
    """The series of a tree in order of patient, study and series, and the DICOM files that could not be read."""

    series: tuple[TreeSeries, ...]
    unreadable: tuple[Path, ...]


def open_index(index: Path) -> sqlite3.Connection:
    """The file of what headers said, made if it is not there."""
    index.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(index, timeout=60)
    connection.executescript(_SCHEMA)
    return connection


def index_tree(root: Path, index: Path, *, threads: int = 8, progress: Progress = lambda *_: None) -> DicomTree:
    """What lies under ``root``.

    Parameters
    ----------
    index : the file that remembers headers; may serve any number of trees

    Raises
    ------
    TreeMissing
    """
    if not root.is_dir():
        raise TreeMissing(f"{root} is not a folder.")
    files = {str(path): _state(path) for path in _files(root.resolve())}
    with closing(open_index(index)) as connection:
        known = {row.path: row for row in map(_Row._make, connection.execute("SELECT * FROM file"))}
        fresh = [path for path, state in files.items() if not _is_known(known.get(path), state)]
        before = len(files) - len(fresh)
        progress(before, len(files))
        with ThreadPoolExecutor(threads) as pool:
            for start in range(0, len(fresh), BATCH):
                rows = list(pool.map(lambda path: _read(path, files[path]), fresh[start : start + BATCH]))
                with connection:
                    connection.executemany("INSERT OR REPLACE INTO file VALUES (?,?,?,?,?,?,?,?,?,?)", rows)
                known |= {row.path: row for row in rows}
                progress(before + start + len(rows), len(files))
    return _as_tree(known[path] for path in files)


def _files(root: Path) -> Iterator[Path]:
    """Every file under ``root``, through symbolic links too; a folder that is reached twice is entered once."""
    entered = set[str]()
    for folder, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders.sort()
        yield from (Path(folder, name) for name in sorted(names))


def _state(path: Path) -> tuple[int, int]:
    """Size and time of change; (-1, 0) for a link that leads nowhere."""
    try:
        stat = path.stat()
    except OSError:
        return -1, 0
    return stat.st_size, stat.st_mtime_ns


def _is_known(row: _Row | None, state: tuple[int, int]) -> bool:
    """Whether a row still holds; what could not be read may be readable now."""
    return row is not None and (row.size, row.changed_ns) == state and row.modality != UNREADABLE


def _read(path: str, state: tuple[int, int]) -> _Row:
    try:
        ds = read_file(Path(path), keywords=KEYWORDS)
        text = {keyword: str(ds.get(keyword) or "").strip() for keyword in KEYWORDS}
    except InvalidDicomError:
        return _Row(path, *state, UNREADABLE if path.lower().endswith(".dcm") else NOT_DICOM)
    except Exception:  # noqa: BLE001  pydicom raises what it likes at a damaged file: the others are read
        return _Row(path, *state, UNREADABLE)
    if not text["SeriesInstanceUID"]:  # a DICOMDIR
        return _Row(path, *state, NOT_DICOM)
    return _Row(
        path,
        *state,
        modality=text["Modality"] or UNREADABLE,
        patient_id=text["PatientID"],
        study_uid=text["StudyInstanceUID"],
        series_uid=text["SeriesInstanceUID"],
        sop_instance_uid=text["SOPInstanceUID"],
        study_date=text["StudyDate"],
        description=f"{text['StudyDescription']} {text['SeriesDescription']}".strip(),
    )


def _as_tree(rows: Iterable[_Row]) -> DicomTree:
    rows = list(rows)
    readable = [row for row in rows if row.modality not in (NOT_DICOM, UNREADABLE)]
    readable.sort(key=lambda row: (*_series_of(row), row.path))
    series = tuple(_as_series(list(group)) for _, group in groupby(readable, key=_series_of))
    return DicomTree(series, tuple(Path(row.path) for row in rows if row.modality == UNREADABLE))


def _series_of(row: _Row) -> tuple[str, str, str]:
    return row.patient_id, row.study_uid, row.series_uid


def _as_series(rows: list[_Row]) -> TreeSeries:
    of_instance: dict[str, _Row] = {}
    for row in rows:
        of_instance.setdefault(row.sop_instance_uid or row.path, row)
    digest = hashlib.sha256(repr(sorted((uid, row.size) for uid, row in of_instance.items())).encode())
    first = rows[0]
    return TreeSeries(
        first.patient_id,
        first.study_uid,
        first.series_uid,
        first.modality,
        first.study_date,
        first.description,
        tuple(Path(row.path) for row in of_instance.values()),
        digest.hexdigest(),
    )
