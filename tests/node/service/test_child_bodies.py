from pathlib import Path

from survnode.node.config import DestinationConfig, NodeConfig, ResultsConfig
from survnode.node.results.identity import Layout
from survnode.node.roles import DEFAULT_ROLES, ResultRole
from survnode.node.service.child_bodies import find_devices, layout_of


def config(*objects: ResultRole, **results: object) -> NodeConfig:
    peers = tuple(
        DestinationConfig(name=f"pacs{number}", ae_title="P", host="h", port=104, objects=(ResultRole.REPORT, role))
        for number, role in enumerate(objects)
    )
    return NodeConfig(data_dir=Path("/x"), destinations=peers, results=ResultsConfig.model_validate(results))


def test_an_optional_object_is_made_once_any_destination_wants_it() -> None:
    assert layout_of(config()).optional == frozenset()
    wanted = layout_of(config(ResultRole.PDF, ResultRole.CURVE, ResultRole.SEGMENTATION)).optional
    assert wanted == {ResultRole.PDF, ResultRole.SEGMENTATION}
    assert not wanted & set(DEFAULT_ROLES)


def test_the_site_s_choices_reach_the_results_and_its_numbers_are_added_to_the_others() -> None:
    layout = layout_of(config(captures=7, pdf_names_patient=False, series_numbers={"report": 4711}))
    assert (layout.captures, layout.pdf_names_patient) == (7, False)
    assert layout.series_numbers == {**Layout().series_numbers, ResultRole.REPORT: 4711}


def test_the_cpu_is_always_there() -> None:
    assert find_devices("cpu") == ("cpu",)
