from pathlib import Path

import pytest

from survnode.node.config import load_config
from survnode.node.errors import ConfigurationRefused

EXAMPLE = Path(__file__).resolve().parents[2] / "deploy" / "survnode.toml"


def write(folder: Path, text: str) -> Path:
    path = folder / "survnode.toml"
    path.write_text(text)
    return path


def test_only_the_data_folder_is_required(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, 'data_dir = "x"'))
    assert config.receiver.ae_title == "SURVNODE"
    assert config.assembly.quiet_period_s == 60
    assert config.model.checkpoint == "demo"


def test_every_fault_is_reported_at_once_with_key_value_and_rule(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        colour = "red"
        [receiver]
        port = 99999
        ae_title = "MUCH TOO LONG A TITLE"
        [work]
        device = "gpu"
        [[destinations]]
        name = "pacs"
        ae_title = "PACS"
        port = 104
        """,
    )
    with pytest.raises(ConfigurationRefused) as refused:
        load_config(path)
    faults = {str(fault) for fault in refused.value.faults}
    keys = {fault.split(" = ")[0] for fault in faults}
    assert keys == {"data_dir", "colour", "receiver.port", "receiver.ae_title", "work.device", "destinations.0.host"}
    assert "data_dir = (absent): is required" in faults
    assert "colour = 'red': is not a key of this section" in faults
    assert any("99999" in fault and "65535" in fault for fault in faults)


def test_two_destinations_of_one_name_are_refused(tmp_path: Path) -> None:
    one = '[[destinations]]\nname = "pacs"\nae_title = "P"\nhost = "h"\nport = 104\n'
    with pytest.raises(ConfigurationRefused, match="a name of its own; repeated: pacs"):
        load_config(write(tmp_path, 'data_dir = "x"\n' + one + one))


@pytest.mark.parametrize("title", ["", "   ", "A" * 17, "BACK\\SLASH", "TAB\\tTAB", "ÄÖ"])
def test_an_ae_title_outside_the_standard_is_refused(tmp_path: Path, title: str) -> None:
    with pytest.raises(ConfigurationRefused, match=r"receiver\.ae_title"):
        load_config(write(tmp_path, f"data_dir = 'x'\n[receiver]\nae_title = '{title}'"))


def test_a_file_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationRefused, match="must be TOML"):
        load_config(write(tmp_path, "data_dir ="))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationRefused, match="must be readable"):
        load_config(tmp_path / "absent.toml")


def test_the_example_is_valid_and_shows_every_key_with_its_default(tmp_path: Path) -> None:
    example = load_config(EXAMPLE)
    bare = load_config(write(tmp_path, f'data_dir = "{example.data_dir}"'))
    assert example.model_copy(update={"destinations": ()}) == bare
    text = EXAMPLE.read_text()
    sections = ("receiver", "assembly", "model", "work", "results", "retention")
    keys = [key for section in sections for key in type(getattr(bare, section)).model_fields]
    keys += list(type(example.destinations[0]).model_fields)
    assert [key for key in keys if f"{key} = " not in text] == []
