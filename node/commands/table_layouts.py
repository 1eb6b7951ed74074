"""How each kind of record is shown in a table: which columns, and the sentence below a row."""

from collections.abc import Mapping

from survnode.model.ct.verdict import SeriesVerdict
from survnode.node.commands.check import Finding
from survnode.node.commands.fetch import Fetched
from survnode.node.commands.printing import Column, TableLayout, cell
from survnode.node.commands.send import Reissued
from survnode.node.state.records import DeliveryState, OtherSeries, StudyState
from survnode.node.state.summaries import (
    AssociationSummary,
    ComparedSeries,
    DeliverySummary,
    DestinationSummary,
    JobSummary,
    QuarantinedImage,
    ResultSummary,
    Standing,
    StudySummary,
)

SPEAKS = (StudyState.PATIENT_CONFLICT, StudyState.UNASSEMBLED, StudyState.PARTLY_DELETED)  # by their sentence
STYLES = {Standing.FAILED: "red", Standing.NOT_ANALYSED: "yellow", Standing.WITHDRAWN: "yellow"}


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
        note=lambda row: _joined(row.reason.sentence if row.reason else "", row.detail, row.error),
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
        f"{row.refused} images were refused." if row.refused else "",
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


def of_reissued(short: Mapping[str, str]) -> TableLayout[Reissued]:
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


FETCHED: TableLayout[Fetched] = TableLayout(
    (
        Column("study", lambda row: row.study_instance_uid, shrinks=True),
        Column("date", lambda row: row.study_date),
        Column("accession", lambda row: row.accession_number, shrinks=True),
        Column("series", lambda row: row.series),
        Column("held", lambda row: row.instances),
        Column("here", lambda row: row.received),
        Column("standing", lambda row: row.standing),
    ),
    note=lambda row: row.note,
    style=lambda row: "red" if row.note else "",
)

FINDINGS: TableLayout[Finding] = TableLayout(
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


def _why_of_study(row: StudySummary) -> str:
    state = row.state.sentence if row.state in SPEAKS else ""
    told = row.reason is None or row.reason.sentence in row.detail  # what is ignored tells all in its detail
    return _joined(state, "" if told or row.reason is None else row.reason.sentence, row.detail, row.error)


def _why_of_delivery(row: DeliverySummary) -> str:
    """What its destination answered; a destination that does not answer is named once, above the list."""
    unanswered = row.state is DeliveryState.WAITING and row.status is None
    return _joined("" if unanswered else row.error, row.commitment_error)


def _joined(*sentences: str) -> str:
    return " ".join(sentence for sentence in sentences if sentence)
