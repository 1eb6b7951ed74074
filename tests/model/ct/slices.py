"""CT slices made by hand."""

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
)


def ct_slice(
    number: int,
    position: tuple[float, float, float],
    *,
    orientation: tuple[float, ...] = (1, 0, 0, 0, 1, 0),
    pixels: NDArray[np.int16] | None = None,
) -> Dataset:
    """A CT slice of 4 rows and 5 columns with pixels of 0.7 (between rows) x 0.5 mm."""
    stored = np.arange(20, dtype=np.int16).reshape(4, 5) + 100 * number if pixels is None else pixels
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, f"1.2.3.{number}"
    ds.Modality, ds.ImageType, ds.InstanceNumber = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"], number
    ds.FrameOfReferenceUID = "1.2.9"
    ds.ImagePositionPatient, ds.ImageOrientationPatient = list(position), list(orientation)
    ds.PixelSpacing, ds.RescaleSlope, ds.RescaleIntercept = [0.7, 0.5], 2, -1000
    ds.Rows, ds.Columns = stored.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.PixelData = stored.tobytes()
    return ds


def series(count: int = 24, step_mm: float = 3.0) -> list[Dataset]:
    return [ct_slice(number, (-1.0, -2.0, step_mm * number)) for number in range(1, count + 1)]
