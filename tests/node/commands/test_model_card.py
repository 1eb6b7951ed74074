from survnode.model.checkpoint import checkpoint_folder, read_card
from survnode.node.commands.model_card import lines_of


def test_values_stand_beside_their_names_and_sections_below_all_values() -> None:
    card = {
        "name": "a model",
        "max_spread": None,
        "preprocessing": {"spacing_mm": [3.0, 1.0, 1.0], "slice_filter": "each"},
        "demonstration": True,
    }
    assert list(lines_of(card, 80)) == [
        "name           a model",
        "max spread     none",
        "demonstration  yes",
        "",
        "preprocessing",
        "  spacing mm    3.0, 1.0, 1.0",
        "  slice filter  each",
    ]


def test_a_figure_has_its_interval_and_one_without_says_so() -> None:
    card = {
        "ctd": {"value": 0.8057, "low": 0.7673, "high": 0.8449},
        "auc": {"value": None, "low": None, "high": None},
        "rank": {"value": 0.5, "low": None, "high": None},
    }
    assert list(lines_of(card, 80)) == [
        "ctd   0.806 (95 % interval 0.767 to 0.845)",
        "auc   not defined",
        "rank  0.500",
    ]


def test_folds_are_numbered_lines_and_long_lists_are_wrapped() -> None:
    card = {"metrics": {"folds": [{"epoch": 24, "validation_ctd": 0.8794}, {"epoch": 25, "validation_ctd": 0.83}]}}
    assert list(lines_of(card, 80))[2:] == [
        "  folds",
        "    1  epoch 24, validation ctd 0.8794",
        "    2  epoch 25, validation ctd 0.83",
    ]
    heights = {"heights_mm": [float(number) for number in range(200, 240)]}
    lines = list(lines_of(heights, 60))
    assert len(lines) > 3
    assert max(map(len, lines)) <= 60
    assert {line[:12] for line in lines[1:]} == {" " * 12}


def test_no_line_of_the_demonstration_model_is_json() -> None:
    lines = list(lines_of(read_card(checkpoint_folder("demo")).model_dump(mode="json"), 80))
    assert [line for line in lines if set(line) & set('{}[]"')] == []
    assert "    ctd                    0.806 (95 % interval 0.767 to 0.845)" in lines
