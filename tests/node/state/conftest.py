"""How SQLite finds rows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, event

from survnode.node.state.database import Database


@contextmanager
def plans(database: Database) -> Iterator[list[str]]:
    """How SQLite finds the rows of each SELECT of the block."""
    found: list[str] = []

    def explain(connection: Connection, _: object, statement: str, parameters: Sequence[object], *__: object) -> None:
        if statement.lstrip().startswith("SELECT"):
            steps = connection.connection.cursor().execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            found.extend(step[3] for step in steps)

    engine = database._engine
    event.listen(engine, "before_cursor_execute", explain)
    yield found
    event.remove(engine, "before_cursor_execute", explain)
