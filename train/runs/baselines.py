"""What is predicted without the network, on the folds of a run: whoever trains one sees whether it adds anything.

Each is a Cox model that a fold fits on its training patients: age and stage, the lungs' volume, the tumour's volume and
longest axis where somebody drew it, and the encoder's features, pooled over the slices, with a ridge that the fold's
validation patients choose. A value that is missing is the training patients' mean, with a column that says so.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from survnode.model.timegrid import TimeGrid
from survnode.train.cohorts.folds import Fold
from survnode.train.fit.cox import CoxModel, fit_cox
from survnode.train.fit.files import write_whole
from survnode.train.measure.concordance import concordance_td
from survnode.train.measure.evaluate import Evaluation, evaluate
from survnode.train.measure.significance import permutation_test
from survnode.train.runs.finish import Run
from survnode.train.runs.known import Baseline, known_values
from survnode.train.runs.material import Material

FloatArray = NDArray[np.float64]

BASELINES, OF_PATIENTS = "baselines.json", "baselines.csv"
RIDGE = 1.0  # so that a stage of which nobody died has a finite weight
RIDGES = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5)  # for the features


TITLES = {
    Baseline.AGE_AND_STAGE: "age and stage, Cox",
    Baseline.LUNG_VOLUME: "lung volume, Cox",
    Baseline.TUMOUR_VOLUME: "tumour volume as drawn, Cox",
    Baseline.TUMOUR_AXIS: "tumour's longest axis as drawn, Cox",
    Baseline.FEATURES: "pooled encoder features, ridge Cox",
}


class Compared(BaseModel):
    """A baseline beside the network.

    Parameters
    ----------
    patients : who had all its values; those of the others were filled in
    difference, p : its mean of the folds' C-td less the network's, and the permutation test of it
    absent : why there is none; empty if there is
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Baseline
    patients: int = 0
    evaluation: Evaluation | None = None
    difference: float | None = None
    p: float | None = None
    absent: str = ""

    @property
    def title(self) -> str:
        """For people."""
        return TITLES[self.name]


def compare_baselines(finished: Run) -> list[Compared]:
    """Fit every baseline on the folds of a run that tested its own patients, measure and write it.

    Their predictions lie in ``baselines.csv``, their figures in ``baselines.json`` and at the end of the model card.
    """
    material, out = finished.material, finished.plan.out
    if finished.predictions.fold is None:
        return []
    compared, rows = [], []
    for baseline in Baseline:
        found = known_values(baseline, material)
        if found.values is None:
            compared.append(Compared(name=baseline, absent=found.absent))
            continue
        cif = _predicted(found.values, finished, RIDGES if baseline is Baseline.FEATURES else (RIDGE,))
        compared.append(_compared(baseline, found.values, cif, finished))
        rows += [
            (baseline, who, fold, month, f"{value:.8g}")
            for who, fold, curve in zip(material.cohort.ids, finished.predictions.fold.tolist(), cif, strict=True)
            for month, value in enumerate(curve.tolist(), 1)
        ]
    _write(out, compared, rows)
    return compared


def read_baselines(out: Path) -> list[Compared]:
    """What `compare_baselines` wrote; empty where it did not."""
    path = out / BASELINES
    stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return [Compared.model_validate(each) for each in stored]


def baseline_lines(compared: Sequence[Compared]) -> Iterator[str]:
    """The model card's table."""
    yield from ("", "## Beside what is known without the network", "")
    yield "On the same folds. Difference: of the means of the folds' C-td, less the network's; p: 5,000 permutations."
    yield from (
        "",
        "| | patients with all values | C-td, mean of the folds | difference | p |",
        "|---|---|---|---|---|",
    )
    for it in compared:
        if it.evaluation is None:
            yield f"| {it.title} | none: {it.absent} | | | |"
        else:
            value, low, high = map(_three, it.evaluation.metrics["ctd_mean_of_folds"].bounds)
            tested = f"{_three(it.difference)} | {_three(it.p)}"
            yield f"| {it.title} | {it.patients} | {value} ({low} to {high}) | {tested} |"


def _three(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3f}"


def _write(out: Path, compared: Sequence[Compared], rows: Sequence[tuple[object, ...]]) -> None:
    with (out / OF_PATIENTS).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["baseline", "patient", "fold", "month", "cif"])
        writer.writerows(rows)
    stored = json.dumps([it.model_dump(mode="json") for it in compared], indent=2) + "\n"
    write_whole(out / BASELINES, stored.encode())
    with (out / "model.md").open("a", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in baseline_lines(compared))


def _compared(baseline: Baseline, values: FloatArray, cif: FloatArray, finished: Run) -> Compared:
    cohort, predictions, plan = finished.material.cohort, finished.predictions, finished.plan
    evaluation = evaluate(
        cohort.time_months, cohort.event, cif, folds=predictions.fold, resamples=plan.resamples, seed=plan.seed
    )
    rng = np.random.default_rng(plan.seed)
    test = permutation_test(cif, predictions.cif, cohort.time_months, cohort.event, rng, folds=predictions.fold)
    whole = int(np.isfinite(values).all(axis=1).sum())
    return Compared(name=baseline, patients=whole, evaluation=evaluation, difference=test.difference, p=test.p)


def _predicted(values: FloatArray, finished: Run, ridges: Sequence[float]) -> FloatArray:
    """Each patient by the fold that tested them, (B, K)."""
    material, n_bins = finished.material, finished.predictions.cif.shape[1]
    cif = np.empty((len(values), n_bins))
    for fold in finished.folds:
        train, test = material.rows(fold.train), material.rows(fold.test)
        filled = filled_in(values, values[train])
        cif[test] = _fitted(filled, material, fold, ridges, n_bins).cif(filled[test], n_bins)
    return cif


def _fitted(values: FloatArray, material: Material, fold: Fold, ridges: Sequence[float], n_bins: int) -> CoxModel:
    """The model of one fold, with the ridge that orders its validation patients best, the largest of equals."""
    train, validation = material.rows(fold.train), material.rows(fold.validation)
    time, event = material.cohort.time_months, material.cohort.event
    models = [fit_cox(values[train], time[train], event[train], ridge) for ridge in ridges]
    if len(models) == 1:
        return models[0]
    grid = TimeGrid(n_bins)
    scores = [
        concordance_td(grid, model.cif(values[validation], n_bins), time[validation], event[validation])
        for model in models
    ]
    scored = np.nan_to_num(scores, nan=0.5)
    return models[len(models) - 1 - int(np.argmax(scored[::-1]))]


def filled_in(values: FloatArray, known: FloatArray) -> FloatArray:
    """What is missing as the mean of ``known``, and a column that says so for each column that lacks any."""
    absent = np.isnan(values)
    counts = np.maximum((~np.isnan(known)).sum(axis=0), 1)
    filled = np.where(absent, np.nansum(known, axis=0) / counts, values)
    return np.concatenate([filled, absent[:, absent.any(axis=0)].astype(np.float64)], axis=1)
