from pathlib import Path

import pytest

from survnode.node.config import Rule, SourceConfig, load_config
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


DESTINATION = '[[destinations]]\nname = "pacs"\nae_title = "P"\nhost = "h"\nport = 104\n'


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(ConfigurationRefused) as refused:
        load_config(write(folder, text))
    return str(refused.value)


def test_two_destinations_of_one_name_are_refused(tmp_path: Path) -> None:
    assert "a name of its own; repeated: pacs" in refusal(tmp_path, 'data_dir = "x"\n' + DESTINATION + DESTINATION)


def test_every_fault_of_the_rules_is_reported_at_once(tmp_path: Path) -> None:
    told = refusal(
        tmp_path,
        'data_dir = "x"\n'
        + DESTINATION
        + """
        [[rules]]
        name = "everything"
        [[rules]]
        name = "twice"
        action = "delete"
        destinations = ["elsewhere"]
        [[rules]]
        name = "twice"
        modality = ""
        min_age_years = 200
        [[rules]]
        name = "silent"
        action = "analyse-only"
        destinations = ["pacs"]
        min_age_years = 18
        max_age_years = 17
        """,
    )
    for expected in (
        "rules.0 = everything: fits every study",
        "rules.1.action = 'delete'",
        "rules.1.destinations = 'elsewhere': must be the name of one of the destinations",
        "repeated: twice",
        "rules.2.modality.0 = '': must not be empty",
        "rules.2.min_age_years = 200",
        "min_age_years must not be more than max_age_years",
        'destinations mean nothing with action = "analyse-only"',
    ):
        assert expected in told


def test_a_rule_takes_one_text_or_several(tmp_path: Path) -> None:
    config = load_config(
        write(tmp_path, 'data_dir = "x"\n[[rules]]\nname = "r"\nmodality = "CT"\nbody_part = ["A", "B"]')
    )
    assert (config.rules[0].modality, config.rules[0].body_part) == (("CT",), ("A", "B"))


def test_relative_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    write(folder, 'data_dir = "data"\nmodel = { checkpoint = "mine", encoder_weights = "e", lungmask_weights = "/w" }')
    monkeypatch.chdir(tmp_path)
    config = load_config(Path("site/survnode.toml"))
    assert config.data_dir == folder / "data"
    assert (config.model.checkpoint, config.model.encoder_weights) == (str(folder / "mine"), folder / "e")
    assert config.model.lungmask_weights == Path("/w")


def test_a_withdrawal_is_no_object_to_choose_and_it_is_said_why(tmp_path: Path) -> None:
    told = refusal(tmp_path, 'data_dir = "x"\n' + DESTINATION + 'objects = ["report", "withdrawal"]\n')
    assert "destinations.0.objects" in told
    assert "goes by itself to each destination" in told


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
    keys += [*type(example.destinations[0]).model_fields, *SourceConfig.model_fields, *Rule.model_fields]
    assert [key for key in keys if f"{key} = " not in text] == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "node.example", "::ffff:192.0.2.7"])
@pytest.mark.parametrize("lists", ["", 'networks = ["0.0.0.0/0"]', 'networks = ["192.0.2.0/24", "::/0"]'])
def test_nobody_listens_beyond_loopback_without_saying_to_whom(host: str, lists: str, tmp_path: Path) -> None:
    told = refusal(tmp_path, f'data_dir = "x"\n[receiver]\nhost = "{host}"\n{lists}\n')
    assert f"would take images from everybody who reaches {host}" in told
    assert "say open = true" in told


@pytest.mark.parametrize(
    "said",
    [
        'host = "0.0.0.0"\ncalling_ae_titles = ["PACS"]',
        'host = "0.0.0.0"\nnetworks = ["192.0.2.0/24"]',
        'host = "0.0.0.0"\nopen = true',
        'host = "127.0.0.9"',
        'host = "::1"',
        'host = "localhost"',
        "",
    ],
)
def test_a_node_listens_where_it_says_who_may_send(said: str, tmp_path: Path) -> None:
    load_config(write(tmp_path, f'data_dir = "x"\n[receiver]\n{said}\n'))


def test_client_certificates_say_who_may_send_and_tls_alone_does_not(tmp_path: Path) -> None:
    beyond = 'data_dir = "x"\n[receiver]\nhost = "0.0.0.0"\n'
    tls = 'tls = { certificate = "node.crt", key = "/k" '
    config = load_config(write(tmp_path, beyond + tls + ', client_ca = "ca.crt" }'))
    assert config.receiver.tls is not None
    assert (config.receiver.tls.certificate, config.receiver.tls.key) == (tmp_path / "node.crt", Path("/k"))
    assert "would take images from everybody" in refusal(tmp_path, beyond + tls + "}")


def test_a_certificate_for_a_destination_needs_its_key(tmp_path: Path) -> None:
    told = refusal(tmp_path, 'data_dir = "x"\n' + DESTINATION + 'tls = { ca = "c", certificate = "d" }\n')
    assert "destinations.0.tls" in told
    assert "needs certificate and key, or neither of them" in told


def test_the_example_of_a_rule_is_one(tmp_path: Path) -> None:
    text = EXAMPLE.read_text()
    rule = "".join(line.removeprefix("# ") for line in text[text.index("# [[rules]]") :].splitlines(keepends=True))
    config = load_config(write(tmp_path, text + rule))
    assert config.rules[0].model_fields_set == set(Rule.model_fields)


SOURCE = '[[sources]]\nname = "pacs"\nae_title = "P"\nhost = "h"\nport = 104\n'


def test_a_source_asks_nothing_by_itself(tmp_path: Path) -> None:
    (source,) = load_config(write(tmp_path, 'data_dir = "x"\n' + SOURCE)).sources
    assert (source.method, source.reconcile, source.fetch_missing) == ("move", False, False)


def test_what_is_missing_is_known_only_where_it_is_asked_for(tmp_path: Path) -> None:
    words = refusal(tmp_path, 'data_dir = "x"\n' + SOURCE + "fetch_missing = true\n")
    assert "fetch_missing needs reconcile = true" in words


def test_a_source_is_refused_as_a_destination_is(tmp_path: Path) -> None:
    words = refusal(tmp_path, 'data_dir = "x"\n' + SOURCE + 'method = "push"\n' + SOURCE)
    assert "sources.0.method = 'push'" in words
    assert "each of the sources needs a name of its own; repeated: pacs" in words


def test_the_example_of_a_source_is_one(tmp_path: Path) -> None:
    text = EXAMPLE.read_text()
    lines = text[text.index("# [[sources]]") : text.index("\n\n# Rules")].splitlines(keepends=True)
    config = load_config(write(tmp_path, text + "".join(line.removeprefix("# ") for line in lines)))
    assert config.sources[0].model_fields_set == set(SourceConfig.model_fields)
