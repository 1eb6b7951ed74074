"""What a destination takes: it is asked, and what waits for it is put into the report class that it takes.

A job makes its reports once, in Comprehensive 3D SR. A destination that takes another class gets the same report in
that class, made when it is due: so a destination that was down, was added, or changed its mind needs no new analysis.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path, PurePosixPath

import structlog
from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from survnode.node import errors
from survnode.node.delivery.destination import Destination
from survnode.node.delivery.sender import probe
from survnode.node.results.documents.variant import variant
from survnode.node.roles import ResultRole, best_report_class
from survnode.node.state import delivery_rows, result_rows
from survnode.node.state.database import Database
from survnode.node.state.delivery_rows import Due
from survnode.node.state.files import replace_durably
from survnode.node.state.profile_rows import find_profile, keep_profile
from survnode.node.state.records import DeliveryState, Profile, RecordedObject, StoredObject

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
        name, now = destination.name, self.clock()
        with self.database.reading() as connection:
            if not delivery_rows.anything_due(connection, name, now, REPORTS):
                return 0
        wanted = destination.report_sop_class or best_report_class(self.accepted(destination, probe))
        if wanted is None:
            return 0
        with self.database.reading() as connection:
            others = delivery_rows.due_in_other_class(connection, name, now, REPORTS, wanted)
        return sum(self._change(item, wanted) for item in others)

    def accepted(self, destination: Destination, probe: Probe = probe) -> tuple[str, ...]:
        """The SOP classes that a destination accepts, as it said within the last hour; none if it cannot be asked."""
        with self.database.reading() as connection:
            known = find_profile(connection, destination.name)
        if known is not None and known.probed_at > self.clock() - PROBE_AGAIN_S:
            return known.accepted
        try:
            profile = Profile(destination.name, probe(destination), self.clock())
        except errors.DeliveryFailed as error:
            log.info("destination.not_probed", destination=destination.name, error=str(error))
            return known.accepted if known else ()
        with self.database.transaction() as connection:
            keep_profile(connection, profile)
        if known is None or known.accepted != profile.accepted:
            log.info("destination.probed", destination=destination.name, accepted=profile.accepted)
        return profile.accepted

    def _change(self, due: Due, sop_class: str) -> bool:
        """Let a delivery carry the report in another class; False if that cannot be made.

        A report whose file cannot be read stays what it is, and sending it says so; one that breaks the node's own
        rules in its other class is not sent at all.
        """
        with self.database.reading() as connection:
            original = result_rows.find_result(connection, due.result.variant_of or due.result.id)
        context = {"job": original.job_id, "destination": due.delivery.destination, "sop_class_uid": sop_class}
        try:
            other = self._write(original, sop_class)
        except errors.ObjectFaulty as error:
            log.error("report.faulty", **context, error=str(error))
            self._refuse(due, str(error))
            return False
        except (OSError, InvalidDicomError) as error:
            log.error("report.not_changed", **context, error=type(error).__name__)
            return False
        with self.database.transaction() as connection:
            result_id = result_rows.record_result(connection, other, original.job_id, self.clock(), original.id)
            delivery_rows.carry_instead(connection, due.delivery, result_id)
        log.info("report.changed", **context)
        return True

    def _refuse(self, due: Due, error: str) -> None:
        refused = replace(due.delivery, state=DeliveryState.REFUSED, settled_at=self.clock(), error=error)
        with self.database.transaction() as connection:
            delivery_rows.update_waiting(connection, due.delivery, refused)

    def _write(self, original: RecordedObject, sop_class: str) -> StoredObject:
        """The report in another class, on disk; the original itself if it is of that class."""
        path = PurePosixPath(original.path)
        if sop_class == original.sop_class_uid:
            return StoredObject(**{field.name: getattr(original, field.name) for field in fields(StoredObject)})
        path = path.with_name(f"{path.stem}-{sop_class.rpartition('.')[2]}{path.suffix}")
        other = variant(dcmread(self.folder / original.path), sop_class, original.role)
        replace_durably(self.folder / path, other.encode())
        return other.stored_at(str(path))
