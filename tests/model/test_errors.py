import pickle
from pathlib import Path

import pytest

from survnode.model import errors


@pytest.mark.parametrize(
    "error",
    [
        errors.SeriesUnsuitable(errors.Reason.GANTRY_TILT, "Found 14.0 degrees."),
        errors.SeriesUnsuitable(errors.Reason.NO_LUNGS),
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


def test_a_refusal_is_told_by_its_reason_and_its_numbers() -> None:
    refusal = errors.SeriesUnsuitable(errors.Reason.GANTRY_TILT, "Found 14.0 degrees.")
    assert str(refusal) == "The gantry was tilted. Found 14.0 degrees."
    assert str(errors.SeriesUnsuitable(errors.Reason.NO_LUNGS)) == "No lungs were found in the images."


def test_every_reason_is_known_by_its_code_and_has_a_sentence_of_its_own() -> None:
    assert all(reason.value == reason.name == str(reason) for reason in errors.Reason)
    assert [pickle.loads(pickle.dumps(reason)) for reason in errors.Reason] == list(errors.Reason)
    assert all(reason.sentence.endswith(".") for reason in errors.Reason)
    assert len({reason.sentence for reason in errors.Reason}) == len(errors.Reason)
