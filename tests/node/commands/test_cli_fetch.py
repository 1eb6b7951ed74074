from pathlib import Path

import pytest

from survnode.node.errors import InputRefused, SourceUnreachable

from .asking import Ask, asking

SOURCE = '[[sources]]\nname = "archive"\nae_title = "ARCHIVE"\nhost = "127.0.0.1"\nport = 1\n'


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    return asking(tmp_path, monkeypatch, more=SOURCE)


@pytest.mark.parametrize(
    ("options", "words"),
    [((), "Say which studies"), (("--study", "1.2.3", "--wait", "--dry-run"), "nothing to --wait for")],
)
def test_what_means_nothing_is_wrong_use(ask: Ask, options: tuple[str, ...], words: str) -> None:
    refused = ask("fetch", *options)
    assert refused.exit_code == 2
    assert words in " ".join(refused.stderr.replace("│", " ").split())


def test_a_source_that_is_not_configured_is_refused(ask: Ask) -> None:
    refused = ask("fetch", "--study", "1.2.3", "--source", "elsewhere").exception
    assert isinstance(refused, InputRefused)
    assert "archive" in str(refused)


def test_an_archive_that_does_not_answer_is_said(ask: Ask) -> None:
    assert isinstance(ask("fetch", "--study", "1.2.3", "--dry-run").exception, SourceUnreachable)


def test_nothing_is_fetched_for_a_node_that_does_not_run(ask: Ask) -> None:
    refused = ask("fetch", "--study", "1.2.3")
    assert isinstance(refused.exception, InputRefused)
