"""What the authors report, and where; what nobody knows is None.

The tables of the paper's text at hand are lost, so most rows of Tables 3 to 5 have no number here. No row is filled by
guessing: a number that is known of a group of systems only, such as "the best 3D network", stands in a remark.
"""

from dataclasses import dataclass

PAPER = "Paolo et al., Health Inf Sci Syst 14:20 (2026), doi 10.1007/s13755-025-00404-z"
CONFERENCE = "the authors' conference abstract, doi 10.3233/SHTI260119"
COUNTED = "counted by other means"

NOISE = (
    "With 415 patients the standard deviation of a ten-fold mean is 0.018, and of the difference of two equally good "
    "models 0.025: differences under 0.04 prove nothing at n = 415."
)
NOISE_SMALL = (
    "With 119 patients chance alone moves a concordance about twice as far as with 415. Repeats share their patients: "
    "that all of them agree says nothing of other patients."
)

# Table 1 is lost; these follow from the public clinical table by the released rule.
COHORTS = {
    "lung1": "415 patients: 251 died within two years, 164 not (by the released rule); 7 left out",
    "claro": "119 patients; the rest is not known",
}


@dataclass(frozen=True)
class Published:
    """A time-dependent concordance and its source; None with the reason why it is not known."""

    ctd: float | None = None
    source: str = "table lost"


NOT_PUBLISHED = Published(source="not in the paper")
LOST = (
    "efficientnet_b0-attention-half", "resnet3d_18", "resnet3d_18-half", "densenet3d_121", "densenet3d_121-half",
    "mst", "mst-half", "efficientnet_b0-mean", "efficientnet_b0-class_token", "vgg16-attention", "resnet50-attention",
    "alexnet-attention", "vit_b_16-attention", "medvit_small-attention",
)  # fmt: skip
CTD: dict[str, Published] = {
    **dict.fromkeys(LOST, Published()),
    "efficientnet_b0-attention": Published(0.584, "paper, abstract"),
    "claro-transfer": Published(0.579, "conference abstract"),
    "claro-scratch": Published(0.503, "conference abstract"),
    "claro-zero-shot": Published(0.5608, "paper, question 4"),
}

OTHERS = "not the paper: LUNG1's tables and contours, ten folds x 5 seeds"
WITHOUT_NETWORK = {"age_and_stage": Published(0.537, OTHERS), "tumour_volume": Published(0.598, OTHERS)}

REMARKS: dict[str, tuple[str, ...]] = {
    "q1-3d": (
        f"Published: ResNet3D-18 about 0.507, which is 0.077 below soft attention ({CONFERENCE}); which of its two "
        "strategies that is, is not said.",
        "Published tests: better than every 3D network, not different from itself with half of the layers frozen "
        "(5,000 permutations; the p are lost).",
    ),
    "q2-fusion": (
        f"Published: the next best fusion about 0.579, which is 0.005 below soft attention ({CONFERENCE}); which of "
        "the two that is, is not said.",
        "Published tests: neither difference is significant.",
    ),
    "q3-encoders": ("Published: every other encoder is below EfficientNet-B0 and above the 3D networks.",),
    "q4-transfer": (
        "Published: Wilcoxon signed-rank over six repeats W = 0, p = 0.03125, r = 0.899. With six pairs no smaller p "
        "can be reached.",
        "CLARO is private: 119 patients, stage III.",
    ),
    "attention": ("Published: basal slices receive the most attention (Fig 4).",),
}


@dataclass(frozen=True)
class PublishedCost:
    """Parameters with an embedding of 256, and floating point operations of the encoder on images of 224 x 224."""

    parameters: float | None
    gflops_per_slice: float | None
    gflops_at_72: float | None
    source: str


# One channel, but MedViT and DINOv2 three; a multiply-add counts as two.
COSTS: dict[str, PublishedCost] = {
    "efficientnet_b0": PublishedCost(4_334_908, 0.755, 54.3, f"at 72 slices: paper; the rest {COUNTED}"),
    "alexnet": PublishedCost(58_037_184, 1.329, 95.7, COUNTED),
    "resnet50": PublishedCost(24_026_304, 8.018, 577.3, COUNTED),
    "medvit_small": PublishedCost(31.40e6, 11.71, 843, COUNTED),
    "dinov2_s": PublishedCost(21.63e6, 12.25, 882, COUNTED),
    "vgg16": PublishedCost(135_308_224, 30.82, 2219, COUNTED),
    "vit_b_16": PublishedCost(
        85_602_304, 35.0, 2520, "counted by hand: a counter that misses fused attention gets 33.5"
    ),
    "resnet3d_18": PublishedCost(33.28e6, None, 2924.6, "at 72 slices: conference abstract; the rest counted"),
    "densenet3d_121": PublishedCost(11.51e6, None, 295.5, COUNTED),
    "densenet3d_121_monai": PublishedCost(11.51e6, None, 146.7, COUNTED),
}
COST_REMARKS = (
    "The published 2924.6 GFLOPs of ResNet3D-18 are about twice what is counted here (1431, or 1465 with three "
    "channels): its multiply-adds seem to be counted twice over, EfficientNet-B0's 54.3 are not.",
    "The published 328,224 trained parameters of the encoder are the embedding's 327,936 and the 288 of a stem of one "
    "channel, which the released code leaves trainable.",
)

EXAMPLE_PATIENT = "LUNG1-040"  # Figure 5: 57 slices, died in month 19, cumulative incidence 0.61 then
EXAMPLE = "Published (LUNG1-040, 57 slices): cumulative incidence 0.61 at the death in month 19."
