"""What an installation without its optional parts says."""

import pickle
import sys

import pytest

from survnode.model.errors import ExtraMissing
from survnode.model.extras import packages_of, require_extra

ABSENT = ["monai", "threadpoolctl"]


def hide(monkeypatch: pytest.MonkeyPatch, names: list[str]) -> None:
    monkeypatch.setattr("survnode.model.extras._installed", lambda name: name not in names)


def test_the_extra_is_what_the_project_says_it_is() -> None:
    assert {"monai", "scikit-learn", "tensorboard", "threadpoolctl"} <= set(packages_of("train"))
    assert "pytest" in packages_of("test")
    assert "torch" not in packages_of("train")


def test_an_installed_extra_is_no_matter() -> None:
    require_extra("train", "survnode train")


def test_what_is_missing_is_said_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, ABSENT)
    with pytest.raises(ExtraMissing) as caught:
        require_extra("train", "survnode train")
    words = str(caught.value)
    assert words.startswith("survnode train needs the extra [train], of which monai, threadpoolctl are not installed")
    assert words.endswith(f"{sys.executable} -m pip install -e '.[train]'")


def test_a_missing_extra_crosses_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, ABSENT[:1])
    with pytest.raises(ExtraMissing, match="of which monai is not installed") as caught:
        require_extra("train", "survnode train")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
