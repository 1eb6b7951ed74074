from datetime import UTC, datetime

from sqlalchemy import Float, Integer, cast, create_engine, null, select

from survnode.node.state.readable_columns import hexadecimal, moment


def test_seconds_become_moments_in_utc_and_statuses_hexadecimal_and_nothing_stays_nothing() -> None:
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        row = connection.execute(
            select(
                moment(cast(86400.5, Float), "at"),
                hexadecimal(cast(0xA700, Integer), "status"),
                hexadecimal(cast(0, Integer), "success"),
                moment(cast(null(), Float), "never"),
                hexadecimal(cast(null(), Integer), "none"),
            )
        ).one()
    engine.dispose()
    assert row._mapping == {
        "at": datetime(1970, 1, 2, 0, 0, 0, 500_000, tzinfo=UTC),
        "status": "0xA700",
        "success": "0x0000",
        "never": None,
        "none": None,
    }
