"""Every system of every experiment runs one epoch on eight patients whose slices are noise.

The encoders have random weights here: what is tested is that each configuration goes the whole way.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save

from survnode.model.covariates import Covariate, CovariateKind
from survnode.model.ct.lungs import LungMethod
from survnode.model.ct.preprocess import Preprocessing
from survnode.model.net.encoders import Encoder
from survnode.model.net.heads import HeadName
from survnode.train.cohorts.cohort import Cohort, DicomPatient
from survnode.train.cohorts.feature_table import FeatureTable
from survnode.train.errors import NothingToMeasure, OverlapRefused, RunDiffers
from survnode.train.fit import features
from survnode.train.fit.files import write_whole
from survnode.train.fit.slices import SliceCache
from survnode.train.paper import bench as bench_module
from survnode.train.paper.bench import (
    Bench,
    best_fold,
    read_bench,
    read_cohort,
    read_cohorts,
    read_findings,
    run_systems,
    slices_of,
)
from survnode.train.paper.experiments import BesideImage, Population, System, experiments, needed
from survnode.train.paper.report import write_report
from survnode.train.presets import PRESETS, Preset
from survnode.train.recipe import Recipe

PAPER = experiments()
SYSTEMS = needed(PAPER.values(), PAPER["attention"].reference)
# The smallest image that a network takes: 32 pixels, but DenseNet3D halves five times, and transformers know one size.
PIXELS = {
    "densenet3d_121": 64,
    "densenet3d_121_monai": 64,
    "alexnet": 64,
    "vit_b_16": 224,
    "medvit_small": 224,
    "dinov2_s": 224,
}


def taking(pixels: int) -> list[System]:
    """Those that see images alone, by DeepHit: other heads are tried in test_whatever_trains."""
    alike = [one for one in SYSTEMS if one.beside is None and one.network.head is HeadName.DEEPHIT]
    return [system for system in alike if PIXELS.get(system.network.encoder, 32) == pixels]


def tiny_recipe(size: int) -> Recipe:
    recipe = PRESETS[Preset.PAPER]
    return recipe.varied(
        preprocessing=Preprocessing(size=size),
        lungs=LungMethod.THRESHOLD,
        augmentation=recipe.augmentation.model_copy(update={"probability": 0.0}),
        fitting=recipe.fitting.model_copy(update={"epochs": 1, "warm_up_epochs": 0}),
    )


def tiny_cohort(name: str) -> Cohort:
    """Eight patients, every other of whom died within two years."""
    return Cohort(
        name,
        tuple(
            DicomPatient(
                f"{name}-{k}", 3.0 + 5 * k if k % 2 else 30.0 + k, bool(k % 2), bool(k % 2), "1.2", (), f"{name}{k}"
            )
            for k in range(8)
        ),
    )


def tiny_bench(folder: Path, size: int) -> Bench:
    recipe = tiny_recipe(size)
    return Bench(folder / "out", folder / "caches", recipe, folds=2, workers=1, resamples=20)


def fill_slices(bench: Bench, cohort: Cohort, count: int) -> None:
    """Noise in the place of CT, where the run looks for slices."""
    cache = SliceCache(bench.caches / "slices", bench.recipe.preprocessing, bench.recipe.lungs)
    rng, size = np.random.default_rng(0), bench.recipe.preprocessing.size
    for patient in cohort.patients:
        hu = rng.integers(-1000, 400, (count, size, size)).astype(np.int16)
        tensors: dict[str, NDArray[np.generic]] = {"hu": hu, "source": np.arange(count)}
        write_whole(cache.path(patient), save(tensors, metadata={"images": str(count), "lung_height_mm": "240"}))


@pytest.fixture
def random_weights(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every weight file is there, and none is read."""
    features._encoder.cache_clear()
    monkeypatch.setattr(Encoder, "load_pretrained", lambda *_: "0" * 64)
    monkeypatch.setattr(bench_module, "find_weights", lambda _: Path())
    yield
    features._encoder.cache_clear()


def run_tiny(folder: Path, systems: Sequence[System], size: int, slices: int) -> tuple[Bench, dict[Population, Cohort]]:
    bench = tiny_bench(folder, size)
    cohorts = {Population.FIRST: tiny_cohort("lung1"), Population.SECOND: tiny_cohort("claro")}
    for cohort in cohorts.values():
        fill_slices(bench, cohort, slices)
    assert run_systems(bench, systems, cohorts) == {}
    return bench, cohorts


@pytest.mark.usefixtures("random_weights")
def test_every_system_that_takes_small_images_runs_and_is_reported(tmp_path: Path) -> None:
    bench, cohorts = run_tiny(tmp_path, taking(32), size=32, slices=3)
    again = read_bench(bench.out)
    assert replace(again, workers=1, resamples=20) == bench
    findings = read_findings(again, SYSTEMS, read_cohorts(bench.out))
    assert set(findings.results) == {system.name for system in taking(32)}
    for system in taking(32):
        result = findings.results[system.name]
        assert sorted(result.patients) == sorted(cohorts[system.cohort].ids)
        assert result.cif.shape == (8, 24)
        assert np.all(np.diff(result.cif, axis=1) >= 0)
        sums = [one.sum() for one in result.attention]
        assert sums == pytest.approx([1.0] * len(sums), abs=1e-4)
    zero_shot = findings.results["claro-zero-shot"]
    assert len(zero_shot.attention) == 8
    reference = cohorts[Population.FIRST]
    page = write_report(
        bench.out / "report", PAPER, findings, list(cohorts.values()), lambda who: slices_of(again, reference, who)
    )
    assert "figure-5" not in page.name
    assert (page.parent / "figure-5.svg").is_file()


@pytest.mark.usefixtures("random_weights")
@pytest.mark.parametrize(("pixels", "slices"), [(64, 2), (224, 1)])
def test_every_other_system_runs(pixels: int, slices: int, tmp_path: Path) -> None:
    pytest.importorskip("monai")
    bench, _ = run_tiny(tmp_path, taking(pixels), pixels, slices)
    assert all(bench.finished(system) for system in taking(pixels))


@pytest.mark.usefixtures("random_weights")
def test_what_stands_beside_the_image_is_trained_alone_and_with_it_where_it_is_known(tmp_path: Path) -> None:
    cohort = tiny_cohort("lung1")
    table = FeatureTable(
        (Covariate(name="age", kind=CovariateKind.NUMBER),),
        {who: {"age": f"{60 + row}"} for row, who in enumerate(cohort.ids)},
    )
    bench = replace(tiny_bench(tmp_path, 32), tables={BesideImage.FEATURES: table})
    fill_slices(bench, cohort, 2)
    systems = PAPER["q7-beside-the-image"].systems
    reasons = run_systems(bench, systems, {Population.FIRST: cohort})
    assert set(reasons) == {system.name for system in systems if system.beside is BesideImage.CLINICAL}
    assert all("clinical_variables" in reason for reason in reasons.values())
    networks = {one.name: bench.plan(one).recipe.network for one in systems if one.beside is BesideImage.FEATURES}
    assert [getattr(network, "sees_image", None) for network in networks.values()] == [False, True]
    assert all(bench.finished(one) for one in systems if one.beside is not BesideImage.CLINICAL)
    other = replace(bench, tables={BesideImage.FEATURES: FeatureTable(table.covariates, {})})
    with pytest.raises(RunDiffers, match="features table"):
        run_systems(other, [], {})


@pytest.mark.usefixtures("random_weights")
def test_what_has_run_is_not_run_again_and_what_has_not_is(tmp_path: Path) -> None:
    reference, mean = PAPER["q2-fusion"].systems[:2]
    bench, cohorts = run_tiny(tmp_path, [reference], size=32, slices=2)
    before = (bench.folder(reference) / "metrics.json").stat().st_mtime_ns
    told: list[str] = []
    run_systems(
        bench, [reference, mean], cohorts, listener=lambda event, **fields: told.append(f"{event} {fields.get('name')}")
    )
    assert (bench.folder(reference) / "metrics.json").stat().st_mtime_ns == before
    assert [one for one in told if one.startswith("system")] == [f"system {mean.name}"]
    assert bench.finished(mean)


def test_without_weights_a_system_says_so_and_the_next_one_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nothing"))
    bench, systems = tiny_bench(tmp_path, 32), PAPER["q3-encoders"].systems
    reasons = run_systems(bench, systems, {Population.FIRST: tiny_cohort("lung1")})
    assert set(reasons) == {system.name for system in systems}
    assert "vgg16-imagenet" in reasons["vgg16-attention"]
    findings = read_findings(bench, systems, read_cohorts(bench.out))
    assert findings.reasons == reasons
    assert findings.results == {}


def test_without_a_second_cohort_transfer_says_so(tmp_path: Path) -> None:
    bench = tiny_bench(tmp_path, 32)
    reasons = run_systems(bench, PAPER["q4-transfer"].systems, {Population.FIRST: tiny_cohort("lung1")})
    assert set(reasons.values()) == {"There is no second cohort: name its clinical table and its CT."}
    missing = {Population.SECOND: "claro.csv is not a file."}
    reasons = run_systems(bench, PAPER["q4-transfer"].systems, {}, missing)
    assert set(reasons.values()) == set(missing.values())


def test_transfer_waits_for_the_system_that_it_starts_from(tmp_path: Path) -> None:
    bench = tiny_bench(tmp_path, 32)
    cohorts = {Population.FIRST: tiny_cohort("lung1"), Population.SECOND: tiny_cohort("claro")}
    (reason,) = run_systems(bench, PAPER["q4-transfer"].systems[:1], cohorts).values()
    assert reason == "It starts from efficientnet_b0-attention, which has not run."


def test_transfer_from_a_cohort_to_itself_is_refused_before_anything_trains(tmp_path: Path) -> None:
    bench, one = tiny_bench(tmp_path, 32), tiny_cohort("lung1")
    cohorts = {Population.FIRST: one, Population.SECOND: replace(one, name="claro")}
    with pytest.raises(OverlapRefused, match="8 of 8 patients of claro have been seen by the models of lung1"):
        run_systems(bench, PAPER["q4-transfer"].systems, cohorts)
    assert not bench.out.exists()


def test_a_folder_is_not_shared_by_two_recipes_or_cohorts(tmp_path: Path) -> None:
    bench = tiny_bench(tmp_path, 32)
    run_systems(bench, [], {Population.FIRST: tiny_cohort("lung1")})
    with pytest.raises(RunDiffers, match="recipe"):
        run_systems(replace(bench, recipe=tiny_recipe(64)), [], {})
    with pytest.raises(RunDiffers, match="first cohort"):
        run_systems(bench, [], {Population.FIRST: tiny_cohort("other")})
    run_systems(replace(bench, caches=tmp_path / "moved"), [], {Population.SECOND: tiny_cohort("claro")})
    assert read_bench(bench.out).caches == tmp_path / "moved"


def test_a_cohort_comes_back_from_its_file(tmp_path: Path) -> None:
    bench, cohort = tiny_bench(tmp_path, 32), tiny_cohort("lung1")
    run_systems(bench, [], {Population.FIRST: cohort})
    assert read_cohort(bench.out / "first.json").sha256 == cohort.sha256


def test_an_empty_folder_has_nothing_to_report(tmp_path: Path) -> None:
    with pytest.raises(NothingToMeasure):
        read_bench(tmp_path)


def test_the_best_fold_is_that_of_the_highest_validation_concordance(tmp_path: Path) -> None:
    folds = [
        {"fold": 0, "validation_ctd": None},
        {"fold": 1, "validation_ctd": 0.6},
        {"fold": 2, "validation_ctd": 0.5},
    ]
    (tmp_path / "metrics.json").write_text(json.dumps({"folds": folds}))
    assert best_fold(tmp_path) == 1


def test_slices_that_are_not_in_the_cache_are_not_at_hand(tmp_path: Path) -> None:
    bench, cohort = tiny_bench(tmp_path, 32), tiny_cohort("lung1")
    assert slices_of(bench, cohort, "lung1-0") is None
    fill_slices(bench, cohort, 2)
    slices = slices_of(bench, cohort, "lung1-0")
    assert slices is not None
    assert slices.shape == (2, 32, 32)
