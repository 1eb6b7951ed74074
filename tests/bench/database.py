"""What the node asks of its database, timed as the number of studies grows: none of it may grow with them.

The rows are written by SQL; the files that they name are not there. Each study has a job that ended, four results that
arrived, and its images. Told is the shortest of several times, in milliseconds, since what is longer is of whatever
else the machine does; a try at a dead destination is made once for each number of objects that wait for it.

    python tests/bench/database.py [--studies 1000 --studies 10000] [--images 300] [--repeats 10] [--json]
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from survnode.node import errors
from survnode.node.delivery.destination import Destination
from survnode.node.delivery.outbox import Outbox
from survnode.node.delivery.sender import Outgoing, SendOutcome
from survnode.node.logs import configure_logging
from survnode.node.state import audit_trail, check_rows
from survnode.node.state.database import Database
from survnode.node.state.delivery_summaries import read_destinations
from survnode.node.state.due_times import wait_for_senders
from survnode.node.state.ingest import Ingest
from survnode.node.state.retention import delete_expired
from survnode.node.state.study_summaries import count_studies, list_jobs, list_studies, oldest_waiting, read_study
from survnode.node.state.summaries import Page, Search, Standing
from survnode.node.work import jobs

NOW = 2_000_000_000.0
WAITING = (16_000, 48_000)  # objects, for a destination that is dead
DEAD = Destination("dead", "DEAD", "127.0.0.1", 104)
A_DAY_S = 86_400.0
PER_DAY = 500  # studies

STUDIES = f"""
INSERT INTO studies (study_instance_uid, patient_id, patient_conflict, first_received_at, last_received_at, due_at,
    revision, state, error, detail, accession_number, study_date, calling_ae_title, called_ae_title, rule)
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :studies)
SELECT printf('1.2.840.99999.1.20260101.%09d', i), 'P' || i, 0, at, at, NULL, 300, 'ASSEMBLED', '', '', 'A' || i,
    '20260101', 'CT1', 'NODE', '' FROM (SELECT i, {NOW} - (:studies - i) * {A_DAY_S / PER_DAY} AS at FROM n)
"""
INSTANCES = """
INSERT INTO instances (sop_instance_uid, sop_class_uid, study_instance_uid, series_instance_uid, transfer_syntax_uid,
    patient_id, calling_ae_title, sha256, size_bytes, path, received_at, state)
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :images)
SELECT study_instance_uid || '.1.' || i, '1.2.840.10008.5.1.4.1.1.2', study_instance_uid, study_instance_uid || '.1',
    '1.2.840.10008.1.2.1', patient_id, 'CT1', hex(randomblob(32)), 526000,
    printf('studies/%032x/%032x/', studies.rowid, studies.rowid) || hex(randomblob(16)) || '.dcm', last_received_at,
    'STORED' FROM studies, n
"""
JOBS = """
INSERT INTO jobs (study_instance_uid, series_instance_uid, sop_instance_uids, input_digest, device_uid, version, detail,
    verdicts, state, created_at, due_at, attempts, failures, kills, token, started_at, ended_at, error, reports_refusal)
SELECT study_instance_uid, study_instance_uid || '.1',
    (SELECT group_concat(sop_instance_uid, char(10)) FROM instances AS i
        WHERE i.study_instance_uid = studies.study_instance_uid),
    hex(randomblob(32)), '2.25.1', 1, '', '[]', 'FINISHED', last_received_at, last_received_at, 1, 0, 0, 1,
    last_received_at + 60, last_received_at + 70, '', 1 FROM studies
"""
RESULTS = """
INSERT INTO results (job_id, role, rank, sop_class_uid, sop_instance_uid, series_instance_uid, path, created_at)
SELECT id, role, rank, uid, '2.25.' || id || '.' || rank || '.' || role, '2.25.' || id, id || '/' || role || rank,
    ended_at FROM jobs, (SELECT 'report' AS role, 0 AS rank, '1.2.840.10008.5.1.4.1.1.88.34' AS uid
    UNION ALL SELECT 'captures', 1, '1.2.840.10008.5.1.4.1.1.7' UNION ALL SELECT 'captures', 2,
    '1.2.840.10008.5.1.4.1.1.7' UNION ALL SELECT 'key_objects', 0, '1.2.840.10008.5.1.4.1.1.88.59')
"""
DELIVERIES = """
INSERT INTO deliveries (result_id, job_id, destination, state, created_at, due_at, tries, settled_at, error, doubts,
    commitment, commitment_tries, commitment_error)
SELECT id, job_id, :destination, :state, created_at, created_at, :tries, :settled_at, '', 0, 'NONE', 0, ''
    FROM results ORDER BY id LIMIT :limit
"""
ACTIVE = (
    "UPDATE studies SET state = 'RECEIVING', due_at = last_received_at + 60 WHERE rowid > :studies - 20",
    "UPDATE jobs SET state = 'QUEUED', ended_at = NULL WHERE id = :studies - 30",
)


def fill(database: Database, studies: int, images: int) -> None:
    """Write the rows, which are not audited: the triggers are made anew behind them."""
    with database.transaction() as connection:
        connection.exec_driver_sql("DROP VIEW happening")  # and its trigger
        triggers = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").scalars().all()
        for name in triggers:
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        numbers = {"studies": studies, "images": images}
        sent = {"destination": "pacs", "state": "SENT", "tries": 1, "settled_at": NOW, "limit": -1}
        for statement in (STUDIES, INSTANCES, JOBS, RESULTS):
            connection.exec_driver_sql(statement, numbers)
        connection.exec_driver_sql(DELIVERIES, sent)
        for statement in ACTIVE:
            connection.exec_driver_sql(statement, numbers)
        audit_trail.create(connection)


def questions(database: Database, studies: int) -> dict[str, Callable[[], object]]:
    """What is asked again and again, or at each start."""
    uid = f"1.2.840.99999.1.20260101.{studies // 2:09d}"
    rows = Ingest(database)

    def due() -> object:
        with database.reading() as connection:
            return check_rows.due_studies(connection, NOW)

    return {
        "claim": lambda: jobs.claim(database, "worker", now=0.0, lease_s=60),  # nothing is due: the whole search
        "assembly sweep": due,
        "lease sweep": lambda: jobs.expire_leases(database, now=NOW, uptime_s=1.0),
        "start-up: jobs": lambda: jobs.recover(database, now=NOW),
        "start-up: studies that came": lambda: wait_for_senders(database, until=0.0),
        "start-up: files of a study": lambda: rows.states_below(f"studies/{studies // 2:032x}"),
        "retention sweep": lambda: delete_expired(
            database, Path("absent"), Path("absent"), now=NOW, retention_s=A_DAY_S * 36_500
        ),
        "studies list": lambda: list_studies(database, Search(), page=Page()),
        "studies list --state failed": lambda: list_studies(database, Search(), Standing.FAILED, Page()),
        "studies show": lambda: read_study(database, uid),
        "jobs list": lambda: list_jobs(database, page=Page()),
        "status: today": lambda: count_studies(database, received_since=NOW - A_DAY_S),
        "status: oldest that waits": lambda: oldest_waiting(database),
        "status: destinations": lambda: read_destinations(database, ("pacs",)),
    }


def try_dead(database: Database, waiting: int) -> float:
    """Seconds of one try at a dead destination for which so many objects wait."""
    planned = {"destination": DEAD.name, "state": "WAITING", "tries": 0, "settled_at": None, "limit": waiting}
    with database.transaction() as connection:
        connection.exec_driver_sql("DELETE FROM deliveries WHERE destination = ?", (DEAD.name,))
        connection.exec_driver_sql(DELIVERIES, planned)

    def down(_destination: Destination, _objects: Sequence[Outgoing]) -> Iterator[SendOutcome]:
        raise errors.DestinationUnreachable("dead cannot be reached.")

    began = time.perf_counter()
    Outbox(database, Path("absent"), clock=lambda: NOW).deliver_due(DEAD, down)
    return time.perf_counter() - began


def shortest_ms(act: Callable[[], object], repeats: int) -> float:
    """How long it takes at best."""
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        act()
        taken.append((time.perf_counter() - began) * 1000)
    return round(min(taken), 2)


def measured(folder: Path, studies: int, images: int, repeats: int) -> dict[str, float]:
    """The milliseconds of each question to a database of so many studies."""
    path = folder / f"{studies}.db"
    database = Database(path)
    fill(database, studies, images)
    found = {what: shortest_ms(act, repeats) for what, act in questions(database, studies).items()}
    for waiting in WAITING:
        if 4 * studies >= waiting:
            found[f"a try, {waiting} waiting"] = round(try_dead(database, waiting) * 1000, 2)
    database.close()
    found["MB"] = round(path.stat().st_size / 1e6)
    path.unlink()
    return found


def measure(
    studies: Annotated[list[int] | None, typer.Option(help="In the database; may be given several times.")] = None,
    images: Annotated[int, typer.Option(help="Of each study.")] = 300,
    repeats: Annotated[int, typer.Option(help="Of each question.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a script.")] = False,
) -> None:
    """Time what is asked of databases of several sizes."""
    configure_logging("error")
    sizes = studies or [1000, 10_000, 100_000]
    with TemporaryDirectory(prefix="survnode-bench-", dir=Path.cwd()) as name:
        found = {size: measured(Path(name), size, images, repeats) for size in sizes}
    if as_json:
        print(json.dumps({"ms": found}))  # noqa: T201
        return
    table = Table(title=f"milliseconds at best; studies of {images} images")
    for column in ("", *(f"{size} studies" for size in sizes)):
        table.add_column(column)
    for what in dict.fromkeys(what for told in found.values() for what in told):
        table.add_row(what, *(str(told.get(what, "")) for told in found.values()))
    Console().print(table)


if __name__ == "__main__":
    typer.run(measure)
