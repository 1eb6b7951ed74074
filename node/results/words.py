"""What the results say in words: plain, in ASCII, without a patient's identity."""

from collections.abc import Iterable, Iterator
from textwrap import wrap

from survnode.model.ct.coverage import CoverageWarning
from survnode.model.errors import Reason
from survnode.model.likeness import Difference
from survnode.model.prediction import ModelIdentity
from survnode.node.results.findings import DEMONSTRATION, RESEARCH_USE, ReportedFindings
from survnode.node.results.identity import ResultRun
from survnode.node.state.records import CheckState, Completeness

LINE = "\r\n"  # as DICOM text wants it
LINE_CHARS = 92  # viewers do not wrap preformatted text

COUNTS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine", 10: "ten"}
DISAGREE = "the models disagree"
BRIEF = {
    CoverageWarning.CUT_BELOW: "lungs cut off below",
    CoverageWarning.CUT_ABOVE: "lungs cut off above",
    CoverageWarning.SHORT: "lungs shorter than in training",
    CoverageWarning.ONE_LUNG: "one lung is missing",
    CoverageWarning.LUNG_REPLACED: "soft tissue in place of lung",
}
UNLIKE = {Difference.IMAGES: "images unlike those in training", Difference.SCAN: "scan unlike those in training"}

NOT_FOR_CARE = (
    f"{RESEARCH_USE}. Not a medical device: not for diagnosis, prognosis or treatment of a patient. "
    "Not verified by a physician."
)


def headline(findings: ReportedFindings) -> str:
    """What stands above the first number: how sure it is, as a person reads it."""
    demonstration = "; demonstration model: knows nothing of patients" if findings.model.demonstration else ""
    return f"{findings.horizon}-month survival {estimate(findings)} ({RESEARCH_USE.lower()}{demonstration})"


def estimate(findings: ReportedFindings) -> str:
    """The survival at the horizon and how far the models lie apart; `inspection` looks for the same words."""
    survival = f"{alone(findings.survival_at(findings.horizon))}{of_models(findings, findings.horizon)}"
    return f"{survival}, {DISAGREE}" if findings.models_disagree else survival


def of_models(findings: ReportedFindings, month: int) -> str:
    """The range of the members of an ensemble; empty without one."""
    spread = findings.spread_at(month)
    return "" if spread is None else f" ({range_of(len(findings.member_survival), *spread)})"


def least(findings: ReportedFindings) -> str:
    """The lower bound on survival in words, with what stands behind it; empty without one."""
    bound, months = findings.model.lower_bound, findings.least_months
    if bound is None or bound.coverage is None or months is None:
        return ""
    lived = f"{100 * bound.coverage:.0f} % of {bound.patients} patients lived to theirs"
    return f"lower bound ({100 * bound.level:.0f} %): {months:.1f} months; {lived}"


def range_of(models: int, low: float, high: float) -> str:
    """From the lowest to the highest that a member says, percent."""
    return f"{COUNTS.get(models, models)} models: {whole(low)} to {whole(high)} %"


def alone(share: float) -> str:
    """A share in percent, for people: no more digits than it deserves."""
    return f"{whole(share)} %"


def of_cohort(share: float) -> str:
    """Which part of the cohort, percent, a prediction exceeds, to be read after "higher than"."""
    return "almost none" if share < 0.5 else "almost all" if share > 99.5 else alone(share)


def whole(share: float) -> str:
    """The whole number nearest to a share in percent; nobody lives or dies for certain."""
    return "<1" if share < 0.5 else ">99" if share > 99.5 else f"{share:.0f}"


def summary(findings: ReportedFindings) -> str:
    """What a radiologist reads: survival by month, the models' spread, the median, the cohort, the slices."""
    lines = [
        *_analysed(findings),
        *_known(findings),
        *_survival(findings),
        *_comparison(findings),
        *_attention(findings),
    ]
    return _wrapped(lines)


def refusal(reason: Reason, detail: str, completeness: Completeness | None = None) -> str:
    """Why there are no numbers."""
    lines = ["Not analysed: no survival was predicted for this study.", f"Reason: {reason.sentence}"]
    return _wrapped([*lines, *([detail] if detail else []), *received(completeness)])


def received(completeness: Completeness | None) -> Iterator[str]:
    """Whether all images came, one fact a line; nothing where no source was to be asked."""
    if completeness is None:
        return
    number, expected = completeness.received, completeness.expected
    if expected is None:
        unknown = completeness.state is not CheckState.UNANSWERED
        why = "the PACS does not hold them" if unknown else "the PACS did not answer"
        yield f"{number} instances, not checked with the PACS: {why}"
    elif completeness.is_lacking:
        yield f"WARNING: {number} of {expected} instances, checked with the PACS: the others did not come"
    elif number > expected:
        yield f"{number} instances, checked with the PACS, which holds {expected}"
    else:
        yield f"{number} of {expected} instances, checked with the PACS"
    if completeness.others_lacking:
        yield f"WARNING: other CT series of the study that did not come whole: {completeness.others_lacking}"


def _wrapped(lines: Iterable[str]) -> str:
    return LINE.join(part for line in lines for part in wrap(line, LINE_CHARS, subsequent_indent="    "))


def brief(findings: ReportedFindings) -> Iterator[str]:
    """What a reader must know of the number, in the few words that a picture has room for."""
    yield from (BRIEF[warning] for warning in findings.series.coverage.warnings)
    if findings.series.completeness is not None and findings.series.completeness.is_lacking:
        yield f"{findings.series.completeness.received} of {findings.series.completeness.expected} images"
    yield from (UNLIKE[it.difference] for it in findings.unlike)
    if findings.models_disagree:
        yield DISAGREE


def warnings(model: ModelIdentity | None) -> Iterator[str]:
    """What a reader must know before anything is used."""
    yield NOT_FOR_CARE
    if model is not None and model.demonstration:
        yield f"{DEMONSTRATION}."


def comments(run: ResultRun, model: ModelIdentity | None) -> Iterator[str]:
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
    yield f"models in the ensemble: {members}"
    yield f"training cohort: {model.cohort}"


def alive(month: int, survival: float) -> str:
    """The predicted survival at ``month``, percent; `inspection` looks for the same words."""
    return f"{month:2d} months: {alone(survival):>5}"


def weighed(rank: int, weight: float) -> str:
    """The weight of a ranked slice, percent; `inspection` looks for the same words."""
    return f"rank {rank}: {weight:5.1f} %"


def capture(rank: int, of: int, weight: float) -> str:
    """What a capture says of itself; `inspection` looks for the same words."""
    return f"rank {rank} of {of}; weight {weight:.1f} %"


def curve(month: int, survival: float) -> str:
    """What the curve page says of itself; `inspection` looks for the same words."""
    return f"AI predicted overall survival at {month} months: {alone(survival)}"


def median(findings: ReportedFindings) -> str:
    """The predicted median survival."""
    if findings.median_months is None:
        return f"beyond {findings.horizon} months"
    return f"{findings.median_months:.1f} months"


def _analysed(findings: ReportedFindings) -> Iterator[str]:
    yield f"Analysed: {findings.series.label}"
    yield f"  {findings.series.amount}, {findings.series.coverage.height_mm:.0f} mm from base to apex"
    yield from (f"  {line}" for line in received(findings.series.completeness))
    yield from (f"  WARNING: {warning.sentence}" for warning in findings.series.coverage.warnings)
    yield from (f"  WARNING: {it.sentence}" for it in findings.unlike)


def _known(findings: ReportedFindings) -> Iterator[str]:
    if findings.known:
        yield "Known beside the images, and used"
        yield from (f"  {value.sentence}" for value in findings.known)


def _survival(findings: ReportedFindings) -> Iterator[str]:
    yield "Predicted overall survival after this CT"
    models = len(findings.member_survival)
    for month in findings.milestones:
        yield f"  {alive(month, findings.survival_at(month))}  {of_models(findings, month)}".rstrip()
    yield f"Median survival: {median(findings)}"
    if models > 1:
        yield f"Each value is the mean of {models} models; the range is that of their predictions."
    if findings.models_disagree:
        yield f"{DISAGREE[0].upper()}{DISAGREE[1:]}: more than on 95 of 100 patients of the training cohort."


def _comparison(findings: ReportedFindings) -> Iterator[str]:
    if findings.cohort_rank is not None:
        share = of_cohort(findings.cohort_rank)
        yield f"At {findings.horizon} months it is higher than in {share} of the training cohort."
    yield f"Training cohort: {findings.model.cohort}"


def _attention(findings: ReportedFindings) -> Iterator[str]:
    yield "Slices of the highest attention"
    for item in findings.slices:
        yield f"  {weighed(item.rank, item.weight)}   {item.name}"


def all_slices(findings: ReportedFindings) -> str:
    """What the weights of all slices are."""
    return LINE.join([
        f"Attention of each of the {len(findings.attention)} slices of the CT, feet to head.",
        "0.00 % stands also where the model did not look.",
    ])  # fmt: skip


def withdrawal() -> str:
    """What becomes of the results that a rejection note names."""
    return f"These AI results are withdrawn and are not to be used ({RESEARCH_USE.lower()})."


def key_objects(findings: ReportedFindings) -> str:
    """What the key images are."""
    lines = [f"AI attention, rank 1 to {len(findings.slices)} ({RESEARCH_USE.lower()})"]
    lines += [f"rank {item.rank}: {item.weight:.1f} %, {item.name}" for item in findings.slices]
    if findings.model.demonstration:
        lines.append(f"{DEMONSTRATION}.")
    return LINE.join(lines)
