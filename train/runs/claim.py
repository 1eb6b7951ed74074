"""Whose folder it is: what a run is stands in its ``run.json``, and nothing else goes on in it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import JsonValue

from survnode.train.cohorts.cohort import Cohort
from survnode.train.cohorts.folds import Fold, Role
from survnode.train.errors import RunDiffers
from survnode.train.fit.files import write_whole
from survnode.train.runs.plan import RunPlan

RUN, EXCLUSIONS = "run.json", "exclusions.csv"


def refuse_other_settings(plan: RunPlan) -> None:
    """Refuse the folder of a run with other settings, before its slices are made; see `claim`."""
    _refuse_other(plan.out, _settings(plan))


def claim(plan: RunPlan, cohort: Cohort, folds: Sequence[Fold], unseen: Cohort | None) -> None:
    """Say whose folder it is.

    Parameters
    ----------
    unseen : measured by all folds together; None where each fold tests a part of the cohort

    Raises
    ------
    RunDiffers
        It is another run's: two are never mixed.
    """
    own = {
        **_settings(plan),
        "cohort": _named(cohort),
        "folds": [{str(role): list(fold.of(role)) for role in Role} for fold in folds],
        "unseen": None if unseen is None else _named(unseen),
    }
    _refuse_other(plan.out, own)
    write_whole(plan.out / RUN, (json.dumps(own, indent=2) + "\n").encode())


def _settings(plan: RunPlan) -> dict[str, JsonValue]:
    return {
        "name": plan.name,
        "seed": plan.seed,
        "init": None if plan.init is None else str(plan.init.resolve()),
        "recipe": plan.recipe.model_dump(mode="json"),
        **({} if plan.table is None else {"features": plan.table.sha256}),
    }


def _refuse_other(out: Path, own: Mapping[str, object]) -> None:
    path = out / RUN
    if path.exists():
        begun = json.loads(path.read_text(encoding="utf-8"))
        differing = [key for key in own if begun.get(key) != own[key]]
        if differing:
            msg = f"The run in {out} was begun differently ({', '.join(differing)}): name another folder."
            raise RunDiffers(msg)


def _named(cohort: Cohort) -> dict[str, JsonValue]:
    named: dict[str, JsonValue] = {"name": cohort.name, "sha256": cohort.sha256}
    return {**named, "deidentified": True} if cohort.deidentified else named
