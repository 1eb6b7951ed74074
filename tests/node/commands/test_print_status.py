from dataclasses import replace
from datetime import UTC, datetime

import pytest

from survnode.node.commands.print_status import print_status
from survnode.node.commands.status import NodeStatus
from survnode.node.state.records import StudyState
from survnode.node.state.summaries import DestinationSummary, Standing, StudyCounts, StudySummary

AT = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
IDLE = NodeStatus(
    running=True,
    listening=True,
    ae_title="SURVNODE",
    host="127.0.0.1",
    port=11112,
    data_dir="/data",
    free_gib=100.0,
    needed_gib=2.0,
    today=StudyCounts(),
    waiting=0,
    oldest_waiting=None,
    failed=0,
    quarantined=0,
    destinations=(),
    rejected=(),
)
WAITS = StudySummary(
    "1.2.4711", "A1", "P1", "", Standing.WAITING, StudyState.ASSEMBLED, 60, 0, AT, AT, None, "", 1, None, None, "", ""
)
DOWN = DestinationSummary("pacs", 5, 0, None, None, "It cannot be reached.", AT)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> object:
    monkeypatch.setenv("COLUMNS", "80")

    def show(status: NodeStatus) -> dict[str, str]:
        """The lines by their first word."""
        print_status(status, lambda uids: {uid: f"...{uid[-4:]}" for uid in uids})
        lines = [line for line in capsys.readouterr().out.splitlines() if line]
        return {line.split()[0]: line for line in lines}

    return show


def test_a_node_without_work_says_so_in_five_lines(shown: object) -> None:
    assert callable(shown)
    lines = shown(IDLE)
    assert lines["node"] == "node      runs: SURVNODE at 127.0.0.1:11112, /data"
    assert lines["disk"] == "disk      100 GiB free, at least 2 needed"
    assert lines["today"] == "today     0 studies received"
    assert (lines["waiting"], lines["failed"]) == ("waiting   none", "failed    none")
    assert "results go nowhere" in lines["sent"]


@pytest.mark.parametrize(
    ("running", "listening", "words"),
    [(True, True, "runs:"), (True, False, "starting, not yet listening:"), (False, False, "does not run:")],
)
def test_whether_it_runs_stands_first(shown: object, running: bool, listening: bool, words: str) -> None:
    assert callable(shown)
    assert shown(replace(IDLE, running=running, listening=listening))["node"].split("      ")[1].startswith(words)


def test_numbers_that_are_not_zero_are_named_and_one_is_a_study(shown: object) -> None:
    assert callable(shown)
    today = StudyCounts(received=3, analysed=1, not_analysed=2)
    lines = shown(replace(IDLE, today=today, waiting=1, oldest_waiting=WAITS, failed=2))
    assert lines["today"] == "today     3 studies received: 1 analysed, 2 not analysed"
    assert lines["waiting"].startswith("waiting   1 study; the oldest, ...4711, was received 11-24")
    assert lines["failed"] == "failed    2 studies: a person must act"


def test_a_destination_that_is_down_shows_its_error(shown: object) -> None:
    assert callable(shown)
    lines = shown(replace(IDLE, destinations=(DOWN,)))
    assert "It cannot be reached." in lines["It"]
    assert lines["pacs"].split()[1:4] == ["5", "0", "never"]
