"""``model.md``: what a model is, whom it learned from, how good it is and where it must not be trusted."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from survnode.model.net.network import NetworkConfig
from survnode.train.cohorts.cohort import Cohort
from survnode.train.cohorts.deidentified import WORDS
from survnode.train.cohorts.exclusions import Exclusion
from survnode.train.cohorts.folds import Fold
from survnode.train.measure.evaluate import FIGURES, Estimate, Evaluation
from survnode.train.recipe import Recipe

INTENDED_USE = "Research use only: not a medical device, and no basis for any decision about a patient."
LIMITS = (
    "It saw one cohort. Other scanners, protocols, stages and treatments may change its figures: measure it on your own"
    " patients with `survnode evaluate` before you look at a single prediction.",
    "It predicts death of any cause within {horizon} months of the CT, and nothing later.",
    "Attention shows what the model weighed. It is no detection of a tumour.",
)
CT_ALONE = "It sees the CT alone: neither stage nor age, sex, histology or treatment."
NAMED_COLUMNS = 12  # of a table of radiomics the others are counted; the checkpoint names all
OF_FOLDS = (
    "The figures are of patients that the predicting fold never saw. The ensemble of all folds has no such patients in"
    " this cohort: for it they are an estimate."
)


def model_card(
    name: str,
    recipe: Recipe,
    cohort: Cohort,
    evaluation: Evaluation,
    *,
    folds: Sequence[Fold] = (),
    exclusions: Sequence[Exclusion] = (),
    unseen: str | None = None,
) -> str:
    """The model card as Markdown.

    Parameters
    ----------
    cohort : whom the model learned from
    unseen : the name of the other cohort that it was measured on; None: each patient by the fold that tested them
    """
    parts = (
        [f"# {name}", "", INTENDED_USE],
        _model(recipe),
        _cohort(cohort, evaluation, folds, exclusions, unseen),
        _figures(evaluation),
        _calibration(evaluation),
        [
            "## Intended use",
            "",
            INTENDED_USE,
            "For research on prognosis from CT: to compare, to reproduce, to refute.",
        ],
        ["## Limits", "", *(f"- {limit}" for limit in _limits(recipe, unseen, evaluation.horizon_months))],
    )
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _model(recipe: Recipe) -> Iterator[str]:
    network, fitting = recipe.network, recipe.fitting
    yield from ("## Model", "")
    fusion = getattr(network, "fusion", "in 3D")
    yield f"- network: {network.encoder}, frozen: {network.freezing}, fusion: {fusion}, head: {network.head}"
    yield f"- slices: {recipe.preprocessing}; intensity: {recipe.intensity}; lungs: {recipe.lungs}"
    yield f"- fit: {fitting.epochs} epochs, batch {fitting.batch}, rate {recipe.learning_rate:g} ({fitting.schedule})"
    yield "- the epoch with the best validation C-td was kept"


def _limits(recipe: Recipe, unseen: str | None, horizon_months: int) -> tuple[str, ...]:
    limits = (*_seen_by(recipe), *(limit.format(horizon=horizon_months) for limit in LIMITS))
    return limits if unseen is not None else (*limits, OF_FOLDS)


def _seen_by(recipe: Recipe) -> Iterator[str]:
    """What the model takes, and what its figures are of."""
    network = recipe.network
    if not isinstance(network, NetworkConfig) or network.beside is None:
        yield CT_ALONE
        return
    columns = network.beside.columns
    others = len(columns) - NAMED_COLUMNS
    named = f"{', '.join(columns[:NAMED_COLUMNS])}{f' and {others} others' if others > 0 else ''}"
    yield f"It takes {named} {'beside the CT' if network.sees_image else 'and does not see the CT'}, and nothing else."
    if network.needs_beside:
        yield "It says nothing of a patient of whom none of these values is known."
    else:
        yield (
            "Its figures are of patients with their values as the table had them. Without the table they are others:"
            " measure them with `survnode evaluate` and no `--features`."
        )


def _cohort(
    cohort: Cohort, evaluation: Evaluation, folds: Sequence[Fold], exclusions: Sequence[Exclusion], unseen: str | None
) -> Iterator[str]:
    yield from ("## Cohort", "")
    measured = f"{evaluation.deaths} deaths, {evaluation.deaths_by_horizon} within {evaluation.horizon_months} months"
    if unseen is None:
        yield f"{cohort.name}: {len(cohort.patients)} patients, {measured}. sha256 {cohort.sha256}."
    else:
        died = int(cohort.event.sum())
        yield f"{cohort.name}: {len(cohort.patients)} patients, {died} deaths. sha256 {cohort.sha256}."
        tested = f"{evaluation.patients} patients, {measured}"
        yield f"All folds together were measured on another cohort, {unseen}: {tested}."
    if folds and unseen is None:
        yield f"{len(folds)} folds, stratified by death within two years; each patient was tested by one of them."
    elif folds:
        yield f"{len(folds)} folds, each of which left another part out to choose its epoch by."
    if cohort.deidentified:
        yield from ("", f"It was {WORDS}.")
    yield from ("", f"Not in the cohort: {len(exclusions)} patients (see exclusions.csv).")
    yield from _counted(f"{exclusion.reason}: {exclusion.reason.sentence}" for exclusion in exclusions)
    if cohort.warned:
        yield from ("", "In the cohort, with a warning (see exclusions.csv):")
        yield from _counted(f"{it.warning}: {it.warning.sentence}" for it in cohort.warned)


def _counted(reasons: Iterable[str]) -> Iterator[str]:
    """A list of reasons with how often each is given; nothing where there are none."""
    counted = sorted(Counter(reasons).items())
    if counted:
        yield from ("", *(f"- {count} x {reason}" for reason, count in counted))


def _figures(evaluation: Evaluation) -> Iterator[str]:
    yield from ("## Figures", "")
    if evaluation.remark:
        yield from (f"**{evaluation.remark}**", "")
    yield from (f"95 % intervals from {evaluation.resamples} bootstrap resamples of patients.", "")
    yield from ("| figure | value | 95 % interval |", "|---|---|---|")
    for name, words in FIGURES.items():
        if name in evaluation.metrics:
            yield f"| {evaluation.called(words, name)} | {_three(evaluation.metrics[name])} |"
    yield from ("", *(f"- {sentence}" for sentence in evaluation.sentences))
    if evaluation.ctd_by_fold:
        yield from ("", f"C-td by fold: {', '.join(_shown(value) for value in evaluation.ctd_by_fold)}.")
    difference = evaluation.log_rank
    yield from ("", f"Log-rank between {len(evaluation.risk_groups)} risk groups: p = {difference.p:.3g}.")


def _calibration(evaluation: Evaluation) -> Iterable[str]:
    yield from (f"## Calibration at {evaluation.horizon_months} months", "")
    yield from ("| patients | predicted survival | observed (Kaplan-Meier) | 95 % interval |", "|---|---|---|---|")
    for point in evaluation.calibration:
        yield f"| {point.patients} | {point.predicted:.3f} | {_three(point.observed)} |"
    test = evaluation.d_calibration
    yield from ("", f"D-calibration: chi-squared {test.statistic:.2f}, p = {test.p:.3g} (small: not calibrated).")


def _three(estimate: Estimate) -> str:
    """Value and interval as two cells."""
    return f"{_shown(estimate.value)} | {_shown(estimate.low)} to {_shown(estimate.high)}"


def _shown(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3f}"
