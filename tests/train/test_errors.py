import inspect
import signal

import pytest

from survnode.train import errors
from survnode.train.cohorts import errors as cohort_errors


@pytest.mark.parametrize("module", [errors, cohort_errors])
def test_the_docstring_draws_every_error(module: object) -> None:
    kinds = [kind for _, kind in inspect.getmembers(module, inspect.isclass) if issubclass(kind, errors.TrainError)]
    drawn = (inspect.getdoc(module) or "") + "TrainError"
    names = [kind.__name__ for kind in kinds if not kind.__name__.startswith("_")]
    assert [name for name in names if name not in drawn] == []


@pytest.mark.parametrize(
    ("exit_code", "how"),
    [(-signal.SIGKILL, "by SIGKILL"), (-signal.SIGTERM, "by SIGTERM"), (1, "from outside"), (None, "from outside")],
)
def test_a_lost_worker_says_what_ended_it_and_that_nothing_is_lost(exit_code: int | None, how: str) -> None:
    lost = errors.WorkerLost(exit_code)
    assert f"ended {how};" in str(lost)
    assert "the same command goes on where it was" in str(lost)
    assert lost.exit_code == exit_code
