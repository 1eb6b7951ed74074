from survnode.node.state.summaries import Page, Standing, StudyCounts


def test_pages_follow_each_other_without_a_gap() -> None:
    assert [Page(20, number).offset for number in (1, 2, 3)] == [0, 20, 40]


def test_studies_are_counted_for_each_standing_that_there_is() -> None:
    assert set(StudyCounts.__dataclass_fields__) == {"received", *(standing.lower() for standing in Standing)}
