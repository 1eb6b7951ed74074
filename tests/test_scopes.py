"""How tests are given to the processes of a test run."""

from pathlib import Path

from .conftest import ACCEPTANCE, APART, LONGEST, scope_of

ROOT = Path(__file__).parents[1]


def test_what_begins_a_run_is_there() -> None:
    assert [scope for scope in (*LONGEST, *APART) if not (ROOT / scope).exists()] == []


def test_a_file_is_one_scope_and_what_shares_the_acceptance_node_is_one() -> None:
    assert scope_of("tests/node/test_cli.py::test_a[b::c]") == "tests/node/test_cli.py"
    assert {scope_of(f"{ACCEPTANCE}/test_{name}.py::test_a") for name in ("orthanc", "storescp", "ohif")} == {
        ACCEPTANCE
    }


def test_a_file_that_stands_apart_uses_no_node_of_the_others() -> None:
    for file in APART:
        text = (ROOT / file).read_text()
        assert "def node(" in text or "node: RunningNode" in text.partition("class Site")[2]
