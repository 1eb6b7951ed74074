"""Whoever trains a network sees what is predicted without it, on the same folds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from survnode.model.timegrid import TimeGrid
from survnode.train.cohorts.cohort import DicomPatient, PatientFacts
from survnode.train.cohorts.tumour import TumourSize
from survnode.train.measure.concordance import concordance_td
from survnode.train.runs import known as known_module
from survnode.train.runs.baselines import Compared, compare_baselines, filled_in, read_baselines
from survnode.train.runs.finish import Run
from survnode.train.runs.known import Baseline, known_values

from ..tiny import rows


def by_name(compared: list[Compared]) -> dict[Baseline, Compared]:
    return {it.name: it for it in compared}


def knowing(whole: Run, out: Path, known: list[PatientFacts]) -> Run:
    """The run in another folder, of patients of whom this is known."""
    cohort = whole.material.cohort
    assert all(isinstance(patient, DicomPatient) for patient in cohort.patients)
    patients = [
        replace(patient, known=it)
        for patient, it in zip(cohort.patients, known, strict=True)
        if isinstance(patient, DicomPatient)
    ]
    material = replace(whole.material, cohort=replace(cohort, patients=tuple(patients)))
    (out / "model.md").write_text("# card\n")
    return replace(whole, plan=replace(whole.plan, out=out), material=material)


def test_a_run_has_the_lungs_volume_and_the_pooled_features_and_says_what_is_absent(whole: Run) -> None:
    found = by_name(read_baselines(whole.plan.out))
    assert list(found) == list(Baseline)
    assert {name for name, it in found.items() if it.evaluation is not None} == {
        Baseline.LUNG_VOLUME,
        Baseline.FEATURES,
    }
    assert "nobody has a contour" in found[Baseline.TUMOUR_VOLUME].absent
    assert "age or stage" in found[Baseline.AGE_AND_STAGE].absent
    card = (whole.plan.out / "model.md").read_text()
    assert "| lung volume, Cox | 8 |" in card
    assert "| age and stage, Cox | none: " in card
    predicted = rows(whole.plan.out / "baselines.csv")
    assert len(predicted) == 2 * 8 * 24
    folds = {row["patient"]: row["fold"] for row in rows(whole.plan.out / "predictions.csv")}
    assert {row["patient"]: row["fold"] for row in predicted} == folds


def test_an_age_that_decides_is_found(whole: Run, tmp_path: Path) -> None:
    order = np.argsort(np.argsort(whole.material.cohort.time_months))
    known = [PatientFacts(age=90.0 - rank, stage="I") for rank in order.tolist()]
    found = by_name(compare_baselines(knowing(whole, tmp_path, known)))[Baseline.AGE_AND_STAGE]
    assert found.patients == 8
    assert found.evaluation is not None
    assert found.evaluation.lead.value is None  # four patients a fold have fewer than ten pairs
    cohort, predicted = whole.material.cohort, whole.predictions
    assert predicted.fold is not None
    parts = [predicted.fold == number for number in (0, 1)]
    grid = TimeGrid(predicted.cif.shape[1])
    by_fold = [concordance_td(grid, predicted.cif[it], cohort.time_months[it], cohort.event[it]) for it in parts]
    assert found.difference is not None
    assert found.difference + np.mean(by_fold) > 0.8  # before the first death of a training part all are alike


def test_a_missing_value_is_the_training_patients_mean_and_a_column_says_so() -> None:
    values = np.array([[1.0, 5.0], [3.0, 6.0], [np.nan, 7.0]])
    assert filled_in(values, values[:2]).tolist() == [[1, 5, 0], [3, 6, 0], [2, 7, 1]]


def test_a_drawn_tumour_is_measured_once_and_kept(whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawing = tmp_path / "rs.dcm"
    drawing.write_bytes(b"x")
    sizes = iter(range(1, 100))
    asked: list[str] = []

    def measured(_: object, series: str, name: str) -> TumourSize:
        asked.append(series)
        assert name == "gtv"
        return TumourSize(float(next(sizes)), 10.0)

    monkeypatch.setattr(known_module, "drawn_tumour", measured)
    known = [PatientFacts(drawings=(drawing,), tumour="gtv")] * 7 + [PatientFacts()]
    material = replace(knowing(whole, tmp_path, known).material, caches=tmp_path)
    volume = known_values(Baseline.TUMOUR_VOLUME, material)
    assert volume.values is not None
    assert np.exp(volume.values[:7, 0]) == pytest.approx(np.arange(1, 8))
    assert np.isnan(volume.values[7, 0])
    known_values(Baseline.TUMOUR_AXIS, material)
    assert len(asked) == 7


def test_a_network_that_trains_its_encoder_has_no_features_to_pool(whole: Run) -> None:
    material = replace(
        whole.material,
        recipe=whole.material.recipe.varied(
            network=whole.material.recipe.network.model_copy(update={"freezing": "half"})
        ),
    )
    assert "the encoder trains" in known_values(Baseline.FEATURES, material).absent
