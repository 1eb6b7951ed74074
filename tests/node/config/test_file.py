from pathlib import Path

import pytest

from survnode.node.config import load_config
from survnode.node.errors import ConfigurationRefused

from .files import DESTINATION, SOURCE, refusal, write


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
    assert "a name of its own; repeated: pacs" in refusal(tmp_path, 'data_dir = "x"\n' + DESTINATION + DESTINATION)


def test_faults_are_told_in_words(tmp_path: Path) -> None:
    told = refusal(
        tmp_path,
        'data_dir = "x"\nlog_level = "loud"\n[receiver]\nae_title = ""\nnetworks = ["x"]\n[work]\ndevice = "gpu"\n'
        + DESTINATION.replace('"pacs"', '"a b"'),
    )
    assert "must be 1 to 16 ASCII characters without a backslash" in told
    assert "must be auto, cpu, cuda or cuda:N" in told
    assert "must be 1 to 64 letters, digits, underscores or hyphens" in told
    assert not {"pattern", "regex", "^", "$"} & set(told.split())


def test_a_file_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationRefused, match="must be TOML"):
        load_config(write(tmp_path, "data_dir ="))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationRefused, match="must be readable"):
        load_config(tmp_path / "absent.toml")


def test_a_source_is_refused_as_a_destination_is(tmp_path: Path) -> None:
    words = refusal(tmp_path, 'data_dir = "x"\n' + SOURCE + 'method = "push"\n' + SOURCE)
    assert "sources.0.method = 'push'" in words
    assert "each of the sources needs a name of its own; repeated: pacs" in words


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ("data_dir = 7", "data_dir = 7: must be a path in quotes"),
        ('receiver = "all"', "receiver = 'all': must be a table"),
        ('receiver = { open = "maybe" }', "receiver.open = 'maybe': must be true or false"),
        ("receiver = { port = 1.5 }", "receiver.port = 1.5: must be a whole number"),
        ('receiver = { min_free_gib = "much" }', "receiver.min_free_gib = 'much': must be a number"),
        ("receiver = { max_associations = 0 }", "receiver.max_associations = 0: must be greater than or equal to 1"),
        ("assembly = { quiet_period_s = inf }", "assembly.quiet_period_s = inf: must be a finite number"),
        ('assembly = { other_instances = "eat" }', "assembly.other_instances = 'eat': must be 'drop' or 'keep'"),
        ("results = { series_numbers = 3 }", "results.series_numbers = 3: must be a table"),
        ("destinations = 3", "destinations = 3: must be a list"),
        (
            '[destinations]\nname = "pacs"',
            "destinations = (as a whole): must be a list: each of its tables begins with [[destinations]]",
        ),
    ],
)
def test_no_fault_is_told_in_the_words_of_a_library(tmp_path: Path, written: str, fault: str) -> None:
    data_dir = "" if "data_dir" in written else 'data_dir = "x"\n'
    assert refusal(tmp_path, data_dir + written).splitlines()[1:] == [f"  {fault}"]


def test_an_item_that_is_wrong_is_not_missing_too(tmp_path: Path) -> None:
    told = refusal(tmp_path, 'data_dir = "x"\n' + DESTINATION + 'objects = ["x-ray"]\n')
    assert len(told.splitlines()) == 2
    assert "destinations.0.objects.0 = 'x-ray': must be 'report', " in told
