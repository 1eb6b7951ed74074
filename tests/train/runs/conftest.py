"""A finished run of the tiny cohort."""

from pathlib import Path

import pytest

from survnode.train.cohorts.cohort import Cohort
from survnode.train.runs.finish import Run
from survnode.train.runs.run import run

from ..tiny import plan


@pytest.fixture(scope="session")
def whole(cohort: Cohort, caches: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Not to be changed."""
    return run(cohort, plan(tmp_path_factory.mktemp("run") / "out", caches))
