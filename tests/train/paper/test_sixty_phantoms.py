"""Sixty patients through the whole path: DICOM tree -> slices -> features -> ten folds -> report.

Half of the phantoms have a tumour of 28 to 45 mm radius, half one of 4 to 12 mm: as sharp a difference as 48 training
patients and images of 128 pixels can teach. The hazard of death follows the volume of the tumour and nothing else.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from survnode.model.net.trunks import EncoderName
from survnode.train.cohorts.clinical import Reading
from survnode.train.cohorts.cohort import Cohort
from survnode.train.cohorts.phantom import PhantomPatient, Truth
from survnode.train.cohorts.phantom_tree import CLINICAL, Matrix, described, write_tree
from survnode.train.cohorts.table import read_table
from survnode.train.fit.slices import SliceCache
from survnode.train.measure.evaluate import Estimate
from survnode.train.paper.bench import Bench, read_findings, run_systems, slices_of
from survnode.train.paper.experiments import Population, experiments
from survnode.train.paper.report import write_report
from survnode.train.paper.results import Result
from survnode.train.presets import PRESETS, Preset, with_settings
from survnode.train.runs.plan import RunPlan
from survnode.train.runs.run import run

from ..trees import in_files, read_truth

COUNT = 60
SETTINGS = (
    "lungs=threshold", "network.encoder=efficientnet_lite0", "preprocessing.size=128",
    "preprocessing.spacing_mm=[10, 2.5, 2.5]", "fitting.epochs=60", "fitting.learning_rate=0.003",
)  # fmt: skip
RECIPE = with_settings(PRESETS[Preset.RECOMMENDED], SETTINGS)
LARGE_MM = 28.0


def drawn() -> tuple[PhantomPatient, ...]:
    rng = np.random.default_rng(8)
    return tuple(one_drawn(rng, number, large=bool(number % 2)) for number in range(COUNT))


def one_drawn(rng: np.random.Generator, number: int, *, large: bool) -> PhantomPatient:
    radius = round(float(rng.uniform(LARGE_MM, 45) if large else rng.uniform(4, 12)), 2)
    death = rng.exponential(1 / (0.001 + 0.08 * (radius / 20) ** 3))
    leaving = min(60.0, rng.exponential(120))
    return PhantomPatient(
        f"PHANTOM-{number + 1:03d}", 2000 + number, radius, 2.5, 12.0, min(death, leaving), death <= leaving
    )


def shuffled(cohort: Cohort) -> Cohort:
    """The same CTs, each with the outcome of another patient."""
    others = [cohort.patients[row] for row in np.random.default_rng(3).permutation(COUNT)]
    names = ("time_months", "event", "died_within_two_years")
    pairs = zip(in_files(cohort), others, strict=True)
    patients = (replace(own, **{name: getattr(other, name) for name in names}) for own, other in pairs)
    return replace(cohort, patients=tuple(patients))


@dataclass(frozen=True)
class Made:
    tree: Path
    cohort: Cohort
    bench: Bench


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("sixty")
    clinical = write_tree(folder / "tree", drawn(), matrix=Matrix(10.0, 2.5), workers=1)
    assert clinical == folder / "tree" / CLINICAL
    cohort = read_table(described(folder / "tree"), folder / "headers.sqlite", Reading())
    bench = Bench(folder / "out", folder / "caches", RECIPE, EncoderName.EFFICIENTNET_LITE0, workers=1, resamples=1000)
    assert run_systems(bench, [bench.reference], {Population.FIRST: cohort}) == {}
    return Made(folder / "tree", cohort, bench)


def result_of(made: Made) -> Result:
    findings = read_findings(made.bench, [made.bench.reference], {Population.FIRST: made.cohort})
    return findings.results[made.bench.reference.name]


def leading_of(cohort: Cohort, made: Made, out: str) -> Estimate:
    plan = RunPlan("sixty", RECIPE, made.bench.out.parent / out, made.bench.caches, workers=1, resamples=1000)
    return run(cohort, plan).evaluation.lead


def even_shares(result: Result, truth: Mapping[str, Truth], cohort: Cohort, slices: SliceCache) -> list[float]:
    """Attention on the slices of each large tumour, as a multiple of what they would have if all had the same."""
    found = []
    for who, attention in zip(result.patients, result.attention, strict=True):
        true = truth[who]
        if true.radius_mm >= LARGE_MM:
            source = slices.read(*cohort.of([who])).source
            shown = (source >= true.first) & (source < true.end)
            found.append(float(attention[shown].sum() / shown.mean()))
    return found


def test_soft_attention_ranks_patients_by_what_kills_them(made: Made) -> None:
    metrics = json.loads((made.bench.folder(made.bench.reference) / "metrics.json").read_text())
    ctd = Estimate.model_validate(metrics["evaluation"]["metrics"]["ctd"])
    assert ctd.low is not None
    assert ctd.low > 0.5


def test_attention_is_on_the_tumour(made: Made) -> None:
    slices = SliceCache(made.bench.caches / "slices", RECIPE.preprocessing, RECIPE.lungs)
    shares = even_shares(result_of(made), read_truth(made.tree), made.cohort, slices)
    assert len(shares) == COUNT // 2
    error = np.std(shares, ddof=1) / np.sqrt(len(shares))
    assert np.mean(shares) - 2 * error > 1


def test_every_patient_is_tested_once_and_reported(made: Made) -> None:
    result = result_of(made)
    assert sorted(result.patients) == sorted(made.cohort.ids)
    assert np.unique(result.folds, return_counts=True)[1].tolist() == [6] * 10
    known = experiments(EncoderName.EFFICIENTNET_LITE0)
    findings = read_findings(made.bench, [made.bench.reference], {Population.FIRST: made.cohort})
    page = write_report(
        made.bench.out / "report", known, findings, [made.cohort], lambda who: slices_of(made.bench, made.cohort, who)
    )
    assert page.stat().st_size > 100_000
    assert {"figure-4.png", "figure-4.svg", "figure-5.png"} <= {path.name for path in page.parent.iterdir()}


def test_outcomes_that_have_nothing_to_do_with_the_ct_cannot_be_predicted(made: Made) -> None:
    """By the figure that leads: the interval of the pooled one holds 0.5 in 86 of 100 null cohorts only."""
    leading = leading_of(shuffled(made.cohort), made, "shuffled")
    assert leading.low is not None
    assert leading.high is not None
    assert leading.low < 0.5 < leading.high
