"""Whether a study that counts as complete came whole, by what a source holds of it; what is missing is asked for.

A source is asked once for each revision of a study, when its quiet period is over. While it holds more than came, the
study waits for another quiet period, `MAX_TRIES` times at most and only as long as something came in the last; with
``fetch_missing`` the series that are not whole are asked for each time. Then the study is judged as it is, and its
report says what is missing. A source that does not answer holds up nothing: after one quiet period a study is judged
without it, see `survnode.node.state.check_rows.due_studies`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from survnode.node import errors
from survnode.node.query.source import Keep, Source, find_ct_series, retrieve_series
from survnode.node.state import check_rows
from survnode.node.state.database import Database
from survnode.node.state.records import Check, CheckState, ExpectedSeries, Study

log = structlog.get_logger()

MAX_TRIES = 3  # what did not come after so many waits, each of which brought something, is seldom on its way
TOO_LATE = "The study was judged before anything more came."


def lacking(received: Mapping[str, int], expected: Sequence[ExpectedSeries]) -> tuple[str, ...]:
    """The series of which fewer instances came than the source holds."""
    return tuple(it.series_instance_uid for it in expected if received.get(it.series_instance_uid, 0) < it.instances)


def judged_answer(
    received: Mapping[str, int], expected: Sequence[ExpectedSeries], before: Check | None, *, fetches: bool
) -> CheckState:
    """What an answer means for a study.

    Parameters
    ----------
    received : instances by series
    before : the last check, if it is not settled
    fetches : whether what is missing is asked for
    """
    if not expected:
        return CheckState.UNKNOWN
    if not lacking(received, expected):
        return CheckState.WHOLE
    if before is not None and (before.tries >= MAX_TRIES or before.received == sum(received.values())):
        return CheckState.INCOMPLETE
    return CheckState.FETCHING if fetches else CheckState.WAITING


def source_of(study: Study, ae_titles: Sequence[str]) -> int:
    """Which of the sources to ask, by their AE titles: the one that sent the study, else the first."""
    return ae_titles.index(study.calling_ae_title) if study.calling_ae_title in ae_titles else 0


@dataclass(frozen=True)
class Reconciliation:
    """Checks the studies in ``database`` with one source.

    Parameters
    ----------
    ae_titles : of all sources that are asked, this one among them
    quiet_period_s : for which a study waits for what is missing
    fetches : whether that is asked for
    keep : stores what comes by C-GET
    clock : seconds since the epoch
    """

    database: Database
    source: Source
    ae_titles: Sequence[str]
    quiet_period_s: float
    fetches: bool
    keep: Keep
    clock: Callable[[], float] = time.time

    def check_due(self) -> None:
        """Check every study that is due; if the source cannot be reached, none of them is asked for again."""
        with self.database.reading() as connection:
            due = check_rows.unchecked_studies(connection, self.clock())
        of_this_source = [
            study for study in due if self.ae_titles[source_of(study, self.ae_titles)] == self.source.peer.ae_title
        ]
        for number, study in enumerate(of_this_source):
            try:
                self._check(study)
            except errors.SourceUnreachable as error:
                log.warning("source.unreachable", source=self.source.name, error=str(error))
                for unasked in of_this_source[number:]:
                    self._record(self._begin(unasked), CheckState.UNANSWERED, error=str(error))
                return
            except errors.QueryFailed as error:
                self._record(self._begin(study), CheckState.UNANSWERED, error=str(error))

    def _check(self, study: Study) -> None:
        expected = find_ct_series(self.source, study.study_instance_uid)
        with self.database.reading() as connection:
            received = check_rows.received_by_series(connection, study.study_instance_uid)
            last = check_rows.find_check(connection, study.study_instance_uid)
        before = last if last is not None and last.state in check_rows.OPEN else None
        state = judged_answer(received, expected, before, fetches=self.fetches)
        check = replace(
            self._begin(study),
            tries=before.tries if before else 0,
            received=sum(received.values()),
            series=expected,
        )
        if state not in check_rows.OPEN:
            self._record(check, state)
            return
        check = replace(check, tries=check.tries + 1)
        self._record(check, state)
        if state is CheckState.FETCHING and not self._fetch(study, check, lacking(received, expected)):
            return
        with self.database.transaction() as connection:
            if not check_rows.wait_on(connection, study, self.clock() + self.quiet_period_s) and not check_rows.is_due(
                connection, study
            ):
                check_rows.record_check(connection, replace(check, state=CheckState.INCOMPLETE, error=TOO_LATE))

    def _fetch(self, study: Study, check: Check, series: Sequence[str]) -> bool:
        """Ask for series; False if the source does not send them."""
        try:
            for uid in series:
                retrieve_series(self.source, study.study_instance_uid, uid, self.keep)
        except errors.QueryFailed as error:
            self._record(check, CheckState.INCOMPLETE, error=str(error))
            return False
        return True

    def _begin(self, study: Study) -> Check:
        return Check(study.study_instance_uid, self.source.name, study.revision, CheckState.UNANSWERED, self.clock())

    def _record(self, check: Check, state: CheckState, error: str = "") -> None:
        say = log.warning if error else log.info
        say("study.checked", study_instance_uid=check.study_instance_uid, source=check.source, state=str(state.value),
            received=check.received, expected=sum(it.instances for it in check.series), error=error)  # fmt: skip
        with self.database.transaction() as connection:
            check_rows.record_check(connection, replace(check, state=state, error=error))
