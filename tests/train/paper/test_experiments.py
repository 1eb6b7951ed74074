import pytest
import torch

from survnode.model.net.encoders import Freezing
from survnode.model.net.fusion import Fusion
from survnode.model.net.heads import HeadName
from survnode.model.net.network import NetworkConfig, SurvivalNet
from survnode.model.net.trunks import EncoderName
from survnode.model.net.volumetric import VolumeEncoderName, VolumetricConfig, VolumetricNet
from survnode.train.paper.experiments import REPEATS, Population, Start, System, experiments, needed, with_settings_of
from survnode.train.paper.published import COSTS, CTD, REMARKS

PAPER = experiments()
SYSTEMS = needed(PAPER.values(), PAPER["attention"].reference)


def names(experiment: str) -> list[str]:
    return [system.name for system in PAPER[experiment].systems]


def test_question_1_freezes_half_and_all_but_the_last_layer_of_five_networks() -> None:
    assert names("q1-3d") == [
        "efficientnet_b0-attention", "efficientnet_b0-attention-half", "resnet3d_18", "resnet3d_18-half",
        "densenet3d_121", "densenet3d_121-half", "densenet3d_121_monai", "densenet3d_121_monai-half", "mst", "mst-half",
    ]  # fmt: skip
    frozen = [system.network.freezing for system in PAPER["q1-3d"].systems]
    assert frozen == [Freezing.TRUNK, Freezing.HALF] * 5


def test_question_2_changes_the_fusion_and_nothing_else() -> None:
    networks = [system.network for system in PAPER["q2-fusion"].systems]
    assert [one.fusion for one in networks if isinstance(one, NetworkConfig)] == [
        Fusion.ATTENTION, Fusion.MEAN, Fusion.CLASS_TOKEN,
    ]  # fmt: skip
    assert len({one.model_copy(update={"fusion": Fusion.MEAN}) for one in networks}) == 1


def test_question_3_has_the_six_encoders_of_the_paper() -> None:
    assert {system.network.encoder for system in PAPER["q3-encoders"].systems} == {
        "efficientnet_b0", "vgg16", "resnet50", "alexnet", "vit_b_16", "medvit_small",
    }  # fmt: skip


def test_question_4_repeats_scratch_and_transfer_and_runs_zero_shot_once() -> None:
    systems = PAPER["q4-transfer"].systems
    assert all(system.cohort is Population.SECOND for system in systems)
    counts = [sum(system.start is start for system in systems) for start in Start]
    assert counts == [REPEATS, REPEATS, 1]
    assert {system.network for system in systems} == {PAPER["attention"].reference.network}


def test_question_5_counts_every_system_of_the_first_three_questions_once() -> None:
    every = {name for question in ("q1-3d", "q2-fusion", "q3-encoders") for name in names(question)}
    assert sorted(names("q5-cost")) == sorted(every)


def test_a_system_that_questions_share_is_trained_once_and_before_what_starts_from_it() -> None:
    assert len({system.name for system in SYSTEMS}) == len(SYSTEMS)
    only = needed([PAPER["q4-transfer"]], PAPER["attention"].reference)
    assert only[0].name == "efficientnet_b0-attention"
    assert [system.name for system in needed([PAPER["attention"]], PAPER["attention"].reference)] == [only[0].name]


def test_another_encoder_can_stand_for_the_papers() -> None:
    lite = experiments(EncoderName.EFFICIENTNET_LITE0)
    assert lite["attention"].reference.name == "efficientnet_lite0-attention"
    assert "efficientnet_b0-attention" in [system.name for system in lite["q3-encoders"].systems]
    assert lite["q4-transfer"].reference.network == lite["attention"].reference.network


def test_a_presets_head_reaches_every_network() -> None:
    base = NetworkConfig(n_bins=12, feature_scale=0.3, feature_dropout=0.5, slice_dropout=0.25)
    slices = with_settings_of(PAPER["attention"].reference.network, base)
    volume = with_settings_of(VolumetricConfig(), base)
    assert slices == NetworkConfig(n_bins=12, feature_scale=0.3, feature_dropout=0.5, slice_dropout=0.25)
    assert volume == VolumetricConfig(n_bins=12)


def test_heads_differ_in_nothing_but_the_head() -> None:
    systems = PAPER["q6-heads"].systems
    assert [system.network.head for system in systems] == list(HeadName)
    assert {system.network.model_copy(update={"head": HeadName.DEEPHIT}) for system in systems} == {systems[0].network}


def test_a_presets_head_stands_where_a_system_asks_for_none() -> None:
    base = NetworkConfig(head=HeadName.COX)
    of_reference, of_mtlr = (with_settings_of(PAPER["q6-heads"].systems[place].network, base) for place in (0, 3))
    assert (of_reference.head, of_mtlr.head) == (HeadName.COX, HeadName.MTLR)


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_every_system_makes_its_network(system: System) -> None:
    if system.network.encoder is VolumeEncoderName.DENSENET3D_121:
        pytest.importorskip("monai")
    with torch.device("meta"):
        if isinstance(system.network, VolumetricConfig):
            assert VolumetricNet(system.network).embed.out_features == 256
        else:
            outputs = {HeadName.PC_HAZARD: 24, HeadName.COX: 1}.get(system.network.head, 25)
            assert SurvivalNet(system.network).head.bins.out_features == outputs


def test_every_published_number_belongs_to_a_system_or_a_question() -> None:
    rows = {system.name for system in SYSTEMS} | {"claro-transfer", "claro-scratch"}
    assert set(CTD) <= rows
    assert set(REMARKS) <= set(PAPER)
    assert set(COSTS) <= {str(system.network.encoder) for system in SYSTEMS}


def test_question_5_trains_nothing() -> None:
    assert needed([PAPER["q5-cost"]], PAPER["attention"].reference) == ()
    assert not PAPER["q5-cost"].trains
