"""Training chooses between the series of a patient as the node does between those of a study."""

from itertools import combinations
from pathlib import Path

import pytest

from survnode.model.ct.volume import read_headers
from survnode.node.intake import assembly
from survnode.train.cohorts.choice import choose, judge_series
from survnode.train.cohorts.dicom_tree import DicomTree, index_tree

from ..trees import positions, write_series

GEOMETRIES = [
    (positions(3, 60), 4),
    (positions(3, 60), 2),
    (positions(3, 64), 5),
    (positions(5, 40), 1),
    (positions(1, 100), 1),
    (positions(3, 10), 1),
    ([*positions(3, 70), 400.0], 1),
    ([0.0] * 30, 1),
]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> DicomTree:
    folder = tmp_path_factory.mktemp("choice")
    for number, (z_mm, series_number) in enumerate(GEOMETRIES):
        write_series(folder / "tree", "A", f"{number + 1}", z_mm=z_mm, number=series_number)
    return index_tree(folder / "tree", folder / "index")


def test_choice_is_the_nodes(tree: DicomTree, tmp_path: Path) -> None:
    verdicts = judge_series(tree.series, tmp_path / "index")
    headers = {one.series_instance_uid: read_headers(one.paths) for one in tree.series}
    for size in (1, 2, 3, len(GEOMETRIES)):
        for uids in combinations(headers, size):
            ours = choose(verdicts[uid] for uid in uids)
            theirs = assembly.choose({uid: headers[uid] for uid in uids})
            assert ours.best.series_instance_uid == theirs.series_instance_uid
            assert (ours.best.reason, ours.best.detail) == (theirs.reason, theirs.detail)
            told = {one.series_instance_uid: one.detail for one in theirs.verdicts if one.reason is None}
            for uid, why in ours.passed_over.items():
                if uid in told:
                    assert why == told[uid]
