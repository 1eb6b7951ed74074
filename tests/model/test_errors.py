import pickle
from pathlib import Path

import pytest

from survnode.model import errors


@pytest.mark.parametrize(
    "error",
    [
        errors.GantryTilt("Found 14.0 degrees."),
        errors.NoLungs(),
        errors.WeightsMissing("w", "ab", [Path("here"), "there"], "Get it."),
        errors.WeightsChanged("w", Path("here"), "ab", "cd"),
        errors.CheckpointRefused("It is absent."),
    ],
)
def test_an_error_crosses_a_process_as_it_is(error: errors.ModelError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_every_reason_has_its_words_and_all_but_the_study_s_its_class() -> None:
    def kinds(parent: type[errors.SeriesUnsuitable]) -> set[type[errors.SeriesUnsuitable]]:
        return {parent, *(kind for child in parent.__subclasses__() for kind in kinds(child))}

    named = {kind.reason for kind in kinds(errors.SeriesUnsuitable) - {errors.SeriesUnsuitable}}
    assert named == set(errors.Reason) - {errors.Reason.NO_ELIGIBLE_SERIES}
    assert all(reason.sentence.endswith(".") for reason in errors.Reason)
