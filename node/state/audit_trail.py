"""The audit trail: who sent what, what was made of it, where it went, who withdrew or retried; rows that only grow.

The database writes it itself, by triggers, in the transaction of what it tells of: no code can forget it, and what is
rolled back was never told. Each row holds the hash of the one before, so that none can be changed, taken out or put in
without a trace. One row an association, a state of a study, a job or a delivery, and a result; none an image.

Whoever writes to the node's tables needs the functions that `provide` adds to a connection.
"""

# ruff: noqa: S608  # SQL of constants
import getpass
import json
import multiprocessing
import os
import re
import sqlite3
import sys
from hashlib import sha256

from sqlalchemy import Connection

COLUMNS = (
    *("kind", "before", "after", "study_instance_uid", "patient_id", "job", "destination", "sop_instance_uid"),
    *("peer", "ae_title", "certificate", "detail"),
)
CHAINED = ("id", "at", "account", *COLUMNS)  # what a row's hash holds besides the hash of the row before
SERVE = "serve"
_COMMAND = re.compile(r"[a-z]+(-[a-z]+)*")


def provide(connection: sqlite3.Connection) -> None:
    """Let a connection write to tables that are audited."""
    account = account_of_process()
    connection.create_function("audit_hash", -1, chained_hash, deterministic=True)
    connection.create_function("audit_account", 0, lambda: account)


def chained_hash(before: str, *values: object) -> str:
    """The hash of a row whose `CHAINED` columns are ``values``."""
    return sha256(json.dumps([before, *values]).encode()).hexdigest()


def account_of_process() -> str:
    """Who acts: the account, whoever took it by sudo, and the command; never an argument, which may be a patient's."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's number without a name
        user = str(os.getuid())
    sudo = os.environ.get("SUDO_USER")
    who = f"{sudo} as {user}" if sudo else user
    child = multiprocessing.parent_process() is not None
    words = [SERVE] if child else [word for word in sys.argv[1:3] if _COMMAND.fullmatch(word)]
    return ": ".join((who, " ".join(words))) if words else who


def create(connection: Connection) -> None:
    """Make the triggers on tables that are there."""
    for statement in (_HAPPENING, _CHAIN, *_STAYS, *_EVENTS):
        connection.exec_driver_sql(statement)


_LIST, _NEW = ", ".join(COLUMNS), ", ".join(f"NEW.{name}" for name in COLUMNS)

_HAPPENING = f"CREATE VIEW happening AS SELECT {_LIST} FROM audit"

_CHAIN = f"""
CREATE TRIGGER audit_chain INSTEAD OF INSERT ON happening BEGIN
    INSERT INTO audit (id, at, account, {_LIST}, hash)
    SELECT id, at, account, {_NEW}, audit_hash(last, id, at, account, {_NEW})
    FROM (
        SELECT
            coalesce((SELECT max(id) FROM audit), 0) + 1 AS id,
            coalesce((SELECT hash FROM audit ORDER BY id DESC LIMIT 1), '') AS last,
            (julianday('now') - 2440587.5) * 86400.0 AS at,
            audit_account() AS account
    );
END
"""

_STAYS = (
    """
    CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit trail only grows'); END
    """,
    """
    CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit trail only grows'); END
    """,
    """
    CREATE TRIGGER audit_is_not_replaced BEFORE INSERT ON audit
    WHEN NEW.id IS NOT coalesce((SELECT max(id) FROM audit), 0) + 1
    BEGIN SELECT RAISE(ABORT, 'the audit trail only grows'); END
    """,
)

_STUDY_OF_JOB = """
    (SELECT study_instance_uid FROM jobs WHERE id = {job}),
    (SELECT patient_id FROM studies JOIN jobs USING (study_instance_uid) WHERE jobs.id = {job})
"""


def _trigger(name: str, when: str, columns: str, values: str) -> str:
    return f"CREATE TRIGGER {name} AFTER {when} BEGIN INSERT INTO happening ({columns}) VALUES ({values}); END"


def _changed(column: str, table: str) -> str:
    return f"UPDATE OF {column} ON {table} WHEN OLD.{column} IS NOT NEW.{column}"


def _study(before: str, after: str, row: str) -> tuple[str, str]:
    """The columns and values of an event of a study."""
    images = f"(SELECT count(*) FROM instances WHERE study_instance_uid = {row}.study_instance_uid)"
    senders = (
        "(SELECT group_concat(title, ' ') FROM (SELECT DISTINCT calling_ae_title AS title FROM instances "
        f"WHERE study_instance_uid = {row}.study_instance_uid))"
    )
    return (
        "kind, before, after, study_instance_uid, patient_id, ae_title, detail",
        f"'STUDY', {before}, {after}, {row}.study_instance_uid, {row}.patient_id, "
        f"coalesce({senders}, {row}.calling_ae_title), {images} || ' images'",
    )


def _job(before: str) -> tuple[str, str]:
    return (
        "kind, before, after, study_instance_uid, patient_id, job, detail",
        f"'JOB', {before}, NEW.state, NEW.study_instance_uid, "
        "(SELECT patient_id FROM studies WHERE study_instance_uid = NEW.study_instance_uid), NEW.id, "
        "'version ' || NEW.version || ', try ' || NEW.attempts || ', model ' || NEW.device_uid "
        "|| CASE WHEN NEW.error = '' THEN '' ELSE ': ' || NEW.error END",
    )


def _delivery(kind: str, column: str, before: str) -> tuple[str, str]:
    """Without the error, which quotes the destination's own words: these may name a patient."""
    return (
        "kind, before, after, study_instance_uid, patient_id, job, destination, sop_instance_uid, detail",
        f"'{kind}', {before}, NEW.{column}, {_STUDY_OF_JOB.format(job='NEW.job_id')}, NEW.job_id, NEW.destination, "
        "(SELECT sop_instance_uid FROM results WHERE id = NEW.result_id), "
        "CASE WHEN NEW.status IS NULL THEN '' ELSE printf('status 0x%04X', NEW.status) END",
    )


_MOMENT = "strftime('%Y-%m-%dT%H:%M:%fZ', {}, 'unixepoch')"

_EVENTS = (
    _trigger(
        "audit_association",
        'INSERT ON associations WHEN NEW.images OR NEW.refused OR NEW."end" IN '
        "('REJECTED', 'ADDRESS_REFUSED', 'TLS_REFUSED')",
        "kind, after, peer, ae_title, certificate, detail",
        "'ASSOCIATION', NEW.\"end\", NEW.peer, NEW.calling_ae_title, nullif(NEW.certificate, ''), "
        "NEW.images || ' images, ' || NEW.refused || ' refused, ' || NEW.size_bytes || ' bytes, '"
        f"|| {_MOMENT.format('NEW.began_at')} || ' to ' || {_MOMENT.format('NEW.ended_at')}",
    ),
    _trigger("audit_new_study", "INSERT ON studies", *_study("NULL", "NEW.state", "NEW")),
    _trigger("audit_study", _changed("state", "studies"), *_study("OLD.state", "NEW.state", "NEW")),
    _trigger("audit_gone_study", "DELETE ON studies", *_study("OLD.state", "'PUT_ASIDE'", "OLD")),
    _trigger("audit_new_job", "INSERT ON jobs", *_job("NULL")),
    _trigger("audit_job", _changed("state", "jobs"), *_job("OLD.state")),
    _trigger(
        "audit_result",
        "INSERT ON results",
        "kind, after, study_instance_uid, patient_id, job, sop_instance_uid",
        f"'RESULT', NEW.role, {_STUDY_OF_JOB.format(job='NEW.job_id')}, NEW.job_id, NEW.sop_instance_uid",
    ),
    _trigger("audit_new_delivery", "INSERT ON deliveries", *_delivery("DELIVERY", "state", "NULL")),
    _trigger("audit_delivery", _changed("state", "deliveries"), *_delivery("DELIVERY", "state", "OLD.state")),
    _trigger(
        "audit_commitment",
        _changed("commitment", "deliveries"),
        *_delivery("COMMITMENT", "commitment", "OLD.commitment"),
    ),
)
