"""A trained model on disk: ``model.safetensors`` (what was trained) and ``model.json`` (everything else).

The JSON names the frozen backbone by sha256, the weights file by sha256, and carries a DICOM Device UID that is derived
from all of it. A checkpoint whose parts do not agree is not opened. Nothing is ever unpickled, and no torch is needed
to read or check one.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid5

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from survnode.model.certainty import LowerBound, Recalibration
from survnode.model.covariates import Covariate
from survnode.model.ct.coverage import CoverageLimits, coverage_limits
from survnode.model.ct.lungs import LungMethod
from survnode.model.ct.preprocess import Preprocessing
from survnode.model.errors import CheckpointRefused
from survnode.model.likeness import Likeness
from survnode.model.prediction import ModelIdentity
from survnode.model.seen import SeenPatients

FORMAT_VERSION = 3  # 2: with `Limits`; 3: may say whom the model has seen
READABLE_VERSIONS = (2, 3)  # what the older one lacks is None
SPREAD_QUANTILE = 0.95  # members that differ more than on all but 5 % of their training cohort disagree
DEMO = Path(__file__).parent / "demo"  # the packaged demonstration model

_DEVICE_NAMESPACE = UUID("0d1c9d0e-9a52-5b5c-8f0a-8a3a6b1f4c11")
_EARLIER = " It names no limits for incomplete lungs and disagreeing models: make it again with survnode train."
_WEIGHTS, _CARD = "model.safetensors", "model.json"

Tensors = Mapping[str, NDArray[np.generic]]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Backbone(_Part):
    """The frozen encoder that the checkpoint does not hold, by name and hash."""

    name: str
    sha256: str


class Lungs(_Part):
    """How the lungs are found."""

    method: LungMethod
    weights_sha256: str | None = None


class CohortSummary(_Part):
    """What the model was trained on."""

    description: str
    n_patients: int = Field(ge=1)
    n_events: int = Field(ge=0)
    sha256: str


class Limits(_Part):
    """How far a patient may lie from what the model was made of before its number needs words, or is none.

    Parameters
    ----------
    max_spread : of the members' survival at the horizon: beyond it the models disagree; None for a single one
    """

    coverage: CoverageLimits
    max_spread: float | None = Field(default=None, ge=0, le=1)


def limits_of(lung_heights_mm: Sequence[float], spreads: Sequence[float] = ()) -> Limits:
    """The limits that follow from a training cohort.

    Parameters
    ----------
    lung_heights_mm : of each patient, as `survnode.model.ct.coverage.lung_height_mm`
    spreads : of each patient, as `survnode.model.prediction.Prediction.spread`; none for a single model
    """
    return Limits(coverage=coverage_limits(lung_heights_mm), max_spread=spread_limit(spreads))


def spread_limit(spreads: Sequence[float] | NDArray[np.float64]) -> float | None:
    """The spread that all but 5 % of a training cohort keep below; None where there is none to measure."""
    return round(float(np.quantile(spreads, SPREAD_QUANTILE)), 4) if len(spreads) else None


class Card(_Part):
    """``model.json``.

    Parameters
    ----------
    network : fields of `survnode.model.net.network.NetworkConfig`
    members : M, heads that are averaged over one shared backbone
    metrics : measured figures by name, with their intervals
    cohort_survival : see `ModelIdentity`
    recalibration : of each member, from patients who did not train it; kept, and not applied to any prediction
    lower_bound : from patients whom no fold saw that predicted them
    likeness : what tells who is unlike the training patients; None: nobody is judged
    seen : whom the model learned from, and whom the models saw that it started from; None: not recorded
    covariates : what the model takes beside the image, and how it was distributed in training; None: nothing

    Notes
    -----
    What is None stands neither in the file nor in what the Device UID follows from, so that a checkpoint of an earlier
    format keeps its Device UID: a field that is added is optional, and None by default.
    """

    format_version: int = FORMAT_VERSION
    name: str
    version: str
    network: dict[str, JsonValue]
    preprocessing: Preprocessing
    lungs: Lungs
    backbone: Backbone
    members: int = Field(default=1, ge=1)
    cohort: CohortSummary
    metrics: dict[str, JsonValue] = {}
    cohort_survival: tuple[float, ...] = ()
    limits: Limits
    seen: tuple[SeenPatients, ...] | None = None
    covariates: tuple[Covariate, ...] | None = None
    recalibration: tuple[Recalibration, ...] | None = None
    lower_bound: LowerBound | None = None
    likeness: Likeness | None = None
    intended_use: str
    licence: str
    demonstration: bool = False
    weights_sha256: str = ""
    device_uid: str = ""

    def sealed(self, weights_sha256: str) -> "Card":
        """The card with the hash of its weights and the Device UID that follows from everything in it."""
        bare = self.model_copy(update={"weights_sha256": weights_sha256, "device_uid": ""})
        canonical = json.dumps(bare.recorded(), sort_keys=True, separators=(",", ":"))
        return bare.model_copy(update={"device_uid": f"2.25.{uuid5(_DEVICE_NAMESPACE, canonical).int}"})

    def recorded(self) -> dict[str, JsonValue]:
        """The fields that say something, as they stand in the file."""
        return {name: value for name, value in self.model_dump(mode="json").items() if value is not None}

    def identity(self) -> ModelIdentity:
        """What a report says of the model."""
        return ModelIdentity(
            name=self.name,
            version=self.version,
            device_uid=self.device_uid,
            weights_sha256=self.weights_sha256,
            encoder=self.backbone.name,
            encoder_sha256=self.backbone.sha256,
            lungs=str(self.lungs.method),
            preprocessing=str(self.preprocessing),
            cohort=self.cohort.description,
            cohort_survival=self.cohort_survival,
            demonstration=self.demonstration,
            max_spread=self.limits.max_spread,
            lower_bound=self.lower_bound,
        )


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A card and the tensors of each member, by name."""

    card: Card
    members: tuple[Tensors, ...]


def checkpoint_folder(name: str) -> Path:
    """The folder of the checkpoint ``name``: a path, or "demo" for the packaged demonstration model."""
    return DEMO if name == "demo" else Path(name)


def save_checkpoint(folder: Path, card: Card, members: tuple[Tensors, ...]) -> Card:
    """Write a checkpoint; the card comes back sealed."""
    # safetensors writes memory as it lies: an array in another order would come back as other numbers.
    tensors = {
        f"{m}.{name}": np.asarray(tensor, order="C")  # np.ascontiguousarray would make a vector of a single number
        for m, state in enumerate(members)
        for name, tensor in state.items()
    }
    encoded = save(dict(sorted(tensors.items())))
    sealed = card.model_copy(update={"members": len(members)}).sealed(hashlib.sha256(encoded).hexdigest())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _WEIGHTS).write_bytes(encoded)
    (folder / _CARD).write_text(json.dumps(sealed.recorded(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return sealed


def read_card(folder: Path) -> Card:
    """The card of the checkpoint in ``folder``, with its weights file and Device UID checked.

    Raises
    ------
    CheckpointRefused
        Something is absent, altered, or of a version that this software does not know.
    """
    text, encoded = _read(folder / _CARD), _read(folder / _WEIGHTS)
    card = _parse(folder, text)
    actual = hashlib.sha256(encoded).hexdigest()
    if actual != card.weights_sha256:
        msg = f"{folder / _WEIGHTS} has sha256 {actual}, its card says {card.weights_sha256}."
        raise CheckpointRefused(msg)
    if card.sealed(actual).device_uid != card.device_uid:
        msg = f"{folder / _CARD} was altered: its Device UID is not the one that follows from its contents."
        raise CheckpointRefused(msg)
    return card


def load_checkpoint(folder: Path) -> Checkpoint:
    """The checkpoint in ``folder``; raises as `read_card`."""
    card = read_card(folder)
    try:
        tensors = load_file(folder / _WEIGHTS)
    except SafetensorError as error:
        msg = f"{folder / _WEIGHTS} is not a safetensors file: {error}"
        raise CheckpointRefused(msg) from error
    members: list[dict[str, NDArray[np.generic]]] = [{} for _ in range(card.members)]
    for key, tensor in tensors.items():
        member, _, name = key.partition(".")
        if not member.isdigit() or int(member) >= card.members:
            msg = f"{folder / _WEIGHTS} holds {key}, which belongs to none of its {card.members} members."
            raise CheckpointRefused(msg)
        members[int(member)][name] = tensor
    return Checkpoint(card, tuple(members))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}. A checkpoint is a folder with {_CARD} and {_WEIGHTS}."
        raise CheckpointRefused(msg) from error


def _parse(folder: Path, text: bytes) -> Card:
    try:
        values = json.loads(text)
        version = values.get("format_version") if isinstance(values, dict) else None
        if version not in READABLE_VERSIONS:
            known = " and ".join(map(str, READABLE_VERSIONS))
            msg = f"{folder / _CARD} has format version {version}; this software reads {known}."
            msg += _EARLIER if version == 1 else ""
            raise CheckpointRefused(msg)
        return Card.model_validate(values)
    except (ValueError, ValidationError) as error:
        msg = f"{folder / _CARD} does not describe a model: {error}"
        raise CheckpointRefused(msg) from error
