from ipaddress import ip_network
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from survnode.node.config import load_config
from survnode.node.service.reload import Reloading

RUNNING = 'data_dir = "data"\n[receiver]\nhost = "0.0.0.0"\ncalling_ae_titles = ["PACS"]\n'


@pytest.fixture
def reloading(tmp_path: Path) -> Reloading:
    path = tmp_path / "survnode.toml"
    path.write_text(RUNNING)
    return Reloading(load_config(path), path)


def test_who_may_send_is_taken_from_the_file(reloading: Reloading) -> None:
    reloading.path.write_text(RUNNING.replace('"PACS"]', '"PACS", "CT2"]\nnetworks = ["192.0.2.0/24"]'))
    with capture_logs() as logs:
        receiver = reloading.reread().receiver
    assert (receiver.calling_ae_titles, receiver.networks) == (("PACS", "CT2"), (ip_network("192.0.2.0/24"),))
    assert logs == []


def test_what_else_has_changed_is_told_and_does_not_hold(reloading: Reloading) -> None:
    reloading.path.write_text(RUNNING + "port = 4242\n[work]\nmax_attempts = 7\n")
    with capture_logs() as logs:
        assert reloading.reread() == reloading.running
    assert [(it["event"], it["sections"]) for it in logs] == [("config.needs_restart", ["receiver", "work"])]


@pytest.mark.parametrize("written", ["nonsense", RUNNING.replace('calling_ae_titles = ["PACS"]', "")])
def test_a_file_with_faults_changes_nothing(reloading: Reloading, written: str) -> None:
    reloading.path.write_text(written)
    with capture_logs() as logs:
        assert reloading.reread() is reloading.running
    assert [it["event"] for it in logs] == ["config.not_reloaded"]
