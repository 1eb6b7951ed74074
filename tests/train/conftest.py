"""The cohort of a few coarse phantoms, written and read once for all tests of a process."""

from pathlib import Path

import pytest

from survnode.train.cohorts.cohort import Cohort

from .tiny import load_tiny, write_tiny_tree


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its DICOM files and tables; not to be changed."""
    return write_tiny_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="session")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What runs of it share."""
    return tmp_path_factory.mktemp("caches")


@pytest.fixture(scope="session")
def cohort(tree: Path, caches: Path) -> Cohort:
    return load_tiny(tree, caches)
