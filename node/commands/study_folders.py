"""Folders that a person names: the studies in them, and whether results can be written there. All before any work."""

import os
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile

from pydicom import Dataset
from pydicom.config import disable_value_validation
from pydicom.errors import InvalidDicomError

from survnode.model.ct.volume import read_headers
from survnode.model.errors import SeriesUnsuitable
from survnode.node.errors import InputRefused

IDENTIFIERS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
_UID = re.compile(r"(?=.{1,64}$)[0-9]+(\.[0-9]+)*")  # also what keeps a UID that names a folder inside its parent


@dataclass(eq=False)
class StudyFiles:
    """The DICOM files of one study.

    Parameters
    ----------
    headers : without pixels, by file; none where a folder that was named holds no study
    fault : why the study cannot be used; empty if it can
    """

    study_instance_uid: str
    headers: dict[Path, Dataset] = field(default_factory=dict)
    fault: str = ""
    named: Path | None = None

    @property
    def folder(self) -> Path:
        """The innermost folder that holds all of them, or the one that was named."""
        return self.named or Path(os.path.commonpath([path.parent for path in self.headers]))


def studies_in(folders: Sequence[Path]) -> list[StudyFiles]:
    """The studies whose files lie in or below ``folders``, in the order in which they are met.

    Of several files of one image the first is taken. A folder without any image stands at the end, as a study whose
    fault says so: whoever named it must hear of it.

    Raises
    ------
    InputRefused
        No folder holds any.
    """
    studies: dict[str, StudyFiles] = {}
    known: set[tuple[str, str]] = set()  # a second copy of an image is not a second slice, as in the node and training
    for path, ds in _dicom_files(folders):
        image = str(ds.StudyInstanceUID), str(ds.get("SOPInstanceUID") or path)
        if image in known:
            continue
        known.add(image)
        study = studies.setdefault(str(ds.StudyInstanceUID), StudyFiles(str(ds.StudyInstanceUID)))
        study.headers[path] = ds
        faulty = [keyword for keyword in IDENTIFIERS if not _UID.fullmatch(str(ds.get(keyword, "")))]
        if faulty and not study.fault:
            study.fault = f"{path} has no valid {' and no valid '.join(faulty)}, which every DICOM image needs."
    if not studies:
        named = ", ".join(map(str, folders))
        raise InputRefused(f"There are no DICOM images in {named}, nor in the folders below.")
    return [*studies.values(), *(_nothing_in(folder) for folder in folders if _is_empty(folder, studies.values()))]


def _nothing_in(folder: Path) -> StudyFiles:
    return StudyFiles("", fault=f"There are no DICOM images in {folder}, nor in the folders below.", named=folder)


def _is_empty(folder: Path, studies: Iterable[StudyFiles]) -> bool:
    """Whether no image lies in or below it; one that lies elsewhere too is an image all the same."""
    if any(path.is_relative_to(folder) for study in studies for path in study.headers):
        return False
    return next(_dicom_files([folder]), None) is None


def make_folder(folder: Path, what: str) -> None:
    """Make sure that ``folder`` is there and that files can be written into it.

    Raises
    ------
    InputRefused
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputRefused(f"{what} cannot be written to {folder}: {error.strerror}.") from error


def _dicom_files(folders: Iterable[Path]) -> Iterator[tuple[Path, Dataset]]:
    """DICOM files that belong to a study; a DICOMDIR does not."""
    seen = set()
    for path in (path for folder in folders for path in sorted(folder.rglob("*"))):
        if not path.is_file() or path.resolve() in seen:
            continue
        seen.add(path.resolve())
        ds = _header(path)
        if ds is not None and all(keyword in ds for keyword in IDENTIFIERS[:3]):
            yield path, ds


def _header(path: Path) -> Dataset | None:
    """Everything but the pixels; None if it is no DICOM file. pydicom's warnings quote values: none is shown."""
    try:
        with disable_value_validation(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            (ds,) = read_headers([path])
            for keyword in IDENTIFIERS:
                ds.get(keyword)  # decoded here, where its warnings are not shown
            return ds
    except (InvalidDicomError, SeriesUnsuitable, EOFError, OSError):
        return None
