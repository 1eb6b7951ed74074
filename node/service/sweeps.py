"""The clock of the node: what is looked at again and again, and how often.

The tables are the truth and this is only the clock: a sweep that is missed or runs twice loses nothing.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from apscheduler.events import EVENT_JOB_ERROR, JobExecutionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from survnode.model.checkpoint import Card
from survnode.node.config import DestinationConfig, NodeConfig
from survnode.node.delivery.commitment import Commitments
from survnode.node.delivery.outbox import Outbox
from survnode.node.delivery.profile import Profiles
from survnode.node.delivery.sender import Destination
from survnode.node.delivery.withdrawal import Withdrawals
from survnode.node.errors import NodeError
from survnode.node.intake.assembly import Assembly
from survnode.node.intake.rules import Routes
from survnode.node.retry import RetryPolicy
from survnode.node.roles import REPORT_CLASSES
from survnode.node.service.children import layout_of
from survnode.node.state.claims import running_jobs
from survnode.node.state.database import Database
from survnode.node.state.records import Job
from survnode.node.state.retention import delete_associations, delete_expired, delete_reports
from survnode.node.work import jobs

log = structlog.get_logger()

ASSEMBLY_S = 1.0
OUTBOX_S = 1.0
COMMITMENT_S = 2.0
LEASES_S = 5.0
RETENTION_S = 3600.0
DAY_S = 86400.0
HOUR_S = 3600.0


@dataclass(frozen=True)
class _Sweep:
    name: str
    every_s: float
    run: Callable[[], object]


class Sweeps:
    """Runs every sweep in a thread of its own, none of them twice at a time.

    Parameters
    ----------
    model : that new jobs are for
    kill_worker : ends the worker of that name at once; the service then takes its job back
    """

    def __init__(self, config: NodeConfig, database: Database, model: Card, kill_worker: Callable[[str], None]) -> None:
        self._config, self._database, self._kill_worker = config, database, kill_worker
        self._assembly = Assembly(
            database, config.received_dir, model.device_uid, model.preprocessing.slice_spacing_mm, Routes.of(config)
        )
        self._outbox = Outbox(database, config.results_dir)
        self._withdrawals = Withdrawals(database, config.results_dir, layout_of(config))
        self._profiles = Profiles(database, config.results_dir)
        self._commitments = Commitments(database)
        sweeps = [
            _Sweep("assembly", ASSEMBLY_S, lambda: self._assembly.assemble_due(time.time())),
            _Sweep("leases", LEASES_S, lambda: self.return_leases(time.time())),
            _Sweep("retention", RETENTION_S, self._delete_expired),
            *(self._outbox_sweep(settings) for settings in config.destinations),
            *(self._commitment_sweep(settings) for settings in config.destinations if settings.commitment),
        ]
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(len(sweeps))},  # one that hangs holds up no other
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
            timezone="UTC",
        )
        self._scheduler.add_listener(_report, EVENT_JOB_ERROR)
        for sweep in sweeps:
            self._scheduler.add_job(sweep.run, "interval", seconds=sweep.every_s, id=sweep.name)

    def start(self) -> None:
        """Start the clock."""
        self._scheduler.start()

    def stop(self) -> None:
        """Stop the clock, and wait for the sweeps that run."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)

    def return_leases(self, now: float) -> None:
        """End the workers that fell silent or whose job takes too long, and take back the jobs of the silent."""
        for job in self._stuck(now):
            log.error("job.stuck", job=job.id, worker=job.worker, limit_s=self._config.work.job_timeout_s)
            self._kill_worker(job.worker or "")
        for job in jobs.expire_leases(self._database, now=now):
            log.warning("job.lease_expired", job=job.id, kills=job.kills, state=str(job.state.value))

    def _outbox_sweep(self, settings: DestinationConfig) -> _Sweep:
        destination = destination_of(settings, self._config.receiver.ae_title)

        def deliver() -> None:
            self._profiles.suit(destination)
            self._outbox.deliver_due(destination)
            self._withdrawals.settle(destination.name)

        return _Sweep(f"outbox-{settings.name}", OUTBOX_S, deliver)

    def _commitment_sweep(self, settings: DestinationConfig) -> _Sweep:
        destination = destination_of(settings, self._config.receiver.ae_title)
        return _Sweep(f"commitment-{settings.name}", COMMITMENT_S, lambda: self._commitments.ask_due(destination))

    def _stuck(self, now: float) -> list[Job]:
        """The running jobs whose lease or time is over: their workers, if they live, would take no other job."""
        latest_start = now - self._config.work.job_timeout_s
        with self._database.reading() as connection:
            running = running_jobs(connection)
        return [job for job in running if jobs.is_silent(job, now) or (job.started_at or now) < latest_start]

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
        connection_timeout_s=settings.timeout_s,
        acse_timeout_s=settings.timeout_s,
        dimse_timeout_s=settings.timeout_s,
        retry=RetryPolicy(max_elapsed_s=give_up_after_s),
        commitment=unanswered if settings.commitment else None,
        report_sop_class=REPORT_CLASSES.get(settings.report_class),
    )


def _report(event: JobExecutionEvent) -> None:
    """A sweep that failed runs again at its next time; what it did not do is still in the tables."""
    error = event.exception
    words = str(error) if isinstance(error, NodeError) else type(error).__name__
    log.error("sweep.failed", sweep=event.job_id, error=words)
