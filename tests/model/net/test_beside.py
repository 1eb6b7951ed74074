"""What stands beside the image: imputed, scaled, flagged, and left out in training."""

import pytest
import torch

from survnode.model.net.beside import Beside, BesideConfig
from survnode.model.net.encoders import Encoder, Freezing
from survnode.model.net.network import NetworkConfig, SurvivalNet
from survnode.model.net.trunks import TRUNKS, EncoderName

NAN = float("nan")


def beside(**settings: float) -> Beside:
    torch.manual_seed(0)
    return Beside(BesideConfig(columns=("age", "hb"), **settings))  # type: ignore[arg-type]  # numbers of any kind


def network(*, sees_image: bool = True, absent: float = 0.3) -> SurvivalNet:
    torch.manual_seed(0)
    config = NetworkConfig(
        encoder=EncoderName.EFFICIENTNET_LITE0,
        beside=BesideConfig(columns=("age",), absent=absent),
        sees_image=sees_image,
    )
    return SurvivalNet(config, Encoder(TRUNKS[config.encoder], 1, Freezing.TRUNK)).eval()


def test_scale_is_that_of_the_training_patients_with_the_median_for_who_is_missing() -> None:
    part = beside()
    part.learn_scale(torch.tensor([[60.0, 10], [70, NAN], [80, 14], [NAN, 12]]))
    assert part.median.tolist() == [70, 12]
    assert part.mean.tolist() == [70, 12]
    assert part.deviation.tolist() == pytest.approx([50**0.5, 2**0.5])


def test_column_that_never_varies_or_is_never_known_stays_finite() -> None:
    part = beside().eval()
    part.learn_scale(torch.tensor([[5.0, NAN], [5.0, NAN]]))
    assert torch.isfinite(part(torch.tensor([[NAN, 3.0], [1e30, NAN]]))).all()


def test_missing_value_differs_from_the_median() -> None:
    part = beside().eval()
    part.learn_scale(torch.tensor([[60.0, 10], [70, 12], [80, 14]]))
    missing, median = part(torch.tensor([[NAN, 12.0], [70.0, 12.0]]))
    assert not torch.equal(missing, median)


def test_a_share_of_patients_loses_the_table_in_training_only() -> None:
    part = beside(absent=0.3, dropout=0.0)
    values, nothing = torch.ones(2000, 2), part(part.none_of(1))
    lost = (part(values) == nothing).all(dim=1).float().mean()
    assert lost.item() == pytest.approx(0.3, abs=0.04)
    assert not (part.eval()(values) == nothing).all(dim=1).any()


@pytest.mark.parametrize("forward", ["forward_features", "forward_fused"])
def test_network_without_values_says_what_it_says_of_missing_ones(forward: str) -> None:
    net, features, mask = network(), torch.randn(2, 3, 1280), torch.ones(2, 3, dtype=torch.bool)
    with torch.no_grad():
        nothing, missing, known = (
            getattr(net, forward)(features, mask, values).logits
            for values in (None, torch.full((2, 1), NAN), torch.full((2, 1), 3.0))
        )
    assert torch.equal(nothing, missing)
    assert not torch.equal(nothing, known)


def test_network_that_does_not_see_the_image_does_not_depend_on_it_and_looks_nowhere() -> None:
    net, values = network(sees_image=False), torch.tensor([[1.0], [1.0]])
    mask = torch.tensor([[True, True, True], [True, True, False]])
    with torch.no_grad():
        said = net.forward_features(torch.randn(2, 3, 1280), mask, values)
    assert torch.equal(said.logits[0], said.logits[1])
    assert said.attention is not None
    assert said.attention.tolist() == [pytest.approx([1 / 3] * 3), pytest.approx([0.5, 0.5, 0])]


def test_only_what_was_trained_without_the_table_does_without_it() -> None:
    assert not network().config.needs_beside
    assert network(absent=0.0).config.needs_beside
    assert network(sees_image=False).config.needs_beside
    with pytest.raises(ValueError, match="needs something beside it"):
        NetworkConfig(sees_image=False)
