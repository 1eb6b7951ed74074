"""How each kind of record is shown in a table: which columns, and the sentence below a row."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from survnode.model.ct.verdict import SeriesVerdict
from survnode.node.commands.printing import Column, TableLayout, cell, counted
from survnode.node.state.records import DeliveryState, OtherSeries, StudyState
from survnode.node.state.summaries import (
    AssociationSummary,
    ComparedSeries,
    DeliverySummary,
    DestinationSummary,
    JobDetail,
    JobSummary,
    QuarantinedImage,
    ResultSummary,
    Standing,
    StudyDetail,
    StudySummary,
)

if TYPE_CHECKING:  # what they are made of takes seconds to import, and a list of studies needs none of it
    from survnode.node.commands.check import Finding
    from survnode.node.commands.fetch import Fetched
    from survnode.node.commands.send import Reissued

SPEAKS = (StudyState.PATIENT_CONFLICT, StudyState.UNASSEMBLED, StudyState.PARTLY_DELETED)  # by their sentence
STYLES = {Standing.FAILED: "red", Standing.NOT_ANALYSED: "yellow", Standing.WITHDRAWN: "yellow"}


def of_one_study() -> tuple[Column[StudyDetail], ...]:
    """What is said of one study."""
    return (
        Column("study", lambda study: study.study_instance_uid),
        Column("accession number", lambda study: study.accession_number),
        Column("patient ID", lambda study: study.patient_id),
        Column("study date", lambda study: study.study_date),
        Column("state", lambda study: f"{cell(study.standing)}: {_meaning(study)}"),
        Column("why", _cause),
        Column("images", lambda study: study.images),
        Column("other objects", lambda study: study.others or None),
        Column("first received", lambda study: study.first_received),
        Column("last received", lambda study: study.last_received),
        Column("judged at", lambda study: study.due),
        Column("rule", lambda study: study.rule),
        Column("newest job", lambda study: study.job),
        Column("asked whether whole", lambda study: study.checked_with),
        Column("answer", lambda study: study.check.sentence if study.check else ""),
        Column("error of asking", lambda study: study.check_error),
    )


def of_one_job(results_dir: Path) -> tuple[Column[JobDetail], ...]:
    """What is said of one job; its files are named from the folder of all results."""
    return (
        Column("job", lambda job: job.job),
        Column("study", lambda job: job.study_instance_uid),
        Column("accession number", lambda job: job.accession_number),
        Column("patient ID", lambda job: job.patient_id),
        Column("version", lambda job: job.version),
        Column("state", lambda job: f"{cell(job.state)}: {job.sentence}"),
        Column("why", _why_of_job),
        Column("series", lambda job: job.series_instance_uid),
        Column("images", lambda job: job.images),
        Column("model", lambda job: job.device_uid),
        Column("begun", lambda job: counted(job.attempts, "time") if job.attempts > 1 else ""),
        Column("ended its worker", lambda job: counted(job.kills, "time") if job.kills else ""),
        Column("created", lambda job: job.created),
        Column("ended", lambda job: job.ended),
        Column("files below", lambda job: results_dir if job.results else None),
    )


def of_studies(short: Mapping[str, str]) -> TableLayout[StudySummary]:
    """Studies by their short names."""
    return TableLayout(
        (
            Column("study", lambda row: short[row.study_instance_uid]),
            Column("received", lambda row: row.last_received),
            Column("accession", lambda row: row.accession_number, shrinks=True),
            Column("patient", lambda row: row.patient_id, shrinks=True),
            Column("study date", lambda row: row.study_date, wide=True),
            Column("images", lambda row: row.images),
            Column("others", lambda row: row.others, wide=True),
            Column("state", lambda row: row.standing),
            Column("job", lambda row: row.job),
            Column("rule", lambda row: row.rule, wide=True),
            Column("due", lambda row: row.due, wide=True),
        ),
        note=_why_of_study,
        style=lambda row: STYLES.get(row.standing, ""),
    )


def of_jobs(short: Mapping[str, str]) -> TableLayout[JobSummary]:
    """Jobs, each with the short name of its study."""
    return TableLayout(
        (
            Column("job", lambda row: row.job),
            Column("study", lambda row: short[row.study_instance_uid]),
            Column("accession", lambda row: row.accession_number, shrinks=True),
            Column("patient", lambda row: row.patient_id, shrinks=True),
            Column("version", lambda row: row.version),
            Column("state", lambda row: row.state),
            Column("attempts", lambda row: row.attempts, wide=True),
            Column("ended its worker", lambda row: row.kills, wide=True),
            Column("created", lambda row: row.created),
            Column("ended", lambda row: row.ended, wide=True),
        ),
        note=_why_of_job,
        style=lambda row: "red" if row.error else "",
    )


def of_deliveries(short: Mapping[str, str]) -> TableLayout[DeliverySummary]:
    """Deliveries, each with the short name of its study."""
    return TableLayout(
        (
            Column("delivery", lambda row: row.delivery, wide=True),
            Column("job", lambda row: row.job),
            Column("study", lambda row: short[row.study_instance_uid]),
            Column("destination", lambda row: row.destination, shrinks=True),
            Column("object", _object, shrinks=True),
            Column("state", lambda row: row.state),
            Column("tries", lambda row: row.tries),
            Column("status", lambda row: row.status, wide=True),
            Column("due", lambda row: row.due),
            Column("settled", lambda row: row.settled, wide=True),
            Column("commitment", lambda row: row.commitment, wide=True),
        ),
        note=_why_of_delivery,
        style=lambda row: "red" if row.state in {DeliveryState.REFUSED, DeliveryState.FAILED} else "",
    )


def of_quarantined(short: Mapping[str, str]) -> TableLayout[QuarantinedImage]:
    """Images in quarantine, each with the short name of its study."""
    return TableLayout(
        (
            Column("image", lambda row: row.sha256[:12]),
            Column("study", lambda row: short.get(row.study_instance_uid, "")),
            Column("received", lambda row: row.received),
            Column("calling", lambda row: row.calling_ae_title, shrinks=True),
            Column("waits", lambda row: row.waits),
            Column("SOP instance", lambda row: row.sop_instance_uid, wide=True),
            Column("file", lambda row: row.path, wide=True),
        ),
        style=lambda row: "yellow" if row.waits else "",
    )


ASSOCIATIONS: TableLayout[AssociationSummary] = TableLayout(
    (
        Column("ended", lambda row: row.ended),
        Column("peer", lambda row: row.peer, shrinks=True),
        Column("calling", lambda row: row.calling_ae_title),
        Column("called", lambda row: row.called_ae_title),
        Column("contexts", lambda row: f"{row.contexts_accepted}/{row.contexts_accepted + row.contexts_rejected}"),
        Column("images", lambda row: row.images),
        Column("refused", lambda row: row.refused, wide=True),
        Column("echoes", lambda row: row.echoes, wide=True),
        Column("MB", lambda row: f"{row.size_bytes / 1e6:.1f}", wide=True),
        Column("seconds", lambda row: f"{(row.ended - row.began).total_seconds():.1f}", wide=True),
        Column("end", lambda row: row.end),
    ),
    note=lambda row: _joined(
        row.detail,
        f"Refused: {counted(row.refused, 'image')}." if row.refused else "",
        f"Not accepted: {', '.join(row.rejected)}." if row.rejected else "",
    ),
    style=lambda row: "yellow" if row.detail or row.refused else "",
)

DESTINATIONS: TableLayout[DestinationSummary] = TableLayout(
    (
        Column("destination", lambda row: row.destination),
        Column("waiting", lambda row: row.waiting),
        Column("failed", lambda row: row.failed),
        Column("last success", lambda row: row.last_success or "never"),
        Column("down since", lambda row: row.down_since),
    ),
    note=lambda row: f"{cell(row.last_error_at)} {row.last_error}".strip(),
    style=lambda row: "red" if row.down_since else "",
)


def of_reissued(short: Mapping[str, str]) -> "TableLayout[Reissued]":
    """What became of results, each with the short name of its study."""
    return TableLayout(
        (
            Column("job", lambda row: row.job),
            Column("study", lambda row: short[row.study_instance_uid]),
            Column("version", lambda row: row.version),
            Column("destination", lambda row: row.destination),
            Column("objects", lambda row: row.objects),
        ),
        note=lambda row: row.note,
    )


FETCHED: "TableLayout[Fetched]" = TableLayout(
    (
        Column("study", lambda row: row.study_instance_uid, shrinks=True),
        Column("date", lambda row: row.study_date),
        Column("accession", lambda row: row.accession_number, shrinks=True),
        Column("series", lambda row: row.series),
        Column("held", lambda row: row.instances),
        Column("here", lambda row: row.received),
        Column("state", lambda row: row.standing),
    ),
    note=lambda row: row.note,
    style=lambda row: "red" if row.note else "",
)

FINDINGS: "TableLayout[Finding]" = TableLayout(
    (Column("what", lambda row: row.what), Column("ok", lambda row: row.ok)),
    note=lambda row: row.detail,
    style=lambda row: "green" if row.ok else "red",
)

SERIES: TableLayout[SeriesVerdict] = TableLayout(
    (
        Column("series", lambda row: row.series_instance_uid),
        Column("images", lambda row: row.images),
        Column("chosen", lambda row: row.chosen),
    ),
    note=lambda row: _joined(row.reason.sentence if row.reason else "", row.detail),
)

EXPECTED_SERIES: TableLayout[ComparedSeries] = TableLayout(
    (
        Column("series", lambda row: row.series_instance_uid),
        Column("here", lambda row: row.received),
        Column("held by the source", lambda row: row.expected),
    ),
    style=lambda row: "yellow" if row.received < row.expected else "",
)

OTHER_SERIES: TableLayout[OtherSeries] = TableLayout(
    (
        Column("modality", lambda row: row.modality),
        Column("instances", lambda row: row.instances),
        Column("what became of them", lambda row: row.keeping),
        Column("description", lambda row: row.series_description, shrinks=True),
        Column("series", lambda row: row.series_instance_uid, wide=True),
        Column("SOP class", lambda row: row.sop_class_uid, wide=True),
    ),
)

RESULTS: TableLayout[ResultSummary] = TableLayout(
    (
        Column("object", lambda row: row.role.value.replace("_", " ")),
        Column("file", lambda row: row.path),
        Column("SOP Instance UID", lambda row: row.sop_instance_uid, wide=True),
    ),
)


def _object(row: DeliverySummary) -> str:
    name = row.role.value.replace("_", " ")
    return f"{name.removesuffix('s')} {row.rank}" if row.rank else name


def _meaning(study: StudyDetail) -> str:
    """What its state means for a person; where one must act, what the study itself is in want of."""
    return study.state.sentence if study.state in SPEAKS else study.standing.sentence


def _why_of_job(row: JobSummary) -> str:
    return _joined(row.reason.sentence if row.reason else "", row.detail, row.error)


def _why_of_study(row: StudySummary) -> str:
    return _joined(row.state.sentence if row.state in SPEAKS else "", _cause(row))


def _cause(row: StudySummary) -> str:
    """Why there is no analysis, and what failed; the detail of an ignored study holds the reason's sentence already."""
    reason = row.reason.sentence if row.reason and row.reason.sentence not in row.detail else ""
    return _joined(reason, row.detail, row.error)


def _why_of_delivery(row: DeliverySummary) -> str:
    """What its destination answered; a destination that does not answer is named once, above the list."""
    unanswered = row.state is DeliveryState.WAITING and row.status is None
    return _joined("" if unanswered else row.error, row.commitment_error)


def _joined(*sentences: str) -> str:
    return " ".join(sentence for sentence in sentences if sentence)
