"""`Recipe`: everything that decides what is trained, but patients and seed; validated whole."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from survnode.model.ct.lungs import LungMethod
from survnode.model.ct.preprocess import Preprocessing
from survnode.model.net.encoders import Freezing
from survnode.model.net.network import NetworkConfig
from survnode.model.net.volumetric import VolumetricConfig
from survnode.train.cohorts.clinical import MonthRule, Reading


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
    RESTARTS_BY_EPOCH = "restarts_by_epoch"  # the same, but the rate moves once an epoch


class EqualEpochs(StrEnum):
    """Which of several epochs with the best validation concordance is kept."""

    LAST = "last"
    FIRST = "first"


class StartWeights(StrEnum):
    """What the linear layers behind the encoder start from."""

    PYTORCH = "pytorch"  # PyTorch's own
    XAVIER = "xavier"  # Glorot's uniform weights, and biases of 0


class Turning(StrEnum):
    """How a turned slice is read, and what comes from outside it."""

    BILINEAR = "bilinear"  # with air
    NEAREST = "nearest"  # the nearest pixel, with 0 HU


class Precision(StrEnum):
    """What the network computes in; losses and measures are always in float32 or better."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"  # with its loss scaled


class KeptWeights(StrEnum):
    """The precision of trained weights on disk."""

    SINGLE = "single"
    HALF = "half"  # a checkpoint of half the size


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
    equal_epochs : which is kept
    start_weights : of the linear layers that train from the beginning
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
    equal_epochs: EqualEpochs = EqualEpochs.LAST
    start_weights: StartWeights = StartWeights.PYTORCH
    centre_features: bool = True


class Intensity(StrEnum):
    """How HU become the network's input."""

    WINDOW = "window"  # the preprocessing's window, the same for everybody
    FOLD = "fold"  # standardised by the mean and SD of the training patients' pixels


class Augmentation(_Settings):
    """Random views of slices in training; a volume network turns and flips all slices of a patient as one.

    Parameters
    ----------
    probability : with which a slice is not the plain one
    views : K, how many random views of each slice are kept as features of a frozen encoder
    flip : probability of a horizontal flip in a random view
    degrees : a random view is rotated by an angle between minus and plus this
    turning : how it is read
    """

    probability: float = Field(default=0.2, ge=0, le=1)
    views: int = Field(default=4, gt=0)
    flip: float = Field(default=0.5, ge=0, le=1)
    degrees: float = Field(default=20.0, ge=0, le=180)
    turning: Turning = Turning.BILINEAR


class Recipe(_Settings):
    """Everything that decides what a trained model computes, but its patients and the seed.

    Parameters
    ----------
    weights : what the trained weights are kept, and measured, in
    """

    network: NetworkConfig | VolumetricConfig = NetworkConfig()
    preprocessing: Preprocessing = Preprocessing()
    lungs: LungMethod = LungMethod.LUNGMASK
    intensity: Intensity = Intensity.WINDOW
    months: MonthRule = MonthRule.EXACT
    augmentation: Augmentation = Augmentation()
    fitting: Fitting = Fitting()
    weights: KeptWeights = KeptWeights.SINGLE

    @property
    def frozen(self) -> bool:
        """Whether no gradient reaches the encoder, so that its features can be kept."""
        return self.network.freezing is Freezing.TRUNK

    @property
    def reading(self) -> Reading:
        """How its cohorts are read."""
        return Reading(self.months, self.preprocessing.slice_spacing_mm)

    @property
    def learning_rate(self) -> float:
        """The full learning rate."""
        return self.fitting.learning_rate if self.frozen else self.fitting.learning_rate_with_encoder

    def varied(self, **parts: BaseModel | JsonValue) -> "Recipe":
        """The recipe with other parts: ``recipe.varied(network=VolumetricConfig())``."""
        return self.model_copy(update=parts)
