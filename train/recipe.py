"""The settings of a training run, validated whole, and the named presets."""

from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from survnode.model.ct.lungs import LungMethod
from survnode.model.ct.preprocess import Preprocessing
from survnode.model.net.deephit import DeepHitConfig
from survnode.model.net.network import NetworkConfig
from survnode.model.net.trunks import EncoderName


class RankingMean(StrEnum):
    """What the sum over pairs (i, j) of the ranking loss is divided by."""

    SQUARE = "square"  # B * B, as pycox does: the mean of all entries, acceptable or not
    PAPER = "paper"  # B: the sum over i of the mean over j, as DeepHit's own code does
    PAIRS = "pairs"  # the number of acceptable pairs: independent of batch size and share of deaths


class Schedule(StrEnum):
    """How the learning rate goes on after the warm-up."""

    CONSTANT = "constant"
    COSINE = "cosine"  # down to 0 at the last step
    RESTARTS = "restarts"  # cosines of 10, 20, 40, ... epochs down to 1e-6, each from the full rate


class Precision(StrEnum):
    """What the network computes in; losses and measures are always in float32 or better."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"  # with its loss scaled


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LossSettings(_Settings):
    """DeepHit's loss, alpha L1 + beta L2.

    Parameters
    ----------
    alpha, beta : weights of the likelihood and of the ranking loss
    sigma : a wrongly ordered pair costs e times more for each ``sigma`` of cumulative incidence
    ranking_mean : what the ranking loss is divided by
    """

    alpha: float = Field(default=1.0, ge=0)
    beta: float = Field(default=0.5, ge=0)
    sigma: float = Field(default=0.1, gt=0)
    ranking_mean: RankingMean = RankingMean.PAPER


class Fitting(_Settings):
    """How a network is fitted with AdamW.

    Parameters
    ----------
    batch : patients
    learning_rate, learning_rate_with_encoder : of a head alone; of everything, when gradients reach the encoder
    warm_up_epochs : over which the learning rate rises in a line
    accumulate : batches whose gradients make one step
    patience : epochs without a better validation concordance after which a fit ends; None: never before the last
    centre_features : cached features reach the network less their mean over the training patients' slices
    """

    loss: LossSettings = LossSettings()
    batch: int = Field(default=4, gt=0)
    learning_rate: float = Field(default=1e-3, gt=0)
    learning_rate_with_encoder: float = Field(default=1e-4, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    epochs: int = Field(default=100, gt=0)
    warm_up_epochs: int = Field(default=5, ge=0)
    schedule: Schedule = Schedule.COSINE
    accumulate: int = Field(default=1, gt=0)
    patience: int | None = Field(default=None, gt=0)
    precision: Precision = Precision.FLOAT32
    centre_features: bool = True


class Training(_Settings):
    """Everything that decides what a trained model computes, but its patients and the seed."""

    network: NetworkConfig
    preprocessing: Preprocessing = Preprocessing()
    lungs: LungMethod
    fitting: Fitting

    @classmethod
    def demonstration(cls) -> Self:
        """Settings that learn from a few hundred phantoms, with a backbone and a segmentation that need no download.

        The paper's own settings overfit on them (measured: C-td 0.46-0.58 where the true size scores 0.8). Features
        that are centred, shrunk and half dropped, most slices out of sight, a strong weight decay and a soft ranking
        loss that does not depend on the batch do not (measured in five-fold validation on 400 phantoms: C-td 0.82-0.88
        where the true size scores 0.85).
        """
        return cls(
            network=NetworkConfig(
                encoder=EncoderName.EFFICIENTNET_LITE0,
                stem_channels=1,
                deephit=DeepHitConfig(dropout=0.0),
                feature_scale=0.3,
                feature_dropout=0.5,
                slice_dropout=0.7,
            ),
            lungs=LungMethod.THRESHOLD,
            fitting=Fitting(
                loss=LossSettings(beta=2.0, sigma=0.5, ranking_mean=RankingMean.PAIRS),
                batch=16,
                learning_rate=3e-3,
                weight_decay=2.0,
                epochs=50,
                warm_up_epochs=0,
                schedule=Schedule.COSINE,
            ),
        )
