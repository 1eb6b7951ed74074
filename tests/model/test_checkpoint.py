import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from survnode.model.checkpoint import (
    DEMO,
    Backbone,
    Card,
    CohortSummary,
    Lungs,
    checkpoint_folder,
    limits_of,
    load_checkpoint,
    read_card,
    save_checkpoint,
)
from survnode.model.ct.lungs import LungMethod
from survnode.model.ct.preprocess import Interpolation, Preprocessing
from survnode.model.errors import CheckpointRefused
from survnode.model.likeness import Acquisition, fit_likeness
from survnode.model.seen import Identity, SeenPatients

OF_FORMAT_2 = "2.25.67712791009830051030772565017530101743"  # as the software of that format wrote it

State = dict[str, NDArray[np.generic]]


def card(**changes: object) -> Card:
    values: dict[str, object] = {
        "name": "tested",
        "version": "1",
        "network": {"encoder": "efficientnet_lite0"},
        "preprocessing": Preprocessing(),
        "lungs": Lungs(method=LungMethod.THRESHOLD),
        "backbone": Backbone(name="efficientnet_lite0", sha256="ab"),
        "cohort": CohortSummary(description="nobody", n_patients=1, n_events=0, sha256="cd"),
        "limits": limits_of([250.0, 300.0]),
        "intended_use": "tests",
        "licence": "Apache-2.0",
    }
    return Card.model_validate(values | changes)


def member(seed: int) -> State:
    random = np.random.default_rng(seed)
    return {"embed.weight": random.random((3, 4), np.float32), "embed.bias": random.random(3, np.float32)}


def rewrite(folder: Path, **changes: object) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_checkpoint_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    sealed = save_checkpoint(tmp_path, card(), (member(1), member(2)))
    loaded = load_checkpoint(tmp_path)
    assert loaded.card == sealed == read_card(tmp_path)
    assert loaded.card.members == 2
    for state, expected in zip(loaded.members, (member(1), member(2)), strict=True):
        assert state.keys() == expected.keys()
        for name in state:
            np.testing.assert_array_equal(state[name], expected[name])


def test_the_same_model_is_saved_as_the_same_bytes(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a", card(), (member(1),))
    save_checkpoint(tmp_path / "b", card(), (dict(reversed(member(1).items())),))
    for name in ("model.safetensors", "model.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"version": "2"},
        {"network": {"encoder": "efficientnet_b0"}},
        {"preprocessing": Preprocessing(interpolation=Interpolation.BSPLINE)},
        {"lungs": Lungs(method=LungMethod.LUNGMASK, weights_sha256="ef")},
        {"backbone": Backbone(name="efficientnet_lite0", sha256="ac")},
        {"metrics": {"ctd": 0.5}},
    ],
)
def test_the_device_uid_changes_with_everything(tmp_path: Path, changes: dict[str, object]) -> None:
    one = save_checkpoint(tmp_path / "a", card(), (member(1),)).device_uid
    other = save_checkpoint(tmp_path / "b", card(**changes), (member(1),)).device_uid
    assert one != other
    assert one.startswith("2.25.")
    assert len(one) <= 64


def test_the_device_uid_changes_with_the_weights(tmp_path: Path) -> None:
    one = save_checkpoint(tmp_path / "a", card(), (member(1),)).device_uid
    assert one != save_checkpoint(tmp_path / "b", card(), (member(2),)).device_uid


def test_changed_weights_are_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, card(), (member(1),))
    path = tmp_path / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointRefused, match="sha256"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("changes", [{"name": "renamed"}, {"metrics": {"ctd": 0.99}}, {"device_uid": "2.25.1"}])
def test_an_altered_card_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    save_checkpoint(tmp_path, card(), (member(1),))
    rewrite(tmp_path, **changes)
    with pytest.raises(CheckpointRefused, match="altered"):
        read_card(tmp_path)


@pytest.mark.parametrize("version", [0, 4, "2", None])
def test_an_unknown_format_is_refused_by_its_version(tmp_path: Path, version: object) -> None:
    save_checkpoint(tmp_path, card(), (member(1),))
    rewrite(tmp_path, format_version=version)
    with pytest.raises(CheckpointRefused, match="format version"):
        read_card(tmp_path)


def test_a_checkpoint_of_the_first_format_is_refused_with_what_to_do(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, card(), (member(1),))
    rewrite(tmp_path, format_version=1)
    with pytest.raises(CheckpointRefused, match=r"names no limits for incomplete lungs .* survnode train"):
        read_card(tmp_path)


def test_a_checkpoint_of_the_format_before_keeps_its_device_uid_and_records_nobody(tmp_path: Path) -> None:
    older = save_checkpoint(tmp_path, card(format_version=2), (member(1),))
    assert "seen" not in json.loads((tmp_path / "model.json").read_text())
    assert read_card(tmp_path) == older
    assert older.device_uid == OF_FORMAT_2
    assert read_card(tmp_path).seen is None


def test_whom_a_model_has_seen_comes_back_and_changes_its_device_uid(tmp_path: Path) -> None:
    seen = SeenPatients.of("ab" * 16, [Identity("P1", "k1")])
    told = save_checkpoint(tmp_path / "a", card(seen=(seen,)), (member(1),))
    assert read_card(tmp_path / "a").seen == (seen,)
    assert told.device_uid != save_checkpoint(tmp_path / "b", card(), (member(1),)).device_uid


def test_the_limits_follow_from_heights_and_spreads() -> None:
    limits = limits_of([250.0] * 20, [share / 100 for share in range(101)])
    assert (limits.max_spread, limits.coverage.min_height_mm) == (0.95, 250.0)
    assert limits_of([250.0]).max_spread is None


def test_a_card_that_lacks_something_or_says_too_much_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, card(), (member(1),))
    rewrite(tmp_path, colour="red")
    with pytest.raises(CheckpointRefused, match="colour"):
        read_card(tmp_path)
    (tmp_path / "model.json").write_text('{"format_version": 2}')
    with pytest.raises(CheckpointRefused, match="network"):
        read_card(tmp_path)
    (tmp_path / "model.json").write_text("[]")
    with pytest.raises(CheckpointRefused):
        read_card(tmp_path)


def test_an_absent_checkpoint_is_refused_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(CheckpointRefused, match="absent"):
        load_checkpoint(tmp_path / "absent")


def test_the_demonstration_model_has_a_name_and_every_other_is_a_folder() -> None:
    assert checkpoint_folder("demo").name == "demo"
    assert checkpoint_folder("models/lung1") == Path("models/lung1")


def test_an_array_that_lies_in_another_order_keeps_its_numbers(tmp_path: Path) -> None:
    turned = np.arange(12, dtype=np.float32).reshape(3, 4).T
    save_checkpoint(tmp_path, card(), ({"embed.weight": turned},))
    np.testing.assert_array_equal(load_checkpoint(tmp_path).members[0]["embed.weight"], turned)


def test_a_single_number_stays_one(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, card(), ({"norm.num_batches_tracked": np.array(7)},))
    (state,) = load_checkpoint(tmp_path).members
    assert (state["norm.num_batches_tracked"].shape, int(state["norm.num_batches_tracked"])) == ((), 7)


def test_what_training_patients_were_like_comes_back_and_a_checkpoint_without_it_stays_as_it_was(
    tmp_path: Path,
) -> None:
    known = fit_likeness(
        [Acquisition({"tube voltage [kV]": 120.0})] * 100, np.random.default_rng(0).normal(size=(100, 3))
    )
    kept = save_checkpoint(tmp_path / "new", card(likeness=known), (member(1),))
    assert read_card(tmp_path / "new").likeness == known
    before = save_checkpoint(tmp_path / "before", card(), (member(1),))
    assert kept.device_uid != before.device_uid
    assert "likeness" not in before.recorded()
    assert read_card(DEMO).device_uid == "2.25.14047689429244720611768150221670522069"
