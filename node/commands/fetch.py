"""Studies are fetched from an archive, to be analysed like any that a sender routes here."""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from survnode.node.config import NodeConfig, SourceConfig
from survnode.node.errors import InputRefused, QueryFailed
from survnode.node.query.source import FoundStudy, Keep, Source, find_ct_series, find_studies, retrieve_series
from survnode.node.service.lock import is_locked
from survnode.node.state.check_rows import received_by_series
from survnode.node.state.database import Database
from survnode.node.state.records import ExpectedSeries
from survnode.node.state.study_summaries import read_study
from survnode.node.state.summaries import Standing

MAX_STUDIES = 1000  # of one command: who wants more says from when to when, and thinks of the archive
WAIT_POLL_S = 0.5
IN_WORK = (Standing.RECEIVING, Standing.WAITING)
_WILDCARDS = re.compile(r"[*?\\]")


@dataclass(frozen=True)
class Fetched:
    """One study that was asked for.

    Parameters
    ----------
    series, instances : of CT, that the source holds
    received : instances of them that are here now
    standing : where the study stands here; None if nothing of it came
    note : why it did not come whole; empty if it did
    """

    study_instance_uid: str
    study_date: str
    accession_number: str
    source: str
    series: int = 0
    instances: int = 0
    received: int = 0
    standing: Standing | None = None
    note: str = ""


def named_source(config: NodeConfig, name: str | None) -> SourceConfig:
    """The source of that name, the first if none is named.

    Raises
    ------
    InputRefused
    """
    if not config.sources:
        raise InputRefused("The configuration names no [[sources]], so there is nowhere to fetch from.")
    sources = [source for source in config.sources if name in (None, source.name)]
    if not sources:
        known = ", ".join(source.name for source in config.sources)
        raise InputRefused(f"There is no source {name}; the configuration names: {known}.")
    return sources[0]


def require_receiver(config: NodeConfig) -> None:
    """Fetch nothing for nobody.

    Raises
    ------
    InputRefused
        No node runs with this configuration.
    """
    if not is_locked(config.received_dir / "receiver.lock"):
        raise InputRefused("No node runs with this configuration, so nobody would receive: start survnode serve first.")


def keys_of(study: str | None, accession: str | None, since: str | None) -> dict[str, str]:
    """What the source is to match; none of it may stand for more than itself.

    Parameters
    ----------
    since : a date, YYYYMMDD

    Raises
    ------
    InputRefused
    """
    wanted = {"StudyInstanceUID": study, "AccessionNumber": accession}
    keys = {keyword: value.strip() for keyword, value in wanted.items() if value}
    if any(_WILDCARDS.search(value) for value in keys.values()):
        raise InputRefused("A study is fetched by its whole UID or accession number, without * ? or \\.")
    return keys | ({"StudyDate": f"{since}-"} if since else {})


def find_wanted(source: Source, keys: Mapping[str, str]) -> list[FoundStudy]:
    """The studies with CT that the source holds.

    Raises
    ------
    InputRefused
        There is none.
    QueryFailed
    """
    studies = find_studies(source, keys, MAX_STUDIES)
    if not studies:
        raise InputRefused(f"{source.name} holds no study with CT that fits.")
    return studies


def look_up(database: Database | None, source: Source, found: Sequence[FoundStudy]) -> Iterator[Fetched]:
    """What the source holds of each study, and what of it is here; nothing is fetched.

    Parameters
    ----------
    database : None if no node has run with this configuration

    Raises
    ------
    QueryFailed
    """
    for study in found:
        series = find_ct_series(source, study.study_instance_uid)
        asked = _asked(source, study, series)
        yield asked if database is None else _here(database, asked, series)


def fetch_studies(database: Database, source: Source, found: Sequence[FoundStudy], keep: Keep) -> Iterator[Fetched]:
    """Have the source send the CT of each study, and say what came.

    Raises
    ------
    QueryFailed
        There is one study, and it does not come; of several, the note of each says so.
    """
    for study in found:
        series: tuple[ExpectedSeries, ...] = ()
        note = ""
        try:
            series = find_ct_series(source, study.study_instance_uid)
            for item in series:
                retrieve_series(source, study.study_instance_uid, item.series_instance_uid, keep)
        except QueryFailed as error:
            if len(found) == 1:
                raise
            note = str(error)
        yield _arrived(database, _asked(source, study, series), series, note)


def await_end(
    database: Database, rows: Sequence[Fetched], sleep: Callable[[float], object] = time.sleep
) -> list[Fetched]:
    """Wait until every study that came was analysed, or has another end."""
    ended = []
    for row in rows:
        standing = row.standing
        while standing in IN_WORK:
            sleep(WAIT_POLL_S)
            standing = _standing(database, row.study_instance_uid)
        ended.append(replace(row, standing=standing))
    return ended


def _asked(source: Source, study: FoundStudy, series: Sequence[ExpectedSeries]) -> Fetched:
    return Fetched(
        study.study_instance_uid,
        study.study_date,
        study.accession_number,
        source.name,
        len(series),
        sum(item.instances for item in series),
    )


def _arrived(database: Database, asked: Fetched, series: Sequence[ExpectedSeries], note: str) -> Fetched:
    row = _here(database, asked, series)
    if not note and row.received < row.instances:
        note = f"{row.instances - row.received} of {row.instances} instances did not come."
    if not note and not series:
        note = f"{row.source} holds no CT of it."
    return replace(row, note=note)


def _here(database: Database, asked: Fetched, series: Sequence[ExpectedSeries]) -> Fetched:
    """With what of a study is here."""
    with database.reading() as connection:
        here = received_by_series(connection, asked.study_instance_uid)
    received = sum(here.get(item.series_instance_uid, 0) for item in series)
    standing = _standing(database, asked.study_instance_uid) if here else None
    return replace(asked, received=received, standing=standing)


def _standing(database: Database, study_instance_uid: str) -> Standing:
    return read_study(database, study_instance_uid).standing
