import pytest
import torch
from torch import Tensor, nn

from survnode.model.net.fusion import ClassTokenFusion, Fusion, MeanFusion, SoftAttention, build_fusion

WIDTH, SLICES = 64, 9
each_fusion = pytest.mark.parametrize("fusion", list(Fusion))


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def batch(*real: int, slices: int = SLICES) -> tuple[Tensor, Tensor]:
    """Embeddings (B, S, E) and mask (B, S) of patients with ``real`` slices each."""
    mask = torch.arange(slices) < torch.tensor(real)[:, None]
    return torch.randn(len(real), slices, WIDTH), mask


@each_fusion
def test_attention_sums_to_one_over_real_slices_and_is_zero_on_padding(fusion: Fusion) -> None:
    embedded, mask = batch(9, 5, 1)
    _, attention = build_fusion(fusion, WIDTH)(embedded, mask)
    assert attention.shape == mask.shape
    assert torch.equal(attention[~mask], torch.zeros(4 + 8))
    assert bool((attention[mask] > 0).all())
    assert torch.allclose(attention.sum(dim=1), torch.ones(3), atol=1e-6)


@each_fusion
def test_padding_changes_nothing(fusion: Fusion) -> None:
    module = build_fusion(fusion, WIDTH).eval()
    embedded, mask = batch(5)
    alone, attention = module(embedded[:, :5], mask[:, :5])
    padded, padded_attention = module(embedded, mask)
    assert torch.allclose(padded, alone, rtol=0, atol=1e-6)
    assert torch.allclose(padded_attention[:, :5], attention, rtol=0, atol=1e-6)


@each_fusion
def test_patients_do_not_see_each_other(fusion: Fusion) -> None:
    module = build_fusion(fusion, WIDTH).eval()
    embedded, mask = batch(9, 5, 2)
    together, _ = module(embedded, mask)
    apart = torch.cat([module(embedded[i : i + 1], mask[i : i + 1])[0] for i in range(3)])
    assert torch.allclose(together, apart, rtol=0, atol=1e-6)


@each_fusion
def test_permuting_slices_permutes_attention_and_keeps_the_patient(fusion: Fusion) -> None:
    module = build_fusion(fusion, WIDTH).eval()
    embedded, mask = batch(9)
    order = torch.randperm(9)
    patient, attention = module(embedded, mask)
    shuffled, shuffled_attention = module(embedded[:, order], mask)
    assert torch.allclose(shuffled, patient, rtol=0, atol=1e-6)
    assert torch.allclose(shuffled_attention, attention[:, order], rtol=0, atol=1e-6)


@each_fusion
def test_no_gradient_reaches_padding(fusion: Fusion) -> None:
    embedded, mask = batch(5)
    embedded.requires_grad_()
    patients, _ = build_fusion(fusion, WIDTH)(embedded, mask)
    patients.square().sum().backward()
    assert embedded.grad is not None
    assert torch.equal(embedded.grad[~mask], torch.zeros(4, WIDTH))
    assert bool(embedded.grad[mask].any(dim=1).all())


def test_soft_attention_of_a_hand_worked_patient() -> None:
    fusion = SoftAttention(2)
    assert isinstance(fusion.score, nn.Linear)
    with torch.no_grad():
        fusion.score.weight.copy_(torch.tensor([[1.0, 0.0]]))
        fusion.score.bias.fill_(7.0)  # the same for each slice: it cancels
    # exp(ln 3) = 3 and exp(0) = 1, so the slices weigh 3/4 and 1/4; the third is padding.
    embedded = torch.tensor([[[torch.log(torch.tensor(3.0)), 4.0], [0.0, 8.0], [50.0, 50.0]]])
    patient, attention = fusion(embedded, torch.tensor([[True, True, False]]))
    assert attention[0].tolist() == pytest.approx([0.75, 0.25, 0.0])
    assert patient[0, 1].item() == pytest.approx(0.75 * 4 + 0.25 * 8)


def test_the_papers_attention_has_one_linear_layer() -> None:
    assert sum(parameter.numel() for parameter in build_fusion(Fusion.ATTENTION, 256).parameters()) == 257


def test_mean_counts_real_slices_only() -> None:
    embedded = torch.tensor([[[1.0], [3.0], [100.0]]])
    patient, attention = MeanFusion()(embedded, torch.tensor([[True, True, False]]))
    assert patient.item() == 2.0
    assert attention[0].tolist() == [0.5, 0.5, 0.0]


def test_class_token_equals_torchs_transformer_layer() -> None:
    fusion = ClassTokenFusion(WIDTH).eval()
    layer = nn.TransformerEncoderLayer(
        WIDTH, nhead=2, dim_feedforward=WIDTH, dropout=0, activation="gelu", batch_first=True, norm_first=True
    ).eval()
    own = fusion.state_dict()
    layer.load_state_dict(
        {
            name: own[name.replace("self_attn", "attend").replace("linear1", "mlp.0").replace("linear2", "mlp.2")]
            for name in layer.state_dict()
        }
    )
    embedded, mask = batch(9, 4)
    token = fusion.token.expand(2, 1, -1)
    ignored = torch.cat([torch.zeros(2, 1, dtype=torch.bool), ~mask], dim=1)
    tokens = layer(torch.cat([token, embedded], dim=1), src_key_padding_mask=ignored)
    assert torch.allclose(fusion(embedded, mask)[0], fusion.norm(tokens[:, 0]), atol=1e-6)
