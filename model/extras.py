"""Optional parts of the installation: what is missing is said in one sentence, before any work is begun."""

import re
import sys
from importlib.metadata import PackageNotFoundError, distribution, requires

from survnode.model.errors import ExtraMissing

_REQUIREMENT = re.compile(r"""(?P<name>[\w.-]+).*;.*\bextra\s*==\s*["'](?P<extra>[\w-]+)["']""")


def require_extra(extra: str, needed_by: str) -> None:
    """Make sure that everything an extra of ``pyproject.toml`` names is installed.

    Parameters
    ----------
    needed_by : the subject of the sentence, such as a command

    Raises
    ------
    ExtraMissing
    """
    missing = [name for name in packages_of(extra) if not _installed(name)]
    if missing:
        raise ExtraMissing(extra, needed_by, missing, sys.executable)


def packages_of(extra: str) -> list[str]:
    """The names of the distributions that an extra brings."""
    found = (_REQUIREMENT.match(requirement) for requirement in requires("survnode") or ())
    return [match["name"] for match in found if match and match["extra"] == extra]


def _installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
