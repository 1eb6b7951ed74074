"""CT from which a de-identifier took what a node insists on: given back, where nothing but a name is missing.

What places the slices in space must be there and even; it is checked as in every CT. Asked for by a cohort's
description alone, recorded in run and card, and never done by the node.
"""

from collections.abc import Sequence

from pydicom import Dataset
from pydicom.uid import CTImageStorage, generate_uid

WORDS = (
    "read as de-identified: CT without SOP Class UID, without SOP Instance UID or with a frame of reference of its own"
    " in each slice were taken"
)


def mended(datasets: Sequence[Dataset]) -> list[Dataset]:
    """The data sets of one series, each with a SOP Class, a SOP Instance UID, and all with one frame of reference.

    Frames of reference become one only if no two slices share any: two groups of slices stay two. Done in place.
    """
    for number, ds in enumerate(datasets):
        if ds.get("Modality") == "CT" and not ds.get("SOPClassUID") and "NumberOfFrames" not in ds:
            ds.SOPClassUID = CTImageStorage
        if not ds.get("SOPInstanceUID"):
            ds.SOPInstanceUID = generate_uid(entropy_srcs=[str(ds.get("SeriesInstanceUID", "")), str(number)])
    frames = [str(ds.get("FrameOfReferenceUID", "")) for ds in datasets]
    if len(set(frames)) == len(frames) > 1:
        for ds in datasets:
            ds.FrameOfReferenceUID = frames[0]
    return list(datasets)
