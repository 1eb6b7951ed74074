"""The CT of one study in a folder, chosen as the node chooses."""

from pathlib import Path
from tempfile import TemporaryDirectory

from survnode.model.ct.selection import compare
from survnode.model.ct.volume import Volume, load_volume, read_series
from survnode.model.errors import SeriesUnsuitable
from survnode.train.cohorts.dicom_tree import TreeSeries, index_tree
from survnode.train.cohorts.errors import OneCtExpected
from survnode.train.cohorts.judged import judge_series


def read_one_ct(folder: Path, spacing_mm: float) -> Volume:
    """The volume of the series that would be analysed of the study in ``folder``.

    Parameters
    ----------
    spacing_mm : between the slices that the model sees

    Raises
    ------
    TreeMissing, OneCtExpected
    SeriesUnsuitable
        None of its series can be analysed, or the one that was chosen cannot be decoded.
    """
    with TemporaryDirectory() as place:  # headers of one study are read in a moment: nothing is kept of them
        index = Path(place, "headers.sqlite")
        series = [it for it in index_tree(folder, index).series if it.modality == "CT"]
        _check_one_study(folder, series)
        choice = compare(judge_series(series, index).values(), spacing_mm)
    if choice.reason is not None:
        raise SeriesUnsuitable(choice.reason, choice.detail)
    (chosen,) = (it for it in series if it.series_instance_uid == choice.series_instance_uid)
    return load_volume(read_series(chosen.paths))


def _check_one_study(folder: Path, series: list[TreeSeries]) -> None:
    studies = {(it.patient_id, it.study_instance_uid) for it in series}
    if len(studies) != 1:
        held = f"holds {len(studies)} studies with CT" if studies else "holds no CT"
        msg = f"{folder} {held}: name a folder with the DICOM files of one study."
        raise OneCtExpected(msg)
