"""CT data sets -> one volume in HU whose axes are known.

Two steps, so that a study can be judged by its headers alone: `arrangement.arrange` sorts and checks the images
without touching a pixel, `decode` puts their pixels into the places that it gave them; `load_volume` does both.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import HTJ2K, JPEG2000, UID, HTJ2KLossless, HTJ2KLosslessRPCL, JPEG2000Lossless, JPEGLSLossless

from survnode.model.ct.arrangement import Arrangement, SourceImage, arrange
from survnode.model.ct.budget import check_compressed, check_files, read_file
from survnode.model.ct.frames import Frame
from survnode.model.errors import Reason, SeriesUnsuitable

PADDING_HU = -1024.0  # air, in place of a pixel that is none: the least that most scanners write

# Where several decoders are installed pydicom tries one after the other, so that the worst of them meets whatever is
# damaged. Of 5,000 damaged images of 64 x 64, GDCM aborted the process over two in JPEG 2000, and pyjpegls took seconds
# to minutes over ten in JPEG-LS; the ones named here did neither.
DECODERS = {
    JPEGLSLossless: "gdcm",
    **dict.fromkeys((JPEG2000Lossless, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K), "pylibjpeg"),
}

Mask = NDArray[np.uint8]  # (D, H, W): 0 background, 1 right lung, 2 left lung


@dataclass(frozen=True, eq=False)
class Volume:
    """A CT in HU.

    Parameters
    ----------
    hu : (D, H, W) float32, feet to head, front to back, right to left
    spacing_mm : (D, H, W)
    images : the source of each slice, (D)
    directions, origin_mm : as in `Arrangement`
    """

    hu: NDArray[np.float32]
    spacing_mm: tuple[float, float, float]
    images: tuple[SourceImage, ...]
    directions: NDArray[np.float64]
    origin_mm: NDArray[np.float64]

    def as_image(self, array: NDArray[np.generic] | None = None) -> sitk.Image:
        """``array`` (D, H, W; default: the HU) as a SimpleITK image in the CT's own geometry."""
        image = sitk.GetImageFromArray(self.hu if array is None else array)
        depth, height, width = self.spacing_mm
        image.SetSpacing((width, height, depth))
        image.SetOrigin(self.origin_mm.tolist())
        image.SetDirection(self.directions.flatten().tolist())
        return image


def read_series(paths: Iterable[Path]) -> list[Dataset]:
    """The data sets at ``paths`` with their pixels.

    Raises
    ------
    SeriesUnsuitable
        They are too large, see `survnode.model.ct.budget`, or one of them is cut short.
    """
    paths = list(paths)
    check_files(paths)
    return [_read_whole(path) for path in paths]


def _read_whole(path: Path) -> Dataset:
    try:
        return read_file(path, pixels=True)
    except (SeriesUnsuitable, OSError):
        raise
    except Exception as error:  # pydicom raises what it likes at a file that is no data set
        raise SeriesUnsuitable(Reason.UNREADABLE_PIXELS, "The file of an image cannot be read to its end.") from error


def read_headers(paths: Iterable[Path]) -> list[Dataset]:
    """The data sets at ``paths`` without their pixels; raises `SeriesUnsuitable` where one is too large."""
    return [read_file(path) for path in paths]


def load_volume(datasets: Sequence[Dataset]) -> Volume:
    """The CT volume of one series in HU; the order of ``datasets`` does not matter.

    Raises
    ------
    SeriesUnsuitable
        See `arrange`; also where the pixels of an image cannot be decoded.
    """
    return decode(datasets, arrange(datasets))


def decode(datasets: Iterable[Dataset], arrangement: Arrangement) -> Volume:
    """The pixels of ``datasets`` in their places in ``arrangement``; raises `SeriesUnsuitable` if one has none."""
    place = {(frame.sop_instance_uid, frame.frame_number): i for i, frame in enumerate(arrangement.frames)}
    first = arrangement.frames[0]
    shape = (first.columns, first.rows) if arrangement.transpose else (first.rows, first.columns)
    hu = np.empty((len(arrangement.frames), *shape), np.float32)
    for ds in datasets:
        for number, pixels in enumerate(_decoded(ds), start=1):
            index = place.get((str(ds.get("SOPInstanceUID")), number if "NumberOfFrames" in ds else None))
            if index is not None:
                hu[index] = arrangement.upright(_to_hu(pixels, arrangement.frames[index]))
    return Volume(hu, arrangement.spacing_mm, arrangement.images, arrangement.directions, arrangement.origin_mm)


def _decoded(ds: Dataset) -> Iterable[NDArray[np.integer[Any]]]:
    """The stored matrices of a data set, frame by frame."""
    try:
        check_compressed(ds)
        yield from iter_pixels(ds, raw=True, decoding_plugin=DECODERS.get(ds.file_meta.TransferSyntaxUID, ""))
    except SeriesUnsuitable:
        raise
    except Exception as error:
        undecoded = f"Image {ds.get('InstanceNumber')} cannot be decoded ({UID(ds.file_meta.TransferSyntaxUID).name})."
        raise SeriesUnsuitable(Reason.UNREADABLE_PIXELS, undecoded) from error


def _to_hu(stored: NDArray[np.integer[Any]], frame: Frame) -> NDArray[np.float32]:
    hu = stored.astype(np.float32) * np.float32(frame.rescale_slope) + np.float32(frame.rescale_intercept)
    if frame.padding is not None:
        low, high = frame.padding
        hu[(stored >= low) & (stored <= high)] = PADDING_HU
    return hu
