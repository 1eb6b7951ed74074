from survnode.node.intake.association.limit import AssociationLimit


def test_there_are_so_many_places_and_one_given_back_is_taken_again() -> None:
    places = AssociationLimit(2)
    assert [places.take("A"), places.take("B"), places.take("C")] == [True, True, False]
    places.give_back("A")
    assert [places.take("C"), places.take("A")] == [True, False]


def test_a_listed_sender_finds_a_place_whatever_another_does() -> None:
    places = AssociationLimit(4, ["A", "B"])
    assert [places.take("A") for _ in range(4)] == [True, True, True, False]
    assert places.take("B")
    places.give_back("A")
    assert places.take("B")


def test_more_senders_than_places_share_them_as_they_come() -> None:
    places = AssociationLimit(2, ["A", "B", "C"])
    assert [places.take(title) for title in "CBA"] == [True, True, False]
