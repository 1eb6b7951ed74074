"""The paper's questions as named lists of systems, all trained on the same folds.

A system that several questions share has one name and is trained once.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from survnode.model.net.encoders import Freezing
from survnode.model.net.fusion import Fusion
from survnode.model.net.heads import HeadName
from survnode.model.net.network import NetworkConfig
from survnode.model.net.trunks import EncoderName
from survnode.model.net.volumetric import VolumeEncoderName, VolumetricConfig, medical_slice_transformer

Network = NetworkConfig | VolumetricConfig

REPEATS = 6  # of question 4, with seeds of their own

STRATEGIES = {
    Freezing.TRUNK: "feature extractor",
    Freezing.HALF: "half of the layers frozen",
}
RGB_ONLY = frozenset({EncoderName.MEDVIT_SMALL, EncoderName.DINOV2_S})  # whose published costs are those of RGB


class Population(StrEnum):
    """Which cohort a system is trained or scored on."""

    FIRST = "first"  # the large cohort: LUNG1
    SECOND = "second"  # the small one: CLARO


class BesideImage(StrEnum):
    """What is known of patients beside their image."""

    CLINICAL = "clinical"  # the columns of the cohort's own table that its file names
    FEATURES = "features"  # the table that --features names


class Start(StrEnum):
    """What a system starts from."""

    PRETRAINED = "pretrained"  # the encoder's published weights and a new head
    TRANSFER = "transfer"  # each fold from the same fold of the reference system on the first cohort
    ZERO_SHOT = "zero-shot"  # the reference system's best fold as it is: nothing trains


@dataclass(frozen=True)
class System:
    """A row of a table.

    Parameters
    ----------
    name : of its folder
    title, strategy : for people
    beside, sees_image : what the network sees besides the image, or instead of it
    repeat : which of the repeats of question 4; it moves the seed of folds and training
    note : what a reader of its row must know
    """

    name: str
    title: str
    network: Network
    strategy: str = STRATEGIES[Freezing.TRUNK]
    cohort: Population = Population.FIRST
    start: Start = Start.PRETRAINED
    beside: BesideImage | None = None
    sees_image: bool = True
    repeat: int = 0
    note: str = ""


@dataclass(frozen=True)
class Experiment:
    """A question of the paper.

    Parameters
    ----------
    shows : which table or figure of the paper it remakes
    systems : the first is the one that the others are compared with
    trains : False: its systems are counted, and nothing is trained for it
    """

    name: str
    question: str
    shows: str
    systems: tuple[System, ...]
    trains: bool = True

    @property
    def reference(self) -> System:
        """What the others are compared with."""
        return self.systems[0]


ENCODER_TITLES = {
    EncoderName.EFFICIENTNET_B0: "EfficientNet-B0",
    EncoderName.EFFICIENTNET_LITE0: "EfficientNet-Lite0",
    EncoderName.VGG16: "VGG16",
    EncoderName.RESNET50: "ResNet50",
    EncoderName.ALEXNET: "AlexNet",
    EncoderName.VIT_B_16: "ViT-B/16",
    EncoderName.MEDVIT_SMALL: "MedViT-small",
    EncoderName.DINOV2_S: "DINOv2-S",
}
FUSION_TITLES = {
    Fusion.ATTENTION: "soft attention",
    Fusion.ATTENTION_MLP: "soft attention with a hidden layer",
    Fusion.MEAN: "mean",
    Fusion.CLASS_TOKEN: "class-token self-attention",
}
VOLUME_TITLES = {
    VolumeEncoderName.RESNET3D_18: ("ResNet3D-18 (Kinetics)", ""),
    VolumeEncoderName.DENSENET3D_121: (
        "DenseNet3D-121",
        "Starts from random weights: nobody publishes any. Its first convolution passes every slice, as in the released"
        " code.",
    ),
    VolumeEncoderName.DENSENET3D_121_MONAI: (
        "DenseNet3D-121 as MONAI has it",
        "Starts from random weights. Its first convolution passes every other slice.",
    ),
}
HEAD_TITLES = {
    HeadName.DEEPHIT: "DeepHit",
    HeadName.LOGISTIC_HAZARD: "logistic hazard (Nnet-survival)",
    HeadName.PMF: "probability mass",
    HeadName.MTLR: "MTLR",
    HeadName.PC_HAZARD: "piecewise constant hazard",
    HeadName.COX: "Cox (DeepSurv)",
}
TABLE_TITLES = {BesideImage.CLINICAL: "Clinical variables", BesideImage.FEATURES: "Table of features"}
SHARED_SETTINGS = ("deephit", "n_bins", "feature_scale", "feature_dropout", "slice_dropout")
TRANSFERS = (
    ("claro-transfer", "From the first cohort", Start.TRANSFER),
    ("claro-scratch", "From scratch", Start.PRETRAINED),
)
ENCODERS = (  # of question 3
    EncoderName.EFFICIENTNET_B0,
    EncoderName.VGG16,
    EncoderName.RESNET50,
    EncoderName.ALEXNET,
    EncoderName.VIT_B_16,
    EncoderName.MEDVIT_SMALL,
)


def slice_system(
    encoder: EncoderName, fusion: Fusion = Fusion.ATTENTION, freezing: Freezing = Freezing.TRUNK
) -> System:
    """A slice encoder with a fusion."""
    network = NetworkConfig(
        encoder=encoder, stem_channels=3 if encoder in RGB_ONLY else 1, freezing=freezing, fusion=fusion
    )
    title = f"{ENCODER_TITLES[encoder]}, {FUSION_TITLES[fusion]}"
    return System(f"{encoder}-{fusion}{_suffix(freezing)}", title, network, STRATEGIES[freezing])


def head_system(reference: System, head: HeadName) -> System:
    """The reference with another head."""
    network = reference.network.model_copy(update={"head": head})
    return replace(
        reference, name=f"{reference.name}-{head}", title=f"{reference.title}, {HEAD_TITLES[head]}", network=network
    )


def beside_systems(reference: System) -> tuple[System, ...]:
    """What is known beside the image alone, and with the image."""
    alone = tuple(
        replace(reference, name=f"{known}-alone", title=TABLE_TITLES[known], beside=known, sees_image=False)
        for known in BesideImage
    )
    joined = tuple(
        replace(
            reference,
            name=f"{reference.name}-{known}",
            title=f"{reference.title}, with {TABLE_TITLES[known].lower()}",
            beside=known,
        )
        for known in BesideImage
    )
    return alone + joined


def slice_transformer(freezing: Freezing) -> System:
    """The Medical Slice Transformer."""
    network = medical_slice_transformer(freezing)
    return System(f"mst{_suffix(freezing)}", "Medical Slice Transformer (DINOv2-S)", network, STRATEGIES[freezing])


def volume_system(encoder: VolumeEncoderName, freezing: Freezing) -> System:
    """A 3D network."""
    title, note = VOLUME_TITLES[encoder]
    network = VolumetricConfig(encoder=encoder, freezing=freezing)
    return System(f"{encoder}{_suffix(freezing)}", title, network, STRATEGIES[freezing], note=note)


def transfer_systems(reference: System) -> tuple[System, ...]:
    """The reference network on the second cohort: from the first, from scratch, and as it is."""
    second = replace(reference, cohort=Population.SECOND)
    trained = (
        replace(second, name=f"{name}-{repeat}", title=title, start=start, repeat=repeat)
        for name, title, start in TRANSFERS
        for repeat in range(REPEATS)
    )
    return *trained, replace(second, name="claro-zero-shot", title="Zero-shot", start=Start.ZERO_SHOT)


def experiments(encoder: EncoderName = EncoderName.EFFICIENTNET_B0) -> dict[str, Experiment]:
    """The paper's questions by name, with ``encoder`` where the paper has EfficientNet-B0."""
    reference = slice_system(encoder)
    against_3d = (
        reference,
        slice_system(encoder, freezing=Freezing.HALF),
        *(volume_system(volume, freezing) for volume in VolumeEncoderName for freezing in STRATEGIES),
        *(slice_transformer(freezing) for freezing in STRATEGIES),
    )
    fusions = (reference, *(slice_system(encoder, fusion) for fusion in (Fusion.MEAN, Fusion.CLASS_TOKEN)))
    encoders = _distinct((reference, *map(slice_system, ENCODERS)))
    heads = (reference, *(head_system(reference, head) for head in HeadName if head is not HeadName.DEEPHIT))
    counted = _distinct(against_3d + fusions + encoders)
    return {
        experiment.name: experiment
        for experiment in (
            Experiment("q1-3d", "How does the method compare to 3D networks?", "Table 3", against_3d),
            Experiment("q2-fusion", "How effective is the soft attention?", "Table 4", fusions),
            Experiment("q3-encoders", "Is the method adaptable to other 2D encoders?", "Table 5", encoders),
            Experiment(
                "q4-transfer", "What does transfer to a small cohort bring?", "Table 6", transfer_systems(reference)
            ),
            Experiment("q5-cost", "What does the method cost?", "Figure 3", counted, trains=False),
            Experiment("q6-heads", "What does the survival head matter?", "Heads", heads),
            Experiment(
                "q7-beside-the-image",
                "What does the image add to what is known beside it?",
                "Beside the image",
                (reference, *beside_systems(reference)),
            ),
            Experiment("attention", "Where does the model look?", "Figures 4 and 5", (reference,)),
        )
    }


def needed(chosen: Iterable[Experiment], reference: System) -> tuple[System, ...]:
    """The systems that these experiments train, each once, and first whatever another one starts from."""
    systems = [system for experiment in chosen if experiment.trains for system in experiment.systems]
    if any(system.start is not Start.PRETRAINED for system in systems):
        systems.insert(0, reference)
    return _distinct(systems)


def with_settings_of(network: Network, base: Network) -> Network:
    """``network`` with the head, the horizon and the treatment of features of a preset's network.

    What a preset takes for a feature extractor is one here too, and its head stands where a system asks for no other
    than DeepHit.
    """
    fields = type(network).model_fields.keys() & type(base).model_fields.keys()
    shared = {name: getattr(base, name) for name in SHARED_SETTINGS if name in fields}
    freezing = base.freezing if network.freezing is Freezing.TRUNK else network.freezing
    head = base.head if network.head is HeadName.DEEPHIT else network.head
    return network.model_copy(update={**shared, "freezing": freezing, "head": head})


def _distinct(systems: Iterable[System]) -> tuple[System, ...]:
    return tuple({system.name: system for system in systems}.values())


def _suffix(freezing: Freezing) -> str:
    return "" if freezing is Freezing.TRUNK else f"-{freezing}"
