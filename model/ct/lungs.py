"""Where the lungs are: the U-net R231 that the paper used, or a classical method that needs no weights.

A checkpoint names the method; nothing ever changes from one to the other by itself.
"""

import logging
import warnings
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from survnode.model.ct.threshold.method import lungs_by_threshold
from survnode.model.ct.volume import Mask
from survnode.model.errors import Reason, SeriesUnsuitable, WeightsChanged, WeightsMissing

if TYPE_CHECKING:
    from lungmask import LMInferer

# What a mask must be like to be a pair of lungs, or the one that is left. Adults hold 1.5 l of air and tissue after
# breathing out and 8 l after breathing in; one collapsed or removed lung halves that. Bases at the top of an abdominal
# CT, sinuses, bowel gas and stomach stay below, half a bore of air or a hollow table above.
MIN_LUNGS_ML = 600.0
MAX_LUNGS_ML = 12_000.0
# Lungs hold blood and tissue even in emphysema; gas in bowel, tubes and around the patient is within 20 HU of -1000.
LUNG_HU = (-980.0, -300.0)  # of the median
# Lungs are 200-300 mm high. Chosen: the bases at the top of an abdominal CT stay below, a part of a chest passes.
MIN_HEIGHT_MM = 60.0

R231_FILE = "unet_r231-d5d2fc3d.pth"
R231_SHA256_PREFIX = "d5d2fc3d"  # all that is published: torch hub names a file by the first 8 digits of its sha256
R231_SOURCE = f"https://github.com/JoHof/lungmask/releases/download/v0.0/{R231_FILE}"


class LungMethod(StrEnum):
    """How the lungs are found."""

    THRESHOLD = "threshold"
    LUNGMASK = "lungmask"


class LungSegmenter(Protocol):
    """Finds the lungs in a CT."""

    @property
    def weights_sha256(self) -> str | None:
        """The sha256 of the weights that it uses; None where it needs none."""

    def __call__(self, hu: NDArray[np.float32], spacing_mm: tuple[float, float, float]) -> Mask:
        """The lungs as (D, H, W) uint8: 0 background, 1 right, 2 left.

        Parameters
        ----------
        hu : (D, H, W) float32, feet to head, front to back, right to left
        spacing_mm : (D, H, W)

        Raises
        ------
        SeriesUnsuitable
            Nothing in the CT can be a pair of lungs.
        """


def lung_segmenter(method: LungMethod, *, weights: Path | None = None, device: str = "cpu") -> LungSegmenter:
    """The segmenter of that name, ready for use.

    Parameters
    ----------
    weights : the file of R231 instead of the one in torch's cache
    device : as torch names it; the classical method always runs on the CPU

    Raises
    ------
    WeightsMissing, WeightsChanged
        The weights of R231 are not on this machine, or are other ones.
    """
    match method:
        case LungMethod.THRESHOLD:
            return Threshold()
        case LungMethod.LUNGMASK:
            return R231(weights, device)


class Threshold:
    """The classical method: see `survnode.model.ct.threshold`."""

    weights_sha256: str | None = None

    def __call__(self, hu: NDArray[np.float32], spacing_mm: tuple[float, float, float]) -> Mask:
        """The lungs: see `LungSegmenter`."""
        return _checked(lungs_by_threshold(hu, spacing_mm), hu, spacing_mm)


class R231:
    """The U-net R231 of Hofmanninger et al. (Eur Radiol Exp 4:50, 2020) through lungmask's own inference.

    Parameters
    ----------
    weights : None: ``unet_r231-d5d2fc3d.pth`` in torch's cache, where lungmask itself keeps it
    """

    def __init__(self, weights: Path | None = None, device: str = "cpu") -> None:
        from survnode.model.weights import sha256_of  # noqa: PLC0415  the classical method must not pay for torch

        path = _find_weights(weights)
        self.weights_sha256: str | None = sha256_of(path)
        if path.name == R231_FILE and not self.weights_sha256.startswith(R231_SHA256_PREFIX):
            raise WeightsChanged("lungmask R231", path, f"{R231_SHA256_PREFIX}...", self.weights_sha256)
        self._inferer = _load(path, device)

    def __call__(self, hu: NDArray[np.float32], spacing_mm: tuple[float, float, float]) -> Mask:
        """The lungs: see `LungSegmenter`."""
        # lungmask takes arrays as they are: slices feet to head, rows front to back, columns right to left, as here.
        return _checked(self._inferer.apply(hu), hu, spacing_mm)


def _checked(mask: Mask, hu: NDArray[np.float32], spacing_mm: tuple[float, float, float]) -> Mask:
    """``mask`` if it can be a pair of lungs, or one lung; raises `SeriesUnsuitable` otherwise."""
    flaw = _flaw(mask > 0, hu, spacing_mm)
    if flaw is not None:
        raise SeriesUnsuitable(Reason.NO_LUNGS, flaw)
    return mask


def _flaw(inside: NDArray[np.bool_], hu: NDArray[np.float32], spacing_mm: tuple[float, float, float]) -> str | None:
    """Why what was found cannot be lungs; None if it can."""
    volume_ml = float(inside.sum() * np.prod(spacing_mm) / 1000)
    if not MIN_LUNGS_ML <= volume_ml <= MAX_LUNGS_ML:
        expected = f"{MIN_LUNGS_ML:.0f} to {MAX_LUNGS_ML:.0f} ml"
        return f"Found {volume_ml:.0f} ml that could be lung, expected {expected}."
    height_mm = int(inside.any(axis=(1, 2)).sum()) * spacing_mm[0]
    if height_mm < MIN_HEIGHT_MM:
        return f"Found {height_mm:.0f} mm from base to apex, expected at least {MIN_HEIGHT_MM:.0f} mm."
    median = float(np.median(hu[inside]))
    if not LUNG_HU[0] <= median <= LUNG_HU[1]:
        return f"Found {median:.0f} HU in the middle, expected {LUNG_HU[0]:.0f} to {LUNG_HU[1]:.0f} HU."
    return None


def _find_weights(weights: Path | None) -> Path:
    """The file to read; nothing is ever downloaded."""
    path = weights or _cached()
    if not path.is_file():
        remedy = f"Get it from {R231_SOURCE} and put it there, or name a file in the configuration."
        raise WeightsMissing("lungmask R231", f"{R231_SHA256_PREFIX}...", [path], remedy)
    return path


def _cached() -> Path:
    """Where lungmask keeps the file (``torch.hub.load_state_dict_from_url``)."""
    from survnode.model.weights import torch_cache  # noqa: PLC0415  the classical method must not pay for torch

    return torch_cache() / R231_FILE


def _load(path: Path, device: str) -> "LMInferer":
    """The inference of lungmask with the weights at ``path``, whose pickle holds tensors and nothing that runs."""
    import torch  # noqa: PLC0415  the classical method must not pay for torch

    with warnings.catch_warnings():  # lungmask silences all user warnings of the process at import
        from lungmask import LMInferer  # noqa: PLC0415  as above
    logging.getLogger("lungmask").setLevel(logging.WARNING)  # it tells its progress on the standard output

    # lungmask itself calls torch.load without weights_only, which the environment can switch off. What passes here
    # is harmless there too.
    torch.load(path, map_location="cpu", weights_only=True)
    # One slice at a time is fastest on a CPU (measured); a GPU wants more.
    batch = 1 if device == "cpu" else 20
    inferer = LMInferer(modelpath=str(path), force_cpu=True, batch_size=batch, tqdm_disable=True)
    inferer.device = torch.device(device)  # lungmask would choose one itself
    inferer.model.to(inferer.device)
    return inferer
