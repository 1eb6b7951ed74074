"""A cohort of a few coarse phantoms on disk, and the settings that make a run of it short."""

import csv
from pathlib import Path

from survnode.train.cohorts.clinical import Reading
from survnode.train.cohorts.cohort import Cohort
from survnode.train.cohorts.phantom import PhantomPatient
from survnode.train.cohorts.phantom_tree import Matrix, described, write_tree
from survnode.train.cohorts.table import read_table
from survnode.train.presets import PRESETS, Preset, with_settings
from survnode.train.recipe import Recipe
from survnode.train.runs.plan import RunPlan

PATIENTS = tuple(
    PhantomPatient(f"PHANTOM-{seed + 1:03d}", seed, radius, 4.0, 14.0, months, event=months < 24)
    for seed, (radius, months) in enumerate(
        [(40.0, 3.0), (35.0, 8.5), (0.0, 40.0), (30.0, 12.0), (8.0, 33.0), (38.0, 5.5), (12.0, 28.0), (6.0, 50.0)]
    )
)
DESCRIPTION = """
name = "phantom"
data = "."
clinical = "clinical.csv"

[columns]
patient_id = "PatientID"
time = "Survival.time"
event = "deadstatus.event"
"""
SETTINGS = (
    "lungs=threshold",
    "network.encoder=efficientnet_lite0",
    "fitting.epochs=3",
    "preprocessing.size=32",
    "preprocessing.spacing_mm=[12, 4, 4]",
    "augmentation.views=1",
)


def write_tiny_tree(folder: Path) -> Path:
    write_tree(folder, PATIENTS, matrix=Matrix(slice_mm=10.0, pixel_mm=5.0))
    (folder / "cohort.toml").write_text(DESCRIPTION, encoding="utf-8")
    return folder


def load_tiny(tree: Path, caches: Path) -> Cohort:
    return read_table(described(tree), caches / "headers.sqlite", Reading(spacing_mm=12.0))


def recipe(preset: Preset, *settings: str) -> Recipe:
    return with_settings(PRESETS[preset], [*SETTINGS, *settings])


def plan(out: Path, caches: Path, preset: Preset = Preset.PAPER, *settings: str) -> RunPlan:
    return RunPlan("tiny", recipe(preset, *settings), out, caches, folds=2, workers=1, resamples=50)


def rows(path: Path) -> list[dict[str, str]]:
    """Of a table that a run wrote."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
