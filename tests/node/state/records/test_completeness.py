import pytest

from survnode.node.state.records import CheckState, Completeness


@pytest.mark.parametrize(
    ("received", "expected", "lacking"), [(40, 41, True), (41, 41, False), (42, 41, False), (40, None, False)]
)
def test_something_is_lacking_only_if_the_source_is_known_to_hold_more(
    received: int, expected: int | None, lacking: bool
) -> None:
    assert Completeness(CheckState.INCOMPLETE, received, expected).is_lacking == lacking
