"""The administrator's commands as they are typed, on a database as a node leaves it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import update

from survnode.model.errors import Reason
from survnode.node.commands.options import JOB_STATES, STANDINGS
from survnode.node.errors import RecordNotFound
from survnode.node.state.database import Database
from survnode.node.state.records import Job, JobState
from survnode.node.state.study_rows import NO_REPORT, ignore_study
from survnode.node.state.summaries import Standing
from survnode.node.state.tables import deliveries, jobs, studies

from .asking import Ask, asking

LONG = "1.3.6.1.4.1.32722.99.99.2393413539117147773108858"


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    return asking(tmp_path, monkeypatch)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "survnode.db")


@pytest.fixture
def node(database: Database, finish_job: Callable[..., Job]) -> Database:
    """Three studies, 501, 502 and 503; the last was not analysed, and the destination is down."""
    for number in (1, 2, 3):
        finish_job(f"{LONG}50{number}", *(("pacs",) if number == 3 else ()))
        with database.transaction() as connection:
            own = studies.c.study_instance_uid == f"{LONG}50{number}"
            values = {"accession_number": f"A{number}", "patient_id": f"P{number}" * 20, "last_received_at": number}
            connection.execute(update(studies).where(own).values(values))
    with database.transaction() as connection:
        refused = {"reason": Reason.IRREGULAR_SPACING, "detail": "10 mm where 5 mm are expected."}
        connection.execute(update(jobs).where(jobs.c.study_instance_uid == f"{LONG}503").values(refused))
        connection.execute(update(deliveries).values(tries=2, first_tried_at=9.0, error="It cannot be reached."))
    return database


LISTS = [("studies", "list"), ("jobs", "list"), ("deliveries", "list"), ("associations", "list")]


@pytest.mark.usefixtures("node")
@pytest.mark.parametrize("command", [*LISTS, ("status",)])
def test_a_destination_that_is_down_stands_above_everything(ask: Ask, command: tuple[str, ...]) -> None:
    shown = ask(*command)
    assert shown.exit_code == 0, shown.output
    head = " ".join(shown.stdout.split("\n\n")[0].split())
    assert head.find("warning: the destination pacs has been down since") < 80
    as_json = ask(*command, "--json")
    json.loads(as_json.stdout)
    assert "the destination pacs has been down" in " ".join(as_json.stderr.split())


@pytest.mark.usefixtures("node")
@pytest.mark.parametrize("command", [*LISTS, ("status",), ("studies", "show", f"{LONG}503"), ("jobs", "show", "3")])
def test_tables_fit_into_80_columns(ask: Ask, command: tuple[str, ...]) -> None:
    lines = ask(*command).stdout.splitlines()
    too_long = [line for line in lines if len(line) > 80]
    assert [line for line in too_long if not line.startswith(("node", "files below"))] == []


@pytest.mark.usefixtures("node")
def test_a_study_is_listed_by_the_end_of_its_uid_which_shows_it(ask: Ask) -> None:
    listed = ask("studies", "list").stdout
    assert "...08858503" in listed
    assert "not analysed" in listed
    assert "The slices are not evenly spaced: some are missing or misplaced. 10 mm" in " ".join(listed.split())
    for name in ("...08858503", "503", f"{LONG}503"):
        assert json.loads(ask("studies", "show", name, "--json").stdout)["study_instance_uid"] == f"{LONG}503"
    assert f"{LONG}503" in ask("studies", "list", "--wide").stdout


@pytest.mark.usefixtures("node")
def test_why_a_study_is_ignored_is_said_once(ask: Ask, database: Database) -> None:
    with database.transaction() as connection:
        ignore_study(connection, f"{LONG}503", Reason.IRREGULAR_SPACING, "10 mm where 5 mm are expected.")
    listed = " ".join(ask("studies", "list").stdout.split())
    assert listed.count("The slices are not evenly spaced") == 1
    assert NO_REPORT in listed


@pytest.mark.usefixtures("node")
def test_what_is_sent_again_is_named_by_the_end_of_its_uid(ask: Ask) -> None:
    sent = ask("send", "--study", f"{LONG}503").stdout
    assert "...08858503" in sent


@pytest.mark.usefixtures("node")
@pytest.mark.parametrize("name", ["...50", "50", "4711"])
def test_an_end_that_is_of_several_or_none_is_refused(ask: Ask, name: str) -> None:
    assert isinstance(ask("studies", "show", name).exception, RecordNotFound)


@pytest.mark.usefixtures("node")
@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--accession", "A2"), ["502"]),
        (("--patient-id", "P1" * 20), ["501"]),
        (("--state", "not analysed"), ["503"]),
        (("--state", "NOT_ANALYSED"), ["503"]),
        (("--limit", "1", "--page", "2"), ["502"]),
        (("--since", "2000-01-01"), []),
        (("--until", "2000-01-01"), ["503", "502", "501"]),
    ],
)
def test_studies_are_found_by_what_is_asked_for(ask: Ask, options: tuple[str, ...], found: list[str]) -> None:
    rows = json.loads(ask("studies", "list", "--json", *options).stdout)
    assert [row["study_instance_uid"][-3:] for row in rows] == found


@pytest.mark.usefixtures("node")
def test_the_last_line_says_how_many_more_there_are(ask: Ask) -> None:
    assert ask("jobs", "list", "--limit", "2").stdout.splitlines()[-1].startswith("1 more")
    assert "more" not in ask("jobs", "list").stdout.splitlines()[-1]
    assert ask("deliveries", "list", "--waiting", "--limit", "2", "--json").stderr.splitlines()[-1].startswith("3 more")


@pytest.mark.usefixtures("node")
def test_deliveries_are_found_by_destination_and_state(ask: Ask) -> None:
    assert len(json.loads(ask("deliveries", "list", "--destination", "pacs", "--waiting", "--json").stdout)) == 5
    assert "no deliveries" in ask("deliveries", "list", "--failed").stdout


@pytest.mark.usefixtures("node")
def test_a_destination_that_never_was_is_refused_and_the_known_are_named(ask: Ask, database: Database) -> None:
    refused = ask("deliveries", "list", "--destination", "nope").exception
    assert isinstance(refused, RecordNotFound)
    assert str(refused) == "There is no destination nope; the configuration has pacs."
    with database.transaction() as connection:
        connection.execute(update(deliveries).values(destination="old-pacs"))  # and the configuration forgot it since
    assert len(json.loads(ask("deliveries", "list", "--destination", "old-pacs", "--json").stdout)) == 5


@pytest.mark.usefixtures("node")
def test_a_study_is_shown_in_the_words_of_a_person(ask: Ask) -> None:
    shown = ask("studies", "show", f"{LONG}503").stdout
    labels = [line.split("  ")[0] for line in shown.split("\n\n")[0].splitlines()]
    assert [label for label in labels if label] == [  # what is long goes on below
        *("study", "accession number", "patient ID", "state", "why", "images", "first received", "last received"),
        "newest job",
    ]
    assert "not analysed: It cannot be analysed; its report says why." in shown
    assert not {"standing", "sentence", "assembled"} & set(shown.split())


@pytest.mark.usefixtures("node")
def test_a_job_says_where_its_files_are_and_how_often_it_ended_its_worker(
    ask: Ask, database: Database, tmp_path: Path
) -> None:
    shown = ask("jobs", "show", "3").stdout
    below = next(line for line in shown.splitlines() if line.startswith("files below"))
    assert below.split()[-1] == str(tmp_path / "results")
    assert "3/report.dcm" in shown
    assert "kills" not in shown
    assert "ended its worker" not in shown
    with database.transaction() as connection:
        connection.execute(update(jobs).values(kills=2))
    assert "ended its worker  2 times" in ask("jobs", "show", "3").stdout


@pytest.mark.usefixtures("node")
def test_a_state_that_is_none_is_wrong_use_and_the_states_are_named(ask: Ask) -> None:
    refused = ask("studies", "list", "--state", "lost")
    assert refused.exit_code == 2
    assert "not_analysed" in refused.stderr
    assert ask("jobs", "list", "--state", "waiting").exit_code == 2
    assert ask("studies", "list", "--limit", "0").exit_code == 2


def test_the_states_that_the_help_names_are_those_that_there_are() -> None:
    assert STANDINGS.split(", ") == [standing.lower() for standing in Standing]
    assert JOB_STATES.split(", ") == [state.lower() for state in JobState]


def test_status_of_an_empty_node_says_so(ask: Ask, database: Database) -> None:
    database.close()
    shown = " ".join(ask("status").stdout.split())
    assert "warning: no node runs here" in shown
    assert "today 0 studies received" in shown
    assert "waiting none" in shown
