"""What one run is: its recipe, its folder, its seed."""

import os
from dataclasses import dataclass
from pathlib import Path

from survnode.train.cohorts.feature_table import FeatureTable
from survnode.train.cohorts.folds import Fold
from survnode.train.measure.resampling import RESAMPLES
from survnode.train.recipe import Recipe


@dataclass(frozen=True)
class RunPlan:
    """One run.

    Parameters
    ----------
    out : folder of the run
    caches : folder that any number of runs share: slices, features and headers
    folds, seed : of the cross-validation; the seed is also that of the networks
    init : a run or checkpoint whose networks are started from, fold by fold
    allow_overlap : measure also patients whom a model has seen, and mark every result
    table : what is known of the patients beside the image; None for nothing
    workers : processes; 1 does everything in this one, as a GPU wants it
    """

    name: str
    recipe: Recipe
    out: Path
    caches: Path
    folds: int = 10
    seed: int = 42
    init: Path | None = None
    workers: int = os.cpu_count() or 1
    device: str = "cpu"
    resamples: int = RESAMPLES
    allow_overlap: bool = False
    table: FeatureTable | None = None

    def folder(self, fold: Fold) -> Path:
        """Of a fold's checkpoint."""
        return self.out / "folds" / str(fold.number)
