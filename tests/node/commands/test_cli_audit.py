import json
import sqlite3
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from survnode.node.state.database import Database

from .asking import Ask, asking


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "survnode.db")


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, add_job: Callable[..., int]) -> Ask:
    """Asks of a node that made one job of one study."""
    add_job()
    return asking(tmp_path, monkeypatch)


def test_an_unbroken_trail_is_counted_and_its_head_is_said(ask: Ask) -> None:
    verified = ask("audit", "verify")
    assert verified.exit_code == 0
    head = json.loads(ask("audit", "verify", "--json").stdout)["head"]
    assert verified.stdout == f"2 entries are as they were written. Head: {head}\n"
    assert ask("audit", "verify", "--head", head).exit_code == 0


def test_a_head_that_is_not_there_is_a_fault(ask: Ask) -> None:
    verified = ask("audit", "verify", "--head", "ab" * 32)
    assert verified.exit_code == 1
    assert verified.stderr.strip()


def test_an_entry_that_was_changed_is_a_fault_and_the_exit_code_says_so(ask: Ask, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "survnode.db") as forger:
        forger.execute("DROP TRIGGER audit_is_not_changed")
        forger.execute("UPDATE audit SET account = 'nobody' WHERE id = 1")
    forger.close()
    verified = ask("audit", "verify")
    assert verified.exit_code == 1
    assert "1" in verified.stderr
    as_json = ask("audit", "verify", "--json")
    assert (as_json.exit_code, json.loads(as_json.stdout)["fault"]) == (1, verified.stderr.strip())


def test_entries_are_exported_one_message_a_line_within_the_time_that_is_asked_for(ask: Ask) -> None:
    messages = ask("audit", "export").stdout.splitlines()
    assert [ET.fromstring(message).tag for message in messages] == ["AuditMessage"] * 2
    assert ask("audit", "export", "--until", "2000-01-01").stdout == ""
