"""A folder of experiments: runs the systems that it lacks, one after the other, and says why one could not run.

::

    OUT/bench.json             recipe, encoder, folds and seed: all systems share them
    OUT/first.json             the outcomes of the first cohort; second.json likewise
    OUT/systems/NAME/          a run, see `survnode.train.runs.run`; finished when it has metrics.json
    OUT/systems/NAME.json      why the system could not run
    OUT/report/                what `survnode.train.paper.report` writes
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue

from survnode.model.errors import ModelError
from survnode.model.net.network import NetworkConfig
from survnode.model.net.trunks import TRUNKS, EncoderName
from survnode.model.net.volumetric import VOLUME_TRUNKS
from survnode.model.weights import find_weights
from survnode.train.cohorts.cohort import Cohort, DicomPatient
from survnode.train.cohorts.exclusions import Exclusion, ExclusionReason
from survnode.train.cohorts.feature_table import FeatureTable
from survnode.train.errors import NothingToMeasure, RunDiffers, TrainError
from survnode.train.fit.files import write_whole
from survnode.train.fit.slices import SliceCache
from survnode.train.journal import RunListener, unheard
from survnode.train.measure.resampling import RESAMPLES
from survnode.train.paper.experiments import BesideImage, Population, Start, System, experiments, with_settings_of
from survnode.train.paper.results import read_run
from survnode.train.paper.tables import Findings
from survnode.train.presets import with_table
from survnode.train.recipe import Recipe
from survnode.train.runs.baselines import read_baselines
from survnode.train.runs.evaluate import score
from survnode.train.runs.overlap import mark_or_refuse, overlap_of
from survnode.train.runs.plan import RunPlan
from survnode.train.runs.run import run

OUTCOME = ("id", "time_months", "event", "died_within_two_years", "key")  # what is kept of a patient
NO_TABLE = {
    BesideImage.CLINICAL: "The cohort's file names no clinical_variables among the columns of its table.",
    BesideImage.FEATURES: "There is no table of features: name one with --features.",
}
NOTHING_MISSING: Mapping[Population, str] = MappingProxyType({})
# What a row says instead of a number; anything else is a defect and ends the command.
REASONS = (ModelError, TrainError, ImportError, torch.OutOfMemoryError)


@dataclass(frozen=True)
class Bench:
    """What all systems of a folder share.

    Parameters
    ----------
    caches : of slices and features
    tables : what is known of the first cohort's patients beside their image, or why there is nothing
    encoder : in the place of the paper's EfficientNet-B0
    """

    out: Path
    caches: Path
    recipe: Recipe
    encoder: EncoderName = EncoderName.EFFICIENTNET_B0
    folds: int = 10
    seed: int = 42
    workers: int = os.cpu_count() or 1
    device: str = "cpu"
    resamples: int = RESAMPLES
    tables: Mapping[BesideImage, FeatureTable | str] = field(default_factory=dict)
    allow_overlap: bool = False

    @property
    def reference(self) -> System:
        """What every system is compared with."""
        return experiments(self.encoder)["attention"].reference

    def folder(self, system: System) -> Path:
        """Of a system's run."""
        return self.out / "systems" / system.name

    def finished(self, system: System) -> bool:
        """Whether the system has run."""
        return (self.folder(system) / "metrics.json").exists()

    def table(self, known: BesideImage) -> FeatureTable:
        """What is known of the patients beside their image."""
        table = self.tables.get(known, NO_TABLE[known])
        if isinstance(table, str):
            raise TrainError(table)
        return table

    def plan(self, system: System) -> RunPlan:
        """How a system is trained."""
        network = with_settings_of(system.network, self.recipe.network)
        table = None if system.beside is None else self.table(system.beside)
        return RunPlan(
            name=system.name,
            recipe=with_table(self.recipe.varied(network=network), table, alone=not system.sees_image),
            table=table,
            out=self.folder(system),
            caches=self.caches,
            folds=self.folds,
            seed=self.seed + system.repeat,
            init=self.folder(self.reference) if system.start is Start.TRANSFER else None,
            workers=self.workers,
            device=self.device,
            resamples=self.resamples,
            allow_overlap=self.allow_overlap,
        )


def run_systems(
    bench: Bench,
    systems: Iterable[System],
    cohorts: Mapping[Population, Cohort],
    missing: Mapping[Population, str] = NOTHING_MISSING,
    listener: RunListener = unheard,
) -> dict[str, str]:
    """Run what has not run yet; returns why systems could not, by name.

    Parameters
    ----------
    missing : why a cohort is not there
    listener : called with ``system`` before each of them, and with ``absent`` and the reason

    Raises
    ------
    RunDiffers
        The folder was begun with other settings or another cohort.
    OverlapRefused
        The second cohort shares patients with the first, from whose models its own are to start.
    """
    systems = tuple(systems)
    _refuse_overlap(bench, systems, cohorts)
    _claim(bench, cohorts)
    reasons = {}
    for system in systems:
        if bench.finished(system):
            continue
        listener("system", name=system.name)
        absent = bench.folder(system).with_suffix(".json")
        try:
            _run(bench, system, {**missing, **cohorts}, listener)
            absent.unlink(missing_ok=True)
        except REASONS as error:
            reasons[system.name] = str(error)
            write_whole(absent, json.dumps({"reason": str(error)}).encode())
            listener("absent", name=system.name, reason=str(error))
    return reasons


def _refuse_overlap(bench: Bench, systems: Iterable[System], cohorts: Mapping[Population, Cohort]) -> None:
    """Look for patients of both cohorts before anything trains: no repeat of a transfer would be of new patients."""
    both = [cohorts[source] for source in Population if source in cohorts]
    if len(both) > 1 and any(system.start is not Start.PRETRAINED for system in systems):
        first, second = both
        overlap = overlap_of(first, second)
        mark_or_refuse(overlap, second.name, f"the models of {first.name}", allowed=bench.allow_overlap)


def _run(bench: Bench, system: System, cohorts: Mapping[Population, Cohort | str], listener: RunListener) -> None:
    cohort = cohorts.get(system.cohort, f"There is no {system.cohort} cohort: name its clinical table and its CT.")
    if isinstance(cohort, str):
        raise TrainError(cohort)
    if system.start is not Start.PRETRAINED and not bench.finished(bench.reference):
        raise TrainError(f"It starts from {bench.reference.name}, which has not run.")
    require_weights(system)
    plan, reference = bench.plan(system), bench.folder(bench.reference)
    if system.start is Start.ZERO_SHOT:
        score(str(reference / "folds" / str(best_fold(reference))), cohort, plan, listener=listener)
    else:
        run(cohort, plan, listener=listener)


def require_weights(system: System) -> None:
    """Look for a system's pretrained weights before any work is done for it.

    Raises
    ------
    WeightsMissing, WeightsChanged
    """
    network = system.network
    spec = TRUNKS[network.encoder] if isinstance(network, NetworkConfig) else VOLUME_TRUNKS[network.encoder]
    if spec.weights is not None:
        find_weights(spec.weights)


def best_fold(folder: Path) -> int:
    """The fold of a finished run with the highest validation concordance, the first of equals."""
    folds = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["folds"]
    best = max(folds, key=lambda fold: -1.0 if fold["validation_ctd"] is None else fold["validation_ctd"])
    return int(best["fold"])


def _claim(bench: Bench, cohorts: Mapping[Population, Cohort]) -> None:
    """Say what the folder holds, or refuse to mix two sets of experiments."""
    own: dict[str, JsonValue] = {
        "encoder": bench.encoder,
        "recipe": bench.recipe.model_dump(mode="json"),
        "folds": bench.folds,
        "seed": bench.seed,
        "caches": str(bench.caches),
    }
    path = bench.out / "bench.json"
    begun = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    differing = [key for key in own if key != "caches" and begun and begun[key] != own[key]]
    tables = {str(known): table.sha256 for known, table in bench.tables.items() if isinstance(table, FeatureTable)}
    known_before = begun.get("tables", {})
    differing += [f"{name} table" for name in tables if known_before.get(name, tables[name]) != tables[name]]
    own["tables"] = {**known_before, **tables}
    for source, cohort in cohorts.items():
        known = bench.out / f"{source}.json"
        if known.exists() and read_cohort(known).sha256 != cohort.sha256:
            differing.append(f"{source} cohort")
    if differing:
        raise RunDiffers(f"{bench.out} holds experiments with another {', '.join(differing)}. Name another folder.")
    write_whole(path, (json.dumps(own, indent=2) + "\n").encode())
    for source, cohort in cohorts.items():
        write_whole(bench.out / f"{source}.json", _cohort_json(cohort))


def read_bench(out: Path) -> Bench:
    """The bench in a folder.

    Raises
    ------
    NothingToMeasure
        Nothing was ever run there.
    """
    path = out / "bench.json"
    if not path.exists():
        raise NothingToMeasure(f"{out} holds no experiments: run some first.")
    begun = json.loads(path.read_text(encoding="utf-8"))
    return Bench(
        out,
        Path(begun["caches"]),
        Recipe.model_validate(begun["recipe"]),
        EncoderName(begun["encoder"]),
        begun["folds"],
        begun["seed"],
    )


def read_cohorts(out: Path) -> dict[Population, Cohort]:
    """The cohorts of a folder: patients with their outcomes, without the paths of their CT."""
    return {source: read_cohort(out / f"{source}.json") for source in Population if (out / f"{source}.json").exists()}


def read_findings(bench: Bench, systems: Iterable[System], cohorts: Mapping[Population, Cohort]) -> Findings:
    """What there is of these systems, and why there is nothing of the others."""
    results, reasons = {}, {}
    for system in systems:
        absent = bench.folder(system).with_suffix(".json")
        if bench.finished(system):
            results[system.name] = read_run(bench.folder(system), cohorts[system.cohort])
        elif absent.exists():
            reasons[system.name] = json.loads(absent.read_text(encoding="utf-8"))["reason"]
    return Findings(results, reasons, tuple(read_baselines(bench.folder(bench.reference))))


def slices_of(bench: Bench, cohort: Cohort, patient_id: str) -> NDArray[np.int16] | None:
    """A patient's slices (S, H, W) from the cache; None if they are not there any more."""
    try:
        cache = SliceCache(bench.caches / "slices", bench.recipe.preprocessing, bench.recipe.lungs)
        (patient,) = cohort.of([patient_id])
        return cache.read(patient).hu
    except (ModelError, FileNotFoundError):
        return None


def read_cohort(path: Path) -> Cohort:
    """The cohort in a file of a bench."""
    stored = json.loads(path.read_text(encoding="utf-8"))
    patients = tuple(DicomPatient(**patient, series_instance_uid="", paths=()) for patient in stored["patients"])
    left_out = tuple(Exclusion(who, ExclusionReason.LISTED) for who in stored["left_out"])
    return Cohort(stored["name"], patients, left_out)


def _cohort_json(cohort: Cohort) -> bytes:
    patients = [{name: getattr(patient, name) for name in OUTCOME} for patient in cohort.patients]
    stored = {
        "name": cohort.name,
        "patients": patients,
        "left_out": [exclusion.patient_id for exclusion in cohort.exclusions],
    }
    return (json.dumps(stored, indent=1) + "\n").encode()
