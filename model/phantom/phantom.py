"""A thorax in HU that needs no patient: for tests, demonstrations and a synthetic cohort.

The anatomy (`anatomy`, `painting`) is defined in mm and sampled on whatever grid is asked for; only the noise belongs
to the grid.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from uuid import NAMESPACE_OID, uuid5

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian
from scipy import ndimage

from survnode.model.phantom import anatomy as thorax
from survnode.model.phantom import painting
from survnode.model.phantom.anatomy import LEFT, RIGHT, Anatomy, Array
from survnode.model.phantom.painting import Canvas, Grid, Texture

TUMOUR_HU = 38.0  # soft tissue, a little below muscle: chosen
NOISE_HU = 14.0  # of a routine chest with a soft kernel (10-20): chosen
NOISE_CORRELATION = 0.7  # standard deviation in pixels of the in-plane blur: a soft kernel's grain, by eye
TOUCHING_PLEURA = 0.4  # share of the tumours placed by the seed: chosen, so that both kinds are common


@dataclass(frozen=True)
class Tumour:
    """A soft, slightly irregular ball; ``centre_mm`` (D, H, W) from the middle of the volume, None: by the seed."""

    radius_mm: float
    centre_mm: tuple[float, float, float] | None = None


@dataclass(frozen=True, eq=False)
class Phantom:
    """A CT and the truth about it.

    Parameters
    ----------
    seed : which patient
    hu : (D, H, W) int16, feet to head, front to back, right to left
    spacing_mm : (D, H, W)
    lungs : (D, H, W) uint8, 1 right, 2 left; with vessels and tumour, without trachea and main bronchi
    tumour : with its centre, None where there is none
    tumour_mask : (D, H, W) bool
    """

    seed: int
    hu: NDArray[np.int16]
    spacing_mm: tuple[float, float, float]
    lungs: NDArray[np.uint8]
    tumour: Tumour | None
    tumour_mask: NDArray[np.bool_]

    @property
    def tumour_slices(self) -> range:
        """The slices that show the tumour."""
        return _slices_of(self.tumour_mask)


def make_phantom(
    seed: int,
    *,
    shape: tuple[int, int, int] = (100, 512, 512),
    spacing_mm: tuple[float, float, float] = (3.0, 0.8, 0.8),
    tumour: Tumour | None = None,
    noise_hu: float = NOISE_HU,
) -> Phantom:
    """The thorax of patient ``seed`` on a grid of ``shape`` and ``spacing_mm``, both (D, H, W).

    Parameters
    ----------
    noise_hu : standard deviation of the noise
    """
    rng = np.random.default_rng([seed, 0])
    anatomy = thorax.draw_anatomy(rng)
    texture, vessels = Texture.draw(rng), painting.vessels(anatomy, rng)
    grid = Grid.of(shape, spacing_mm)
    hu, lungs = np.empty(shape, np.float32), np.zeros(shape, np.uint8)
    for index in range(shape[0]):
        canvas = Canvas.blank(grid, index, texture)
        inside = painting.paint_slice(canvas, anatomy)
        hu[index], lungs[index] = canvas.hu, np.where(inside, np.where(grid.x < 2, RIGHT, LEFT), 0)
    painting.paint_tubes(hu, grid, vessels, anatomy.blood_hu)
    painting.paint_tubes(hu, grid, painting.airways(anatomy, wall_mm=1.2), painting.MUSCLE)
    painting.paint_tubes(hu, grid, painting.airways(anatomy), painting.AIR)
    mask = np.zeros(shape, np.bool_)
    if tumour is not None:
        tumour = _placed(anatomy, tumour, np.random.default_rng([seed, 1]))
        _paint_tumour(hu, mask, grid, tumour, np.random.default_rng([seed, 2]))
    hu += _noise(np.random.default_rng([seed, 3]), shape, noise_hu)
    return Phantom(seed, np.clip(np.rint(hu), -1024, 3071).astype(np.int16), spacing_mm, lungs, tumour, mask)


def tumour_slices(
    seed: int, tumour: Tumour, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]
) -> range:
    """The slices that show the tumour of ``make_phantom(seed, ...)``, without painting the rest of it."""
    anatomy = thorax.draw_anatomy(np.random.default_rng([seed, 0]))
    mask = np.zeros(shape, np.bool_)
    placed = _placed(anatomy, tumour, np.random.default_rng([seed, 1]))
    blank = np.zeros(shape, np.float32)
    _paint_tumour(blank, mask, Grid.of(shape, spacing_mm), placed, np.random.default_rng([seed, 2]))
    return _slices_of(mask)


def _slices_of(mask: NDArray[np.bool_]) -> range:
    indices = np.flatnonzero(mask.any(axis=(1, 2)))
    return range(int(indices[0]), int(indices[-1]) + 1) if indices.size else range(0)


def _placed(anatomy: Anatomy, tumour: Tumour, rng: np.random.Generator) -> Tumour:
    """The tumour at its place: given, or somewhere in a lung, touching its surface or wholly inside."""
    if tumour.centre_mm is not None:
        return tumour
    points = rng.uniform((-80, -90, -130), (100, 80, 130), (20_000, 3)).astype(np.float32)
    depth = -thorax.lungs(anatomy, points[:, 0], points[:, 1], points[:, 2])
    touching = rng.random() < TOUCHING_PLEURA
    low, high = (0.4, 0.85) if touching else (1.2, np.inf)
    fits = (depth > low * tumour.radius_mm) & (depth < high * tumour.radius_mm)
    index = int(np.argmax(fits)) if fits.any() else int(np.argmax(depth))  # too large for the lung: the deepest place
    z, y, x = (float(value) for value in points[index])
    return replace(tumour, centre_mm=(z, y, x))


def _paint_tumour(hu: Array, mask: NDArray[np.bool_], grid: Grid, tumour: Tumour, rng: np.random.Generator) -> None:
    """Paint the tumour into ``hu`` and ``mask``; three waves across it make it irregular."""
    assert tumour.centre_mm is not None  # noqa: S101  for the type checker; `_placed` has been called
    centre, radius = np.array(tumour.centre_mm, np.float32), tumour.radius_mm
    box = painting.box(grid, centre - 1.4 * radius, centre + 1.4 * radius)
    z, y, x = grid.z[box[0]][:, None, None], grid.y[box[1]][None], grid.x[:, box[2]][None]
    z, y, x = (z - centre[0]) / radius, (y - centre[1]) / radius, (x - centre[2]) / radius
    waves = rng.normal(size=(3, 3)) * 2.2
    phases = rng.uniform(0, 2 * np.pi, 3)
    bumps = sum(np.sin(w[0] * z + w[1] * y + w[2] * x + phase) for w, phase in zip(waves, phases, strict=True))
    distance = (np.sqrt(z * z + y * y + x * x) - 1 - 0.08 * bumps) * radius
    share = np.clip(0.5 - distance / grid.spacing_mm[2], 0, 1).astype(np.float32)
    hu[box] += share * (TUMOUR_HU - hu[box])
    mask[box] = distance < 0


def _noise(rng: np.random.Generator, shape: tuple[int, int, int], noise_hu: float) -> Array:
    """Noise of ``noise_hu``, a little correlated within a slice."""
    white = rng.standard_normal(shape, np.float32)
    sigma = (0, NOISE_CORRELATION, NOISE_CORRELATION)
    blurred = ndimage.gaussian_filter(white, sigma, truncate=2.5)
    return np.asarray(blurred * np.float32(noise_hu / blurred[:1].std()), np.float32)


def write_dicom(
    phantom: Phantom,
    folder: Path,
    *,
    patient_id: str | None = None,
    patient_name: str | None = None,
    study: str = "1",
    series_number: int = 1,
    study_date: str = "20240101",
) -> list[Path]:
    """Write one CT Image Storage file a slice, feet to head (PS3.3 A.3, Explicit VR Little Endian); returns the paths.

    Parameters
    ----------
    patient_id, patient_name : by default made of the seed
    study : tells the studies of one patient apart; with patient, seed and series number it determines every UID
    study_date : of study, series and acquisition, YYYYMMDD
    """
    folder.mkdir(parents=True, exist_ok=True)
    patient_id = patient_id or f"PHANTOM-{phantom.seed:04d}"
    key = f"{patient_id}/{phantom.seed}/{study}"
    series_key = f"{key}/{series_number}"
    ds = _common(phantom, study_date)
    ds.PatientID, ds.PatientName = patient_id, patient_name or f"Phantom^{phantom.seed}"
    ds.StudyInstanceUID, ds.StudyID, ds.AccessionNumber = _uid(key), study[:16], f"P{phantom.seed}-{study}"[:16]
    ds.SeriesInstanceUID, ds.SeriesNumber = _uid(series_key), series_number
    ds.FrameOfReferenceUID = _uid(f"{key}/frame of reference")
    paths = []
    for index in range(len(phantom.hu)):
        _set_slice(ds, phantom, index, _uid(f"{series_key}/{index + 1}"))
        paths.append(folder / f"{index + 1:04d}.dcm")
        ds.save_as(paths[-1], enforce_file_format=True)
    return paths


def _uid(name: str) -> UID:
    """The UID of ``name``, the same every time (PS3.5 B.2)."""
    return UID(f"2.25.{uuid5(NAMESPACE_OID, f'phantom/{name}').int}")


def _common(phantom: Phantom, date: str) -> Dataset:
    """What all slices share."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SOPClassUID, ds.Modality = CTImageStorage, "CT"
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = date
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "120000"
    ds.Manufacturer, ds.ManufacturerModelName = "Phantom", "Thorax"
    ds.InstitutionName, ds.StationName, ds.SoftwareVersions = "Phantom", "PHANTOM", "1"
    ds.DeviceSerialNumber = "1"
    ds.ReferringPhysicianName = ""
    ds.StudyDescription, ds.SeriesDescription, ds.ProtocolName = "CT thorax", "Thorax 3 mm", "Thorax"
    ds.PatientBirthDate, ds.PatientSex, ds.PatientAge = "19600101", "MF"[phantom.seed % 2], "064Y"
    ds.BodyPartExamined, ds.PatientPosition, ds.PositionReferenceIndicator = "CHEST", "HFS", ""
    ds.KVP, ds.XRayTubeCurrent, ds.ExposureTime, ds.ConvolutionKernel = 120, 200, 500, "B30f"
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = -1024, 1, "HU"
    ds.WindowCenter, ds.WindowWidth = [-500, 40], [1500, 400]
    ds.AcquisitionNumber = 1
    _, rows, columns = phantom.hu.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.Rows, ds.Columns = 1, "MONOCHROME2", rows, columns
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    depth, height, width = phantom.spacing_mm
    ds.SliceThickness, ds.PixelSpacing = depth, [height, width]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return ds


def _set_slice(ds: Dataset, phantom: Phantom, index: int, sop_instance_uid: UID) -> None:
    """Turn ``ds`` into slice ``index``; the middle of the volume is the origin of the patient's coordinates."""
    position = [
        (place - (count - 1) / 2) * step
        for place, count, step in zip((index, 0, 0), phantom.hu.shape, phantom.spacing_mm, strict=True)
    ]
    ds.SOPInstanceUID, ds.InstanceNumber = sop_instance_uid, index + 1
    ds.ImagePositionPatient = [round(value, 4) for value in reversed(position)]
    ds.SliceLocation = round(position[0], 4)
    ds.PixelData = (phantom.hu[index] + 1024).astype("<i2").tobytes()
