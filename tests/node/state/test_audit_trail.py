"""What the triggers tell is shown in test_audit.py; here what they are made of."""

import json
import sqlite3
from collections.abc import Callable
from hashlib import sha256

import pytest

from survnode.node.state import audit_trail
from survnode.node.state.database import Database


def test_the_hash_of_a_row_holds_the_one_before_and_every_value_in_its_place() -> None:
    values = ("STUDY", None, 7, 1.5)
    assert audit_trail.chained_hash("ab", *values) == sha256(json.dumps(["ab", *values]).encode()).hexdigest()
    others = [("ac", *values), ("ab", None, "STUDY", 7, 1.5), ("ab", "STUDY", "", 7, 1.5)]
    assert audit_trail.chained_hash("ab", *values) not in {audit_trail.chained_hash(*other) for other in others}


@pytest.mark.parametrize(
    ("arguments", "sudo", "account"),
    [
        (["survnode", "studies", "retry", "Doe^Jane"], None, "ann: studies retry"),
        (["survnode", "send", "--patient-id", "P1"], None, "ann: send"),
        (["survnode", "jobs", "4711"], "bob", "bob as ann: jobs"),
        (["python"], None, "ann"),
    ],
)
def test_who_acts_is_named_by_account_and_command_never_by_an_argument(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], sudo: str | None, account: str
) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "ann")
    monkeypatch.setattr("sys.argv", arguments)
    monkeypatch.delenv("SUDO_USER", raising=False)
    if sudo:
        monkeypatch.setenv("SUDO_USER", sudo)
    assert audit_trail.account_of_process() == account


def test_an_account_without_a_name_is_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr("getpass.getuser", nameless)
    monkeypatch.setattr("os.getuid", lambda: 4711)
    monkeypatch.setattr("sys.argv", ["survnode", "send"])
    monkeypatch.delenv("SUDO_USER", raising=False)
    assert audit_trail.account_of_process() == "4711: send"


def test_a_connection_without_the_functions_cannot_write_what_is_audited(
    database: Database, add_job: Callable[..., int]
) -> None:
    add_job()
    with sqlite3.connect(database.path) as stranger, pytest.raises(sqlite3.OperationalError, match="audit_"):
        stranger.execute("UPDATE studies SET state = 'IGNORED'")
    stranger.close()
