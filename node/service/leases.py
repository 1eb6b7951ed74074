"""Jobs whose worker is dead, silent or too slow go back to the queue."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from survnode.node.service.child_process import Death
from survnode.node.state.database import Database
from survnode.node.state.job_rows import running_jobs
from survnode.node.work import jobs

log = structlog.get_logger()

OUT_OF_MEMORY = "The system ended its worker, since the machine had no memory left."


@dataclass
class Leases:
    """Looks after the running jobs; a death is noted by one thread and seen to by another.

    Parameters
    ----------
    job_timeout_s : a job that takes longer is ended with its worker
    kill_worker : ends the worker that claims jobs under that name; its death is then noted
    living : the names of the workers that live; one that does not beat is ended by who started it
    """

    database: Database
    job_timeout_s: float
    kill_worker: Callable[[str], None]
    living: Callable[[], set[str]]
    clock: Callable[[], float] = time.time
    uptime: Callable[[], float] = time.monotonic
    _deaths: list[Death] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _seen_at: dict[tuple[int, int], float] = field(default_factory=dict)

    def note(self, death: Death) -> None:
        """Remember that a process died; the database is not touched, since it may be busy."""
        with self._lock:
            self._deaths.append(death)

    def sweep(self) -> None:
        """Take back the jobs of the dead and of the silent; end the workers whose job takes too long.

        A worker that lives keeps its job although its lease is over: the database was busy for too long.
        """
        self._release_dead()
        with self.database.reading() as connection:
            running = running_jobs(connection)
        now = self.uptime()
        self._seen_at = {(job.id, job.token): self._seen_at.get((job.id, job.token), now) for job in running}
        for job in running:
            if now - self._seen_at[job.id, job.token] > self.job_timeout_s:
                log.error("job.stuck", job=job.id, worker=job.worker, limit_s=self.job_timeout_s)
                self.kill_worker(job.worker or "")
        for job in jobs.expire_leases(self.database, now=self.clock(), uptime_s=now, living=self.living()):
            log.warning("job.lease_expired", job=job.id, kills=job.kills, state=str(job.state.value))

    def _release_dead(self) -> None:
        """Take back what the dead had; a death that could not be seen to is seen to at the next sweep."""
        while self._deaths:
            death = self._deaths[0]
            why = OUT_OF_MEMORY if death.out_of_memory else ""
            now, by_others = self.clock(), death.by_others
            for job in jobs.release_worker(self.database, death.holder, now=now, by_others=by_others, why=why):
                log.warning("job.taken_back", job=job.id, kills=job.kills, state=str(job.state.value))
            with self._lock:
                self._deaths.pop(0)
