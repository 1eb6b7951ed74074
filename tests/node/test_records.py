import pytest

from survnode.node.records import DeliveryState, InstanceState, JobState, State, StudyState


@pytest.mark.parametrize("states", [InstanceState, StudyState, JobState, DeliveryState])
def test_every_state_explains_itself_in_a_sentence(states: type[State]) -> None:
    members = list(states)
    assert members
    assert all(state.sentence.endswith(".") and state.value == state.name for state in members)
