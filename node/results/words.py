"""What the results say in words: plain, in ASCII, without a patient's identity."""

from collections.abc import Iterator

from survnode.model.errors import Reason
from survnode.model.prediction import ModelIdentity
from survnode.node.results.findings import DEMONSTRATION, RESEARCH_USE, Findings
from survnode.node.results.identity import Run

LINE = "\r\n"  # as DICOM text wants it

NOT_FOR_CARE = (
    f"{RESEARCH_USE}. Not a medical device: not for diagnosis, prognosis or treatment of a patient. "
    "Not verified by a physician."
)


def summary(findings: Findings) -> str:
    """What a radiologist reads: survival by month, the members' spread, the median, the cohort, the slices."""
    return LINE.join([*_survival(findings), *_comparison(findings), *_attention(findings)])


def refusal(reason: Reason, detail: str) -> str:
    """Why there are no numbers."""
    lines = ["Not analysed: no survival was predicted for this study.", f"Reason: {reason.sentence}"]
    return LINE.join([*lines, detail] if detail else lines)


def warnings(model: ModelIdentity | None) -> Iterator[str]:
    """What a reader must know before anything is used."""
    yield NOT_FOR_CARE
    if model is not None and model.demonstration:
        yield f"{DEMONSTRATION}."


def comments(run: Run, model: ModelIdentity | None) -> Iterator[str]:
    """What a reader must know before the numbers are used."""
    yield from warnings(model)
    if run.predecessor is not None:
        yield f"Version {run.version}: replaces the earlier report that is named as its predecessor."


def parameters(model: ModelIdentity, n_bins: int, members: int) -> Iterator[str]:
    """What computed the numbers, one fact a line."""
    yield f"weights sha256: {model.weights_sha256}"
    yield f"encoder: {model.encoder}, sha256: {model.encoder_sha256}"
    yield f"lungs: {model.lungs}"
    yield f"preprocessing: {model.preprocessing}"
    yield f"time grid: {n_bins} bins of one month (30.4375 days) and survival beyond them"
    yield f"members of the ensemble: {members}"
    yield f"training cohort: {model.cohort}"


def median(findings: Findings) -> str:
    """The predicted median survival."""
    if findings.median_months is None:
        return f"beyond {findings.horizon} months"
    return f"{findings.median_months:.1f} months"


def _survival(findings: Findings) -> Iterator[str]:
    yield "Predicted overall survival after this CT"
    for month in findings.milestones:
        spread = findings.spread_at(month)
        members = "" if spread is None else f"   members {spread[0]:6.2f} - {spread[1]:6.2f} %"
        yield f"  {month:2d} months: {findings.survival_at(month):6.2f} %{members}"
    yield f"Median survival: {median(findings)}"
    if (spread := findings.spread_at(findings.horizon)) is not None:
        yield (
            f"The {len(findings.member_survival)} members of the ensemble lie between {spread[0]:.2f} and "
            f"{spread[1]:.2f} % at {findings.horizon} months; their mean is reported."
        )


def _comparison(findings: Findings) -> Iterator[str]:
    if findings.cohort_rank is not None:
        yield (
            f"Predicted survival at {findings.horizon} months is higher than in {findings.cohort_rank:.0f} % "
            f"of the training cohort ({findings.model.cohort})."
        )


def _attention(findings: Findings) -> Iterator[str]:
    yield "Slices of the highest attention"
    for item in findings.slices:
        yield f"  rank {item.rank}: {item.weight:6.2f} %   {item.name}"


def all_slices(findings: Findings) -> str:
    """What the weights of all slices are."""
    return LINE.join([
        f"Attention of each of the {len(findings.attention)} slices of the CT, feet to head.",
        "0.00 % stands also where the model did not look.",
    ])  # fmt: skip


def withdrawal() -> str:
    """What becomes of the results that a rejection note names."""
    return f"These AI results are withdrawn and are not to be used ({RESEARCH_USE.lower()})."


def key_objects(findings: Findings) -> str:
    """What the key images are."""
    lines = [f"AI attention, rank 1 to {len(findings.slices)} ({RESEARCH_USE.lower()})"]
    lines += [f"rank {item.rank}: {item.weight:.2f} %, {item.name}" for item in findings.slices]
    if findings.model.demonstration:
        lines.append(f"{DEMONSTRATION}.")
    return LINE.join(lines)
