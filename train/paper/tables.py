"""The paper's Tables 1 and 3 to 6, and the costs of question 5, as values: how they look is `report`'s."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from survnode.model.timegrid import TimeGrid
from survnode.train.cohorts.cohort import Cohort
from survnode.train.measure.concordance import concordance_td
from survnode.train.measure.evaluate import Estimate, Evaluation, evaluate
from survnode.train.measure.figures import concordances_by_fold
from survnode.train.measure.power import ONE_TRAINING
from survnode.train.measure.repeats import REPEATED, Training, repeated_concordance
from survnode.train.measure.resampling import cohort_itself, mean_of
from survnode.train.measure.significance import permutation_test, wilcoxon_signed_rank
from survnode.train.paper import published
from survnode.train.paper.cost import Cost
from survnode.train.paper.experiments import REPEATS, Experiment, Start, System
from survnode.train.paper.results import Result
from survnode.train.runs.baselines import Compared

Cell = str | int | float | Estimate | None

NOT_RUN = "Not run yet."
REMARK = "remark"


@dataclass(frozen=True)
class Table:
    """A table with its remarks.

    Parameters
    ----------
    name : of its file
    header : the last column is words
    rows : each as long as the header; None where a number is not known
    """

    name: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Findings:
    """What there is to report.

    Parameters
    ----------
    results : of the systems that ran, by name
    reasons : why the others have none, by name
    baselines : what is predicted without a network, on the folds of the first system
    """

    results: Mapping[str, Result]
    reasons: Mapping[str, str]
    baselines: tuple[Compared, ...] = ()

    def why(self, system: System) -> str:
        """What a reader of the system's row must know."""
        result = self.results.get(system.name)
        words = self.reasons.get(system.name, NOT_RUN) if result is None else result.remark
        return " ".join(sentence for sentence in (system.note, words) if sentence)

    def remark(self, systems: Iterable[System]) -> str:
        """What a reader must know of a table or figure of these systems; empty if there is nothing."""
        ran = (self.results[system.name] for system in systems if system.name in self.results)
        return " ".join(dict.fromkeys(result.remark for result in ran if result.remark))


def cohort_table(cohorts: Iterable[Cohort]) -> Table:
    """Table 1: outcomes at two years, by the rule that the folds are stratified by."""
    header = "cohort", "patients", "died within two years", "not seen to die", "left out", "published"
    rows = tuple(
        (
            cohort.name,
            len(cohort.patients),
            int(cohort.died_within_two_years.sum()),
            int((~cohort.died_within_two_years).sum()),
            len(cohort.exclusions),
            published.COHORTS.get(cohort.name, "not in the paper"),
        )
        for cohort in cohorts
    )
    return Table("table-1", "Table 1: two-year outcomes", header, rows)


COMPARISON = (
    "system", "strategy", "patients", "C-td, mean of folds", "SD of folds", "C-td, pooled", "AUC at 24 months",
    "integrated Brier", "C-td as released", "difference", "p", "published C-td", "source", REMARK,
)  # fmt: skip


def comparison_table(experiment: Experiment, findings: Findings) -> Table:
    """Tables 3 to 5: each system, and the test of its difference to the first one."""
    reference = findings.results.get(experiment.reference.name)
    rows = tuple(_comparison_row(system, reference, findings) for system in experiment.systems)
    rows += tuple(map(_baseline_row, findings.baselines))
    title = f"{experiment.shows}: {experiment.question}"
    notes = (
        "Difference: less the first system's mean of folds. p: 5,000 swaps of the two systems' predictions patient by "
        "patient, two-sided, pairs within folds.",
        "AUC and Brier scores are means of the folds, too. The pooled figure is biased downwards: it stands here for"
        " comparison with what others publish.",
        ONE_TRAINING,
        *(() if reference is None else _power(reference)),
        *published.REMARKS.get(experiment.name, ()),
        published.NOISE,
    )
    return Table(experiment.shows.lower().replace(" ", "-"), title, COMPARISON, rows, notes)


def _power(reference: Result) -> tuple[str, ...]:
    power = measure(reference).power
    return () if power is None else (power.sentence,)


def _comparison_row(system: System, reference: Result | None, findings: Findings) -> tuple[Cell, ...]:
    known = published.CTD.get(system.name, published.NOT_PUBLISHED)
    measured: tuple[Cell, ...] = (None,) * 9
    result = findings.results.get(system.name)
    if result is not None:
        measured = (*_measured(measure(result)), *_tested(result, reference))
    return system.title, system.strategy, *measured, known.ctd, known.source, findings.why(system)


def _baseline_row(compared: Compared) -> tuple[Cell, ...]:
    """What is predicted without any network, beside the first system."""
    measured: tuple[Cell, ...] = (None,) * 9
    remark = f"None: {compared.absent}"
    if compared.evaluation is not None:
        measured = (*_measured(compared.evaluation), compared.difference, compared.p)
        remark = (
            f"{compared.patients} patients had all values." if compared.patients < compared.evaluation.patients else ""
        )
    known = published.WITHOUT_NETWORK.get(compared.name, published.NOT_PUBLISHED)
    return compared.title, "no network", *measured, known.ctd, known.source, remark


@lru_cache(maxsize=64)
def measure(result: Result) -> Evaluation:
    """All measures of a system's predictions; two seconds for 415 patients, so each result is measured once."""
    return evaluate(result.time_months, result.event, result.cif, folds=result.folds)


def _measured(evaluation: Evaluation) -> tuple[Cell, ...]:
    metrics = evaluation.metrics
    by_fold = [value for value in evaluation.ctd_by_fold if value is not None]
    return (
        evaluation.patients,
        evaluation.lead,
        float(np.std(by_fold, ddof=1)) if len(by_fold) > 1 else None,
        metrics["ctd"],
        metrics.get("auc_24"),
        metrics["integrated_brier"],
        metrics.get("ctd_released"),
    )


def _tested(result: Result, reference: Result | None) -> tuple[Cell, Cell]:
    """The difference to the reference and its p, on the patients that both predicted."""
    if reference is None or reference is result:
        return None, None
    both = tuple(patient for patient in reference.patients if patient in set(result.patients))
    ours, theirs = result.of(both), reference.of(both)
    test = permutation_test(
        ours.cif, theirs.cif, ours.time_months, ours.event, np.random.default_rng(0), folds=theirs.folds
    )
    return test.difference, test.p


TRANSFER = (
    "start", "repeats", "C-td, mean of folds and repeats", "lowest repeat", "highest repeat", "C-td, pooled",
    "published C-td", REMARK,
)  # fmt: skip
TITLES = {
    Start.TRANSFER: "each fold from the same fold's model of the first cohort",
    Start.PRETRAINED: "from scratch",
    Start.ZERO_SHOT: "zero-shot: the best fold's model of the first cohort as it is",
}
PUBLISHED_AS = {
    Start.TRANSFER: "claro-transfer",
    Start.PRETRAINED: "claro-scratch",
    Start.ZERO_SHOT: "claro-zero-shot",
}


def transfer_table(experiment: Experiment, findings: Findings) -> Table:
    """Table 6: each repeat by the mean of its folds, and Wilcoxon's test of the repeats' differences."""
    by_start = {start: [system for system in experiment.systems if system.start is start] for start in TITLES}
    rows = tuple(_transfer_row(start, systems, findings) for start, systems in by_start.items())
    repeats = REPEATED.format(repeats=REPEATS)
    notes = (_wilcoxon(by_start, findings), repeats, *published.REMARKS[experiment.name], published.NOISE_SMALL)
    return Table("table-6", f"Table 6: {experiment.question}", TRANSFER, rows, notes)


def _transfer_row(start: Start, systems: Sequence[System], findings: Findings) -> tuple[Cell, ...]:
    known = published.CTD.get(PUBLISHED_AS[start], published.NOT_PUBLISHED)
    ran = [findings.results[system.name] for system in systems if system.name in findings.results]
    reasons = dict.fromkeys(findings.why(system) for system in systems)
    remark = " ".join(reason for reason in reasons if reason)
    if not ran:
        return TITLES[start], 0, None, None, None, None, known.ctd, remark
    values = [mean_of_folds(result) for result in ran]
    together = float(np.mean([pooled(result) for result in ran]))
    return TITLES[start], len(ran), over_repeats(ran), min(values), max(values), together, known.ctd, remark


def over_repeats(ran: Sequence[Result]) -> Estimate:
    """The mean of folds and repeats with its interval, on the patients whom every repeat predicted."""
    both = tuple(patient for patient in ran[0].patients if all(patient in set(result.patients) for result in ran))
    aligned = [result.of(both) for result in ran]
    trainings = [Training(result.cif, result.folds) for result in aligned]
    return repeated_concordance(aligned[0].time_months, aligned[0].event, trainings)


def mean_of_folds(result: Result) -> float:
    """The mean of the folds' concordances; NaN where it is not defined."""
    folds = concordances_by_fold(result.time_months, result.event, result.cif, result.folds)
    itself = cohort_itself(len(result.patients))
    return float(mean_of(fold(itself) for fold in folds)[0])


def pooled(result: Result) -> float:
    """The concordance of all test folds together."""
    return concordance_td(TimeGrid(result.cif.shape[1]), result.cif, result.time_months, result.event)


def _wilcoxon(by_start: Mapping[Start, Sequence[System]], findings: Findings) -> str:
    values = [
        {it.repeat: mean_of_folds(findings.results[it.name]) for it in by_start[start] if it.name in findings.results}
        for start in (Start.TRANSFER, Start.PRETRAINED)
    ]
    common = sorted(values[0].keys() & values[1].keys())
    if not common:
        return "No repeat ran both with and without transfer: nothing to test."
    test = wilcoxon_signed_rank(np.array([values[0][repeat] - values[1][repeat] for repeat in common]))
    return (
        f"Transfer against scratch, Wilcoxon signed-rank over {test.n} repeats: W = {test.statistic:g}, "
        f"p = {test.p:.5f}, r = {test.r:.3f}."
    )


COSTS = (
    "system", "strategy", "parameters", "of them trained", "encoder and embedding", "GFLOPs a slice",
    "GFLOPs at 72 slices", "known parameters", "known GFLOPs a slice", "known GFLOPs at 72", "source",
)  # fmt: skip


def cost_table(costs: Mapping[System, Cost | str]) -> Table:
    """Question 5: what each system costs, or why it cannot be counted, beside what is known."""
    title = "Question 5: cost at images of 224 x 224, a multiply-add counted as two"
    rows = tuple(_cost_row(system, cost) for system, cost in costs.items())
    return Table("cost", title, COSTS, rows, published.COST_REMARKS)


def _cost_row(system: System, cost: Cost | str) -> tuple[Cell, ...]:
    known = published.COSTS.get(system.network.encoder, published.PublishedCost(None, None, None, ""))
    counted: tuple[Cell, ...] = (None,) * 5
    if isinstance(cost, Cost):
        per_slice = None if cost.flops_per_slice is None else cost.flops_per_slice / 1e9
        counted = cost.parameters, cost.trained, cost.encoder_parameters, per_slice, cost.flops / 1e9
    reason = cost if isinstance(cost, str) else known.source
    beside = None if known.parameters is None else round(known.parameters), known.gflops_per_slice, known.gflops_at_72
    return system.title, system.strategy, *counted, *beside, reason


def write_csv(table: Table, path: Path) -> None:
    """Write a table in full precision; an estimate takes three columns: itself, low and high."""
    wide = [any(isinstance(row[place], Estimate) for row in table.rows) for place in range(len(table.header))]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([name for names in map(_names, table.header, wide) for name in names])
        for row in table.rows:
            writer.writerow([value for values in map(_values, row, wide) for value in values])


def _names(title: str, wide: bool) -> tuple[str, ...]:
    return (title, f"{title}, low", f"{title}, high") if wide else (title,)


def _values(cell: Cell, wide: bool) -> tuple[str | float | None, ...]:
    if isinstance(cell, Estimate):
        return cell.value, cell.low, cell.high
    return (cell, None, None) if wide else (cell,)
