import pytest

from survnode.model.errors import Explained
from survnode.node.state.records import (
    AssociationEnd,
    CommitmentState,
    DeliveryState,
    InstanceState,
    JobState,
    Keeping,
    StudyState,
)


@pytest.mark.parametrize(
    "states", [InstanceState, StudyState, JobState, DeliveryState, CommitmentState, Keeping, AssociationEnd]
)
def test_every_state_explains_itself_in_a_sentence(states: type[Explained]) -> None:
    members = list(states)
    assert members
    assert all(state.sentence.endswith(".") and state.value == state.name for state in members)
