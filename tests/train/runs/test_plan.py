from pathlib import Path

from survnode.train.cohorts.folds import Fold
from survnode.train.recipe import Recipe
from survnode.train.runs.plan import RunPlan


def test_each_fold_has_a_folder_of_its_own_in_the_run() -> None:
    plan = RunPlan("a run", Recipe(), Path("out"), Path("caches"), folds=2)
    folders = [plan.folder(Fold(number, (), (), ())) for number in range(plan.folds)]
    assert folders == [Path("out/folds/0"), Path("out/folds/1")]
