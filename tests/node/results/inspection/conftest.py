"""One object of each kind."""

from typing import Any

import numpy as np
import pytest

from survnode.model.ct.volume import load_volume
from survnode.model.prediction import Prediction
from survnode.node.results.bundle import analysed
from survnode.node.results.envelope import SourceStudy
from survnode.node.results.identity import Layout, Predecessor
from survnode.node.results.summary import analysed_summary
from survnode.node.roles import ResultRole

from ..conftest import Geometry, a_prediction, a_run, placed_headers
from .spoilt import Results


@pytest.fixture(scope="module")
def source() -> SourceStudy:
    return SourceStudy(tuple(placed_headers(Geometry())))


@pytest.fixture(scope="module")
def prediction(source: SourceStudy) -> Prediction:
    return a_prediction(load_volume(source.headers).images)


@pytest.fixture(scope="module")
def whole(source: SourceStudy, prediction: Prediction) -> Results:
    """One object of each kind, and more captures."""
    volume = load_volume(source.headers)
    layout = Layout(optional=frozenset({ResultRole.PDF, ResultRole.SEGMENTATION, ResultRole.ATTENTION_REPORT}))
    lungs = np.clip(volume.hu, 0, 2).astype(np.uint8)
    before = Predecessor("1.2.840.10008.5.1.4.1.1.88.34", "2.25.7", "2.25.8", "1.2.3")
    return analysed(source, volume, prediction, a_run(version=2, predecessor=before), layout, lungs)


@pytest.fixture(scope="module")
def summary(whole: Results, prediction: Prediction, source: SourceStudy) -> dict[str, Any]:
    return analysed_summary(prediction, load_volume(source.headers), source, whole, a_run())
