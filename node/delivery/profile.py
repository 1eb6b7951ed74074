"""What a destination takes: it is asked, and what waits for it is put into the report class that it takes.

A job makes its reports once, in Comprehensive 3D SR. A destination that takes another class gets the same report in
that class, made when it is due: so a destination that was down, was added, or changed its mind needs no new analysis.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath

import structlog
from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.dialects import sqlite

from survnode.node import errors
from survnode.node.delivery.sender import Destination, probe
from survnode.node.results.documents.variant import variant
from survnode.node.roles import ResultRole, best_report_class
from survnode.node.state.database import Database, fetch, fetch_one, row_of
from survnode.node.state.files import replace_durably
from survnode.node.state.records import Delivery, DeliveryState, Profile, RecordedObject, StoredObject
from survnode.node.state.tables import deliveries, profiles, results

log = structlog.get_logger()

PROBE_AGAIN_S = 3600.0
REPORTS = tuple(role for role in ResultRole if role.is_report)

Probe = Callable[[Destination], tuple[str, ...]]


@dataclass(frozen=True)
class Profiles:
    """What is known of the destinations in ``database``.

    Parameters
    ----------
    folder : that the paths of result objects are relative to
    clock : seconds since the epoch
    """

    database: Database
    folder: Path
    clock: Callable[[], float] = time.time

    def suit(self, destination: Destination, probe: Probe = probe) -> int:
        """Put the reports that are due to a destination into the class that it takes; how many were changed.

        The destination is asked, at most once an hour, if its class is not set. If it cannot be asked, or accepts no
        class of report, the reports stay what they are, and sending them says why they do not arrive.
        """
        with self.database.reading() as connection:
            due = self._due_reports(connection, destination.name)
        if not due:
            return 0
        wanted = destination.report_sop_class or best_report_class(self.accepted(destination, probe))
        others = [(delivery, result) for delivery, result in due if wanted not in {None, result.sop_class_uid}]
        return sum(self._change(delivery, result, str(wanted)) for delivery, result in others)

    def accepted(self, destination: Destination, probe: Probe = probe) -> tuple[str, ...]:
        """The SOP classes that a destination accepts, as it said within the last hour; none if it cannot be asked."""
        with self.database.reading() as connection:
            mine = select(profiles).where(profiles.c.destination == destination.name)
            known = fetch_one(connection, Profile, mine)
        if known is not None and known.probed_at > self.clock() - PROBE_AGAIN_S:
            return known.accepted
        try:
            found = Profile(destination.name, probe(destination), self.clock())
        except errors.DeliveryFailed as error:
            log.info("destination.not_probed", destination=destination.name, error=str(error))
            return known.accepted if known else ()
        row = row_of(found)
        new = sqlite.insert(profiles).values(row)
        with self.database.transaction() as connection:
            connection.execute(new.on_conflict_do_update(index_elements=["destination"], set_=row))
        if known is None or known.accepted != found.accepted:
            log.info("destination.probed", destination=destination.name, accepted=found.accepted)
        return found.accepted

    def _due_reports(self, connection: Connection, destination: str) -> list[tuple[Delivery, RecordedObject]]:
        waiting = (
            select(deliveries)
            .join(results, results.c.id == deliveries.c.result_id)
            .where(deliveries.c.destination == destination, deliveries.c.state == DeliveryState.WAITING)
            .where(deliveries.c.due_at <= self.clock(), results.c.role.in_(REPORTS))
        )
        found = fetch(connection, Delivery, waiting)
        wanted = select(results).where(results.c.id.in_({delivery.result_id for delivery in found}))
        of_id = {result.id: result for result in fetch(connection, RecordedObject, wanted)}
        return [(delivery, of_id[delivery.result_id]) for delivery in found]

    def _change(self, delivery: Delivery, result: RecordedObject, sop_class: str) -> bool:
        """Let a delivery carry the report in another class; False if that cannot be made.

        A report whose file cannot be read stays what it is, and sending it says so; one that breaks the node's own
        rules in its other class is not sent at all.
        """
        with self.database.reading() as connection:
            own = select(results).where(results.c.id == (result.variant_of or result.id))
            original = fetch(connection, RecordedObject, own)[0]
        fields = {"job": delivery.job_id, "destination": delivery.destination, "sop_class_uid": sop_class}
        try:
            row = self._write(original, sop_class)
        except errors.ObjectFaulty as error:
            log.error("report.faulty", **fields, error=str(error))
            self._refuse(delivery, str(error))
            return False
        except (OSError, InvalidDicomError) as error:
            log.error("report.not_changed", **fields, error=type(error).__name__)
            return False
        with self.database.transaction() as connection:
            _carry(connection, delivery, _record(connection, original, row, self.clock()))
        log.info("report.changed", **fields)
        return True

    def _refuse(self, delivery: Delivery, error: str) -> None:
        mine = (deliveries.c.id == delivery.id, deliveries.c.state == DeliveryState.WAITING)
        values = {"state": DeliveryState.REFUSED, "settled_at": self.clock(), "error": error}
        with self.database.transaction() as connection:
            connection.execute(update(deliveries).where(*mine).values(values))

    def _write(self, original: RecordedObject, sop_class: str) -> StoredObject:
        """The report in another class, on disk; the original itself if it is of that class."""
        path = PurePosixPath(original.path)
        if sop_class == original.sop_class_uid:
            return StoredObject(**{field.name: getattr(original, field.name) for field in fields(StoredObject)})
        path = path.with_name(f"{path.stem}-{sop_class.rpartition('.')[2]}{path.suffix}")
        made = variant(dcmread(self.folder / original.path), sop_class, original.role)
        replace_durably(self.folder / path, made.encode())
        return StoredObject(
            role=original.role,
            rank=original.rank,
            sop_class_uid=made.sop_class_uid,
            sop_instance_uid=made.sop_instance_uid,
            series_instance_uid=made.series_instance_uid,
            path=str(path),
        )


def _record(connection: Connection, original: RecordedObject, made: StoredObject, now: float) -> int:
    """The id of the row of ``made``, new or known."""
    mine = (results.c.job_id == original.job_id, results.c.sop_instance_uid == made.sop_instance_uid)
    known = connection.execute(select(results.c.id).where(*mine)).scalar()
    if known is None:
        row = row_of(made) | {"job_id": original.job_id, "created_at": now, "variant_of": original.id}
        known = connection.execute(insert(results).values(row).returning(results.c.id)).scalar_one()
    return int(known)


def _carry(connection: Connection, delivery: Delivery, result_id: int) -> None:
    """Let a delivery that still waits carry another result, in place of an earlier delivery of that result."""
    taken = (deliveries.c.result_id == result_id, deliveries.c.destination == delivery.destination)
    mine = (deliveries.c.id == delivery.id, deliveries.c.state == DeliveryState.WAITING)
    connection.execute(delete(deliveries).where(*taken, deliveries.c.id != delivery.id))
    connection.execute(update(deliveries).where(*mine).values(result_id=result_id))
