import pytest

from survnode.node.state.records import (
    AssociationEnd,
    CommitmentState,
    DeliveryState,
    InstanceState,
    JobState,
    Keeping,
    State,
    StudyState,
)


@pytest.mark.parametrize(
    "states", [InstanceState, StudyState, JobState, DeliveryState, CommitmentState, Keeping, AssociationEnd]
)
def test_every_state_explains_itself_in_a_sentence(states: type[State]) -> None:
    members = list(states)
    assert members
    assert all(state.sentence.endswith(".") and state.value == state.name for state in members)
