from pathlib import Path

import pytest

from survnode.node.config import Rule, SourceConfig, load_config

from .files import DESTINATION, EXAMPLE, SOURCE, refusal, write


def test_a_withdrawal_is_no_object_to_choose_and_it_is_said_why(tmp_path: Path) -> None:
    told = refusal(tmp_path, 'data_dir = "x"\n' + DESTINATION + 'objects = ["report", "withdrawal"]\n')
    assert "destinations.0.objects" in told
    assert "goes by itself to each destination" in told


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


def test_a_source_asks_nothing_by_itself(tmp_path: Path) -> None:
    (source,) = load_config(write(tmp_path, 'data_dir = "x"\n' + SOURCE)).sources
    assert (source.method, source.reconcile, source.fetch_missing) == ("move", False, False)


def test_what_is_missing_is_known_only_where_it_is_asked_for(tmp_path: Path) -> None:
    words = refusal(tmp_path, 'data_dir = "x"\n' + SOURCE + "fetch_missing = true\n")
    assert "fetch_missing needs reconcile = true" in words


def test_the_example_of_a_source_is_one(tmp_path: Path) -> None:
    text = EXAMPLE.read_text()
    lines = text[text.index("# [[sources]]") : text.index("\n\n# Rules")].splitlines(keepends=True)
    config = load_config(write(tmp_path, text + "".join(line.removeprefix("# ") for line in lines)))
    assert config.sources[0].model_fields_set == set(SourceConfig.model_fields)
