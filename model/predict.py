"""The one call that node and train both make: a CT volume -> a survival curve and where the model looked."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from survnode.model.checkpoint import Card, Checkpoint, Tensors
from survnode.model.covariates import CovariateValue, GivenValues, columns_of, covariate_row, gathered
from survnode.model.ct.arrangement import SourceImage
from survnode.model.ct.coverage import judge_coverage
from survnode.model.ct.lungs import lung_segmenter
from survnode.model.ct.preprocess import SliceStack, preprocess
from survnode.model.ct.volume import Volume
from survnode.model.errors import CheckpointRefused, Reason, SeriesUnsuitable
from survnode.model.likeness import Acquisition, Unlikeness
from survnode.model.net.encoders import Encoder, Freezing
from survnode.model.net.network import NetworkConfig, SurvivalNet, intensities
from survnode.model.prediction import Prediction, SliceAttention
from survnode.model.timegrid import TimeGrid

ENCODER_BATCH = 16  # slices; more does not help a CPU, and a GPU holds any study of that size


class Predictor:
    """A checkpoint, loaded once and kept warm on one device.

    Parameters
    ----------
    device : as torch names it
    encoder_weights, lungmask_weights : files to read instead of the packaged or cached ones; their hashes must be
        those that the checkpoint names

    Raises
    ------
    CheckpointRefused, WeightsMissing, WeightsChanged
        Before anything is computed.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str = "cpu",
        encoder_weights: Path | None = None,
        lungmask_weights: Path | None = None,
    ) -> None:
        card = checkpoint.card
        self.card = card
        self.device = torch.device(device)
        self.config = _network_config(card)
        self.grid = TimeGrid(self.config.n_bins)
        self.segment = lung_segmenter(card.lungs.method, weights=lungmask_weights, device=device)
        _check_hash(
            card, f"the lung weights of {card.lungs.method}", self.segment.weights_sha256, card.lungs.weights_sha256
        )
        self.members = [
            net.to(self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]  # a stub's gap
            for net in _members(checkpoint, self.config, encoder_weights)
        ]

    def predict(self, volume: Volume, sources: Sequence[GivenValues] = ()) -> Prediction:
        """The survival curve of the patient in ``volume``.

        Raises
        ------
        SeriesUnsuitable
            No lungs were found, a part of them is missing, or what the model needs beside the images.
        """
        return self.predict_stack(self.preprocess(volume), volume.images, sources)

    def preprocess(self, volume: Volume) -> SliceStack:
        """The slices of ``volume`` that the network sees."""
        return preprocess(volume, self.segment, self.card.preprocessing)

    @torch.inference_mode()
    def predict_stack(
        self,
        stack: SliceStack,
        images: tuple[SourceImage, ...],
        sources: Sequence[GivenValues] = (),
        acquisition: Acquisition | None = None,
    ) -> Prediction:
        """The survival curve from preprocessed slices; ``images`` as in ``Volume.images``.

        Parameters
        ----------
        sources : of what is known beside the image, the first that knows a value counts
        acquisition : what is known of how the CT was made; its lung volume is that of ``stack``

        Raises
        ------
        SeriesUnsuitable
            A part of the lungs is missing, or what the model needs beside the images.
        """
        known = self._known(sources)
        beside = self._beside(known)
        coverage = judge_coverage(
            stack.lungs, self.card.preprocessing.spacing_mm, self.card.limits.coverage, stack.sides.warnings
        )
        slices = intensities(stack.hu, self.card.preprocessing.window_hu)  # (S, 1, H, W)
        mask = torch.ones(1, len(slices), dtype=torch.bool, device=self.device)
        shared = self.features(self.members[0], slices) if self.config.freezing is Freezing.TRUNK else None
        pmf, attention = [], []
        for net in self.members:
            features = shared if shared is not None else self.features(net, slices)
            output = net.forward_features(features[None], mask, beside)
            pmf.append(output.logits[0].double().softmax(dim=0).cpu().numpy())  # (K + 1)
            if output.attention is not None:
                attention.append(output.attention[0].double().cpu().numpy())  # (S)
        return Prediction(
            grid=self.grid,
            member_pmf=np.stack(pmf),
            attention=_by_source(np.mean(attention, axis=0), stack.source, images),
            model=self.card.identity(),
            coverage=coverage,
            known=known,
            unlike=self._unlike(shared, (acquisition or Acquisition()).measured(lungs_ml=coverage.volume_ml)),
        )

    def _unlike(self, shared: Tensor | None, acquisition: Acquisition) -> tuple[Unlikeness, ...]:
        """How the patient is unlike those of the training; ``shared`` are a frozen encoder's features (S, F)."""
        if self.card.likeness is None:
            return ()
        pooled = None if shared is None else shared.double().mean(dim=0).cpu().numpy()
        return self.card.likeness.judge(acquisition, pooled)

    def _known(self, sources: Sequence[GivenValues]) -> tuple[CovariateValue, ...]:
        known = gathered(self.card.covariates or (), sources)
        if self.config.needs_beside and all(it.value is None for it in known):
            raise SeriesUnsuitable(Reason.NOTHING_KNOWN, f"It needs {', '.join(it.covariate.titled for it in known)}.")
        return known

    def _beside(self, known: Sequence[CovariateValue]) -> Tensor | None:
        """What the network sees of them, (1, C)."""
        if self.config.beside is None:
            return None
        row = covariate_row([it.covariate for it in known], {it.covariate.name: it.value for it in known})
        return torch.from_numpy(row)[None].to(self.device)

    def features(self, net: SurvivalNet, slices: Tensor) -> Tensor:
        """The encoder's features (S, F) of slices (S, 1, H, W)."""
        batches = slices.split(ENCODER_BATCH)
        return torch.cat([net.encode(batch.to(self.device, memory_format=torch.channels_last)) for batch in batches])


def _network_config(card: Card) -> NetworkConfig:
    try:
        config = NetworkConfig.model_validate(card.network)
    except ValidationError as error:
        msg = f"The checkpoint {card.name} describes a network that this software does not know: {error}"
        raise CheckpointRefused(msg) from error
    described, wanted = columns_of(card.covariates or ()), config.beside.columns if config.beside else ()
    if described != wanted:
        msg = f"The checkpoint {card.name} describes {len(described)} columns beside the image"
        msg += f", and its network has {len(wanted)}, or others."
        raise CheckpointRefused(msg)
    return config


def _members(checkpoint: Checkpoint, config: NetworkConfig, weights: Path | None) -> list[SurvivalNet]:
    """One network a member; a frozen trunk is shared."""
    shared: Encoder | None = None
    nets = []
    for state in checkpoint.members:
        net = SurvivalNet(config, encoder=shared)
        if shared is None:
            digest = net.encoder.load_pretrained(weights)
            _check_hash(checkpoint.card, checkpoint.card.backbone.name, digest, checkpoint.card.backbone.sha256)
            shared = net.encoder if config.freezing is Freezing.TRUNK else None
        net.load_trained_state(_as_torch(state))
        nets.append(net)
    return nets


def _as_torch(state: Tensors) -> dict[str, Tensor]:
    return {name: torch.from_numpy(tensor) for name, tensor in state.items()}


def _check_hash(card: Card, name: str, found: str | None, expected: str | None) -> None:
    if found != expected:
        msg = f"The checkpoint {card.name} wants {name} with sha256 {expected}; the file on this machine has {found}."
        raise CheckpointRefused(msg)


def _by_source(
    weights: NDArray[np.float64], source: NDArray[np.int64], images: tuple[SourceImage, ...]
) -> tuple[SliceAttention, ...]:
    """Attention (S,) of resampled slices, added up over the source image that each shows."""
    rows = np.unique(source)
    return tuple(SliceAttention(images[row], int(row), float(weights[source == row].sum())) for row in rows)
