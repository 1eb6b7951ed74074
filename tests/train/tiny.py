"""A cohort of a few coarse phantoms on disk, and the settings that make a run of it short."""

from pathlib import Path

from survnode.train.cohorts.cohort import Cohort
from survnode.train.cohorts.phantom import PhantomPatient
from survnode.train.cohorts.phantom_tree import CLINICAL, Matrix, rules, write_tree
from survnode.train.cohorts.table import load_cohort
from survnode.train.names import Preset
from survnode.train.presets import PRESETS, Recipe, with_settings

PATIENTS = tuple(
    PhantomPatient(seed, radius, 4.0, 14.0, months, event=months < 24)
    for seed, (radius, months) in enumerate(
        [(40.0, 3.0), (35.0, 8.5), (0.0, 40.0), (30.0, 12.0), (8.0, 33.0), (38.0, 5.5), (12.0, 28.0), (6.0, 50.0)]
    )
)
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
    return folder


def load_tiny(tree: Path, caches: Path) -> Cohort:
    return load_cohort(tree / CLINICAL, tree, rules(), caches / "headers.sqlite", spacing_mm=12.0)


def recipe(preset: Preset, *settings: str) -> Recipe:
    return with_settings(PRESETS[preset], [*SETTINGS, *settings])
