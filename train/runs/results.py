"""What folds predicted, on disk: one file a fold while a run goes on, tables of all patients at its end."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue
from safetensors import safe_open

from survnode.train.cohorts.cohort import Cohort
from survnode.train.cohorts.folds import Fold
from survnode.train.fit.files import write_arrays
from survnode.train.fit.loop import Epoch, Predicted
from survnode.train.fit.slices import SliceCache
from survnode.train.measure.evaluate import Evaluation

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FoldResult:
    """What a fold came to.

    Parameters
    ----------
    predicted : for the fold's test patients, in their order
    """

    fold: Fold
    best: Epoch
    predicted: Predicted


@dataclass(frozen=True, eq=False)
class Predictions:
    """Every patient of a cohort as predicted by a model that never saw them, in the cohort's order.

    Parameters
    ----------
    fold : (B,) int64, the fold that tested each patient; None where all folds together predict another cohort
    cif : (B, K)
    attention : of each patient (S,), feet to head; empty for a network that has none
    remark : what every table must carry, in a column of its own; empty if there is nothing
    """

    patients: tuple[str, ...]
    fold: NDArray[np.int64] | None
    cif: FloatArray
    attention: tuple[FloatArray, ...] = ()
    remark: str = ""

    def marked(self, *cells: object) -> list[object]:
        """A row of a table, with the remark where there is one."""
        return [*cells, self.remark] if self.remark else list(cells)

    def header(self, *names: str) -> list[str]:
        """The names of a table's columns, with that of the remark where there is one."""
        return [*names, "remark"] if self.remark else list(names)


def gathered(cohort: Cohort, results: Sequence[FoldResult], remark: str = "") -> Predictions:
    """The folds' predictions in the order of the cohort."""
    places = {who: (index, place) for index, result in enumerate(results) for place, who in enumerate(result.fold.test)}
    tested = [(results[index], place) for index, place in (places[who] for who in cohort.ids)]
    return Predictions(
        cohort.ids,
        np.array([result.fold.number for result, _ in tested], np.int64),
        np.stack([result.predicted.cif[place] for result, place in tested]),
        tuple(result.predicted.attention[place] for result, place in tested if result.predicted.attention),
        remark,
    )


def write_result(path: Path, result: FoldResult) -> None:
    """Write what `read_result` reads."""
    attention = result.predicted.attention
    tensors: dict[str, NDArray[np.generic]] = {
        "cif": result.predicted.cif,
        "attention": np.concatenate([np.empty(0), *attention]),
        "slices": np.array([len(shares) for shares in attention], np.int64),
    }
    write_arrays(path, tensors, best=json.dumps(result.best))


def read_result(path: Path, fold: Fold) -> FoldResult:
    """The result of a finished fold."""
    with safe_open(path, framework="numpy") as file:
        best = Epoch(*json.loads(file.metadata()["best"]))
        ends = np.cumsum(file.get_tensor("slices"))
        attention = np.split(file.get_tensor("attention"), ends[:-1]) if len(ends) else []
        return FoldResult(fold, best, Predicted(file.get_tensor("cif"), attention))


def write_tables(out: Path, predictions: Predictions, cohort: Cohort, slices: SliceCache) -> None:
    """Write ``predictions.csv``, and ``attention.csv`` where there is any attention."""
    write_predictions(out / "predictions.csv", predictions, cohort)
    if predictions.attention:
        write_attention(out / "attention.csv", predictions, cohort, slices)


def write_predictions(path: Path, predictions: Predictions, cohort: Cohort) -> None:
    """Write one row a patient and month: patient, fold, time and event of the outcome, month, cif."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(predictions.header("patient", "fold", "time_months", "event", "month", "cif"))
        for patient, fold, cif in zip(cohort.patients, _folds(predictions), predictions.cif, strict=True):
            known = patient.id, fold, f"{patient.time_months:.6g}", int(patient.event)
            writer.writerows(
                predictions.marked(*known, month, f"{value:.8g}") for month, value in enumerate(cif.tolist(), 1)
            )


def write_attention(path: Path, predictions: Predictions, cohort: Cohort, slices: SliceCache) -> None:
    """Write one row a patient and slice, feet to head: which source image it shows (from 0), and its attention."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        names = "patient", "fold", "slice", "slices", "image", "images", "attention"
        writer.writerow(predictions.header(*names))
        rows = zip(cohort.patients, _folds(predictions), predictions.attention, strict=True)
        for patient, fold, attention in rows:
            seen = slices.read(patient)
            writer.writerows(
                predictions.marked(patient.id, fold, index, len(attention), image, seen.images, f"{weight:.6g}")
                for index, (image, weight) in enumerate(zip(seen.source.tolist(), attention.tolist(), strict=True))
            )


def evaluation_json(evaluation: Evaluation) -> dict[str, JsonValue]:
    """What ``metrics.json`` begins with: the figure that leads, what must be known of it, and all the others."""
    leading = {"name": evaluation.leading, **evaluation.lead.model_dump(mode="json")}
    words: list[JsonValue] = list(evaluation.sentences)
    return {"leading": leading, "sentences": words, "evaluation": evaluation.model_dump(mode="json")}


def attention_by_image(predictions: Predictions, cohort: Cohort, slices: SliceCache) -> list[FloatArray]:
    """Each patient's attention added up over the source image that each slice shows, (D,)."""
    by_image = []
    for patient, attention in zip(cohort.patients, predictions.attention, strict=False):
        seen = slices.read(patient)
        by_image.append(np.bincount(seen.source, attention, minlength=seen.images).astype(np.float64))
    return by_image


def _folds(predictions: Predictions) -> list[int]:
    """As the tables write them: 0 where all folds predict together."""
    return [0] * len(predictions.patients) if predictions.fold is None else predictions.fold.tolist()
