from pathlib import Path

from survnode.node.config import Rule, load_config

from .files import DESTINATION, EXAMPLE, refusal, write


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


def test_the_example_of_a_rule_is_one(tmp_path: Path) -> None:
    text = EXAMPLE.read_text()
    rule = "".join(line.removeprefix("# ") for line in text[text.index("# [[rules]]") :].splitlines(keepends=True))
    config = load_config(write(tmp_path, text + rule))
    assert config.rules[0].model_fields_set == set(Rule.model_fields)
