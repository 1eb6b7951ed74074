"""What was predicted of a cohort is measured and written as tables: at the end of a run, and of a finished model."""

from survnode.train.measure.evaluate import Evaluation, evaluate
from survnode.train.runs.material import Material
from survnode.train.runs.plan import RunPlan
from survnode.train.runs.results import Predictions, write_tables
from survnode.train.runs.subgroups import write_subgroups


def measure(plan: RunPlan, material: Material, predictions: Predictions) -> Evaluation:
    """Measure the predictions of all patients of a cohort, and write its tables to ``plan.out``."""
    cohort = material.cohort
    evaluation = evaluate(
        cohort.time_months,
        cohort.event,
        predictions.cif,
        folds=predictions.fold,
        resamples=plan.resamples,
        seed=plan.seed,
        remark=predictions.remark,
    )
    write_tables(plan.out, predictions, cohort, material.slices)
    write_subgroups(plan.out, plan, cohort, predictions)
    return evaluation
