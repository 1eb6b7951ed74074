"""The clock of the node: what is looked at again and again, and how often.

The tables are the truth and this is only the clock: a sweep that is missed or runs twice loses nothing.
"""

import time

import structlog

from survnode.model.checkpoint import Card
from survnode.node.config import DestinationConfig, DestinationTLSConfig, NodeConfig, SyslogConfig
from survnode.node.delivery.audit_syslog import AuditSyslog, SyslogServer
from survnode.node.delivery.commitment import Commitments
from survnode.node.delivery.destination import Destination
from survnode.node.delivery.outbox import Outbox
from survnode.node.delivery.profile import Profiles
from survnode.node.delivery.withdrawal import Withdrawals
from survnode.node.intake.assembly import Assembly
from survnode.node.intake.evidence import FileJudge
from survnode.node.intake.judging_process import JudgingProcess
from survnode.node.intake.rules import Routes
from survnode.node.retry import RetryPolicy
from survnode.node.roles import REPORT_CLASSES
from survnode.node.service.child_bodies import layout_of
from survnode.node.service.clock import WallClock
from survnode.node.service.leases import Leases
from survnode.node.service.loops import Loop
from survnode.node.service.watchdog import ReceiverWatchdog
from survnode.node.state.database import Database
from survnode.node.state.retention import delete_associations, delete_expired, delete_reports
from survnode.node.tls import ClientTLS

log = structlog.get_logger()

ASSEMBLY_S = 1.0
OUTBOX_S = 1.0
COMMITMENT_S = 2.0
AUDIT_S = 2.0
CLOCK_S = 0.25  # between a step of the clock and the rows that step with it
LEASES_S = 2.0
RECEIVER_S = 10.0
RETENTION_S = 3600.0
DAY_S = 86400.0
HOUR_S = 3600.0


class Sweeps:
    """Runs every sweep in a thread of its own, so that one that hangs holds up no other.

    Parameters
    ----------
    model : that new jobs are for
    leases : of the running jobs
    receiver : looked after
    """

    def __init__(
        self, config: NodeConfig, database: Database, model: Card, leases: Leases, receiver: ReceiverWatchdog
    ) -> None:
        self._config, self._database = config, database
        routes, spacing_mm = Routes.of(config), model.preprocessing.slice_spacing_mm
        self._judging = JudgingProcess(FileJudge(config.received_dir, routes, spacing_mm), config.log_level)
        started_at = time.monotonic()
        self._assembly = Assembly(
            database,
            config.received_dir,
            model.device_uid,
            spacing_mm,
            routes,
            judge=self._judging,
            patience_s=config.assembly.quiet_period_s if any(it.reconcile for it in config.sources) else None,
            uptime_s=lambda: time.monotonic() - started_at,
        )
        self._outbox = Outbox(database, config.results_dir)
        self._withdrawals = Withdrawals(database, config.results_dir, layout_of(config))
        self._profiles = Profiles(database, config.results_dir)
        self._commitments = Commitments(database)
        self._loops = [
            Loop("clock", CLOCK_S, WallClock(database).watch),
            Loop("assembly", ASSEMBLY_S, lambda: self._assembly.assemble_due(time.time())),
            Loop("leases", LEASES_S, leases.sweep),
            Loop("receiver", RECEIVER_S, receiver.watch),
            Loop("retention", RETENTION_S, self._delete_expired),
            *(self._outbox_loop(settings) for settings in config.destinations),
            *([self._audit_loop(config.audit.syslog)] if config.audit.syslog else []),
            *(self._commitment_loop(settings) for settings in config.destinations if settings.commitment),
        ]

    def start(self) -> None:
        """Start the clock."""
        for loop in self._loops:
            loop.start()

    def stop(self) -> None:
        """Stop the clock, and wait for the sweeps that run."""
        for loop in self._loops:
            loop.request_stop()
        self._judging.close()
        for loop in self._loops:
            loop.join()

    def _outbox_loop(self, settings: DestinationConfig) -> Loop:
        destination = destination_of(settings, self._config.receiver.ae_title)

        def deliver() -> None:
            self._profiles.suit(destination)
            self._outbox.deliver_due(destination)
            self._withdrawals.settle(destination.name)

        return Loop(f"outbox-{settings.name}", OUTBOX_S, deliver)

    def _commitment_loop(self, settings: DestinationConfig) -> Loop:
        destination = destination_of(settings, self._config.receiver.ae_title)
        return Loop(f"commitment-{settings.name}", COMMITMENT_S, lambda: self._commitments.ask_due(destination))

    def _audit_loop(self, settings: SyslogConfig) -> Loop:
        server = SyslogServer(settings.host, settings.port, client_tls(settings.tls), settings.timeout_s)
        return Loop("audit", AUDIT_S, AuditSyslog(self._database, server, self._config.receiver.ae_title).send_due)

    def _delete_expired(self) -> None:
        now, retention = time.time(), self._config.retention
        deleted = delete_expired(
            self._database,
            self._config.received_dir,
            self._config.results_dir,
            now=now,
            retention_s=retention.days * DAY_S,
        )
        for uid in deleted:
            log.info("study.deleted", study_instance_uid=uid)
        folder, kept_s = self._config.results_dir, retention.report_days * DAY_S
        reports = delete_reports(self._database, folder, now=now, retention_s=kept_s)
        if reports:
            log.info("reports.deleted", number=reports)
        forgotten = delete_associations(self._database, now=now, retention_s=retention.association_days * DAY_S)
        if forgotten:
            log.info("associations.deleted", number=forgotten)


def destination_of(settings: DestinationConfig, calling_ae_title: str) -> Destination:
    """The peer that ``settings`` describe."""
    give_up_after_s = settings.give_up_after_h * HOUR_S
    unanswered = RetryPolicy(
        first_delay_s=settings.commitment_timeout_s,
        max_delay_s=max(settings.commitment_timeout_s, DAY_S),
        max_elapsed_s=give_up_after_s,
    )
    return Destination(
        name=settings.name,
        ae_title=settings.ae_title,
        host=settings.host,
        port=settings.port,
        calling_ae_title=calling_ae_title,
        tls=client_tls(settings.tls) if settings.tls else None,
        connection_timeout_s=settings.timeout_s,
        acse_timeout_s=settings.timeout_s,
        dimse_timeout_s=settings.timeout_s,
        retry=RetryPolicy(max_elapsed_s=give_up_after_s),
        commitment=unanswered if settings.commitment else None,
        report_sop_class=REPORT_CLASSES.get(settings.report_class),
    )


def client_tls(settings: DestinationTLSConfig) -> ClientTLS:
    """The node's side of TLS to a destination that ``settings`` describe."""
    return ClientTLS(settings.ca, settings.server_name, settings.certificate, settings.key)
