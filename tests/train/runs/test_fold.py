"""One fold: made once, tested on its own patients, written as a checkpoint."""

from dataclasses import replace
from pathlib import Path

import pytest

from survnode.model.checkpoint import read_card
from survnode.train.fit.loop import Epoch
from survnode.train.runs import fold as fold_module
from survnode.train.runs.finish import Run
from survnode.train.runs.fold import STATE, fit_fold


def test_finished_fold_is_read_and_not_made_again(whole: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold_module, "_fit", lambda *_: pytest.fail("made again"))
    again = fit_fold(whole.material, whole.folds[1], whole.plan.folder(whole.folds[1]))
    assert again.best == whole.results[1].best
    assert again.predicted.cif.tolist() == whole.results[1].predicted.cif.tolist()


def test_card_of_a_fold_counts_its_training_part_and_tells_its_test(whole: Run) -> None:
    fold = whole.folds[0]
    card = read_card(whole.plan.folder(fold))
    assert (card.members, card.cohort.n_patients) == (1, len(fold.train))
    assert card.metrics["test"] == {"patients": len(fold.test), "ctd": whole.evaluation.ctd_by_fold[0]}
    assert card.metrics["epoch"] == whole.results[0].best.number


def test_fold_that_tests_nobody_has_no_figure_of_a_test_and_leaves_no_state(whole: Run, tmp_path: Path) -> None:
    fold = replace(whole.folds[0], test=())
    epochs: list[Epoch] = []
    result = fit_fold(whole.material, fold, tmp_path, epochs.append)
    assert result.predicted.cif.shape == (0, 24)
    assert "test" not in read_card(tmp_path).metrics
    assert [epoch.number for epoch in epochs] == [1, 2, 3]
    assert not (tmp_path / STATE).exists()
