from survnode.node.intake.association.limit import AssociationLimit

ONE, TWO, THREE = "192.0.2.1", "192.0.2.2", "192.0.2.3"


def test_there_are_so_many_places_and_one_given_back_is_taken_again() -> None:
    places = AssociationLimit(2)
    assert [places.take("A", ONE), places.take("B", TWO), places.take("C", THREE)] == [True, True, False]
    places.give_back("A", ONE)
    assert [places.take("C", THREE), places.take("A", ONE)] == [True, False]


def test_an_address_has_as_many_places_as_are_free_whatever_title_it_claims() -> None:
    places = AssociationLimit(12)
    assert [places.take(f"A{number}", ONE) for number in range(8)] == [True] * 6 + [False] * 2
    assert [places.take("B", TWO) for _ in range(4)] == [True] * 3 + [False]
    assert places.take("C", THREE)
    places.give_back("A0", ONE)
    assert not places.take("A0", ONE)  # it has 5, and 3 are free
    assert places.take("B", THREE)


def test_one_place_alone_is_anybodys() -> None:
    assert AssociationLimit(1).take("A", ONE)


def test_a_listed_sender_finds_a_place_whatever_another_does() -> None:
    places = AssociationLimit(6, ["A", "B"])
    assert [places.take("A", ONE) for _ in range(5)] == [True, True, True, False, False]
    assert [places.take("A", TWO) for _ in range(3)] == [True, False, False]
    assert [places.take("A", THREE), places.take("A", "192.0.2.4")] == [True, False]
    assert places.take("B", ONE)
    places.give_back("A", ONE)
    assert places.take("B", THREE) is False
    assert places.take("B", "192.0.2.5")


def test_more_senders_than_places_share_them_as_they_come() -> None:
    places = AssociationLimit(2, ["A", "B", "C"])
    assert [places.take(title, address) for title, address in zip("CBA", (ONE, TWO, THREE), strict=True)] == [
        True,
        True,
        False,
    ]
