import json
from pathlib import Path

import pytest

from survnode.node.commands.configured_node import configured_node_of, database_of, warn
from survnode.node.commands.printing import Column, TableLayout
from survnode.node.config import NodeConfig
from survnode.node.errors import ConfigurationRefused, InputRefused, RecordNotFound
from survnode.node.state.database import Database
from survnode.node.state.summaries import Listing


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "survnode.toml"
    path.write_text('data_dir = "data"')
    (tmp_path / "data").mkdir()
    return path


def test_a_node_that_never_ran_has_nothing_to_show_and_no_database_is_made(config: Path) -> None:
    with pytest.raises(InputRefused, match="no node has run with this configuration"):
        configured_node_of(config)
    assert list((config.parent / "data").iterdir()) == []


def test_a_faulty_configuration_is_refused_before_the_database_is_looked_for(config: Path) -> None:
    config.write_text("colour = 1")
    with pytest.raises(ConfigurationRefused):
        configured_node_of(config)


def test_the_database_is_the_configurations(config: Path) -> None:
    Database(config.parent / "data" / "survnode.db").close()
    node = configured_node_of(config)
    assert node.database.path == NodeConfig(data_dir=config.parent / "data").database_path
    with pytest.raises(RecordNotFound):
        node.find("...4711")
    assert database_of(node.settings).path == node.database.path


def test_a_list_says_what_is_missing_of_it_and_json_stays_json(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Database(config.parent / "data" / "survnode.db").close()
    node = configured_node_of(config)
    layout = TableLayout((Column[str]("name", lambda row: row),))
    node.show_listing(Listing(("a", "b"), 3), lambda _: layout, title="names", wide=False, as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "name", "a", "b", "3 more: see the next --page, or give a larger --limit.",
    ]  # fmt: skip
    node.show_listing(Listing(("a", "b"), 3), lambda _: layout, title="names", wide=False, as_json=True)
    out, err = capsys.readouterr()
    assert json.loads(out) == ["a", "b"]
    assert err.startswith("3 more")


@pytest.mark.parametrize("on_stderr", [True, False])
def test_warnings_go_where_they_do_not_spoil_json(capsys: pytest.CaptureFixture[str], on_stderr: bool) -> None:
    warn(["the disk is [full]"], on_stderr=on_stderr)
    out, err = capsys.readouterr()
    assert (err if on_stderr else out) == "warning: the disk is [full]\n"
    assert (out if on_stderr else err) == ""
