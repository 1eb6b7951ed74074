from survnode.node.state.database import Database
from survnode.node.state.profile_rows import find_profile, keep_profile
from survnode.node.state.records import Profile


def test_the_last_answer_of_a_destination_is_kept(database: Database) -> None:
    with database.transaction() as connection:
        assert find_profile(connection, "pacs") is None
        keep_profile(connection, Profile("pacs", ("1.2",), 1.0))
        keep_profile(connection, Profile("pacs", ("1.2", "1.3"), 2.0))
        assert find_profile(connection, "pacs") == Profile("pacs", ("1.2", "1.3"), 2.0)
