"""An installation without extras, made of the one that has them all: whatever an extra brought is hidden.

It is what `pip install .` would have made, as far as the packages' own metadata say: the distributions that survnode
requires without an extra, those that these require, and so on. Everything else that is installed is hidden from
imports and from `importlib.metadata` alike, in a process and in all of its children.
"""

from importlib.metadata import PackageNotFoundError, distribution, distributions, packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HIDE = """
import importlib.metadata, sys
from importlib.machinery import PathFinder
HIDDEN_NAMES, HIDDEN_MODULES = {names!r}, {modules!r}
class Visible(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in HIDDEN_MODULES else PathFinder.find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = Visible
found = importlib.metadata.MetadataPathFinder.find_distributions
def visible(*arguments, **options):
    for one in found(*arguments, **options):
        if (one.metadata["Name"] or "").lower().replace("_", "-").replace(".", "-") not in HIDDEN_NAMES:
            yield one
importlib.metadata.MetadataPathFinder.find_distributions = staticmethod(visible)
"""


def required(name: str = "survnode") -> frozenset[str]:
    """The distributions that an installation of ``name`` without extras brings, by canonical name."""
    seen: set[tuple[str, str]] = set()
    waiting = [(name, "")]
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        for line in distribution(one[0]).requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": one[1]}):
                waiting += [(canonicalize_name(requirement.name), extra) for extra in ("", *requirement.extras)]
    return frozenset(name for name, _ in seen)


def installed() -> frozenset[str]:
    """All distributions that this interpreter sees, by canonical name."""
    return frozenset(canonicalize_name(one.metadata["Name"]) for one in distributions() if one.metadata["Name"])


def hidden_modules(names: frozenset[str]) -> frozenset[str]:
    """The top-level modules that only ``names`` provide; of a namespace that others share none."""
    provided = packages_distributions().items()
    return frozenset(
        module for module, owners in provided if names.issuperset(canonicalize_name(owner) for owner in owners)
    )


def write_hiding(folder: Path) -> Path:
    """A folder which, first in PYTHONPATH, hides from Python what an installation without extras has not."""
    names = installed() - required()
    text = HIDE.format(names=set(names), modules=set(hidden_modules(names)))
    (folder / "sitecustomize.py").write_text(text)
    return folder


def absent(name: str) -> bool:
    """Whether a distribution that is required is not here: then nothing can be said of the installation."""
    try:
        distribution(name)
    except PackageNotFoundError:
        return True
    return False
