"""Where the real material lies; tests that need it are skipped where it is absent.

No test inherits the log of another: see `own_log`.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from xdist.scheduler import LoadScopeScheduling

from survnode.node.logs import Unquoted

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


ACCEPTANCE = "tests/acceptance"
APART = frozenset({f"{ACCEPTANCE}/test_fetch.py", f"{ACCEPTANCE}/test_whole_studies.py"})  # with nodes of their own
LONGEST = (  # a minute and more on a machine that does nothing else; those that compute beside those that wait
    "tests/train/paper/test_sixty_phantoms.py",
    "tests/integration/test_main_job.py",
    "tests/train/paper/test_bench.py",
    ACCEPTANCE,
    "tests/train/runs/test_run.py",
    f"{ACCEPTANCE}/test_fetch.py",
    "tests/train/test_demonstration.py",
    "tests/integration/test_faults.py",
    "tests/node/results/test_judges.py",
    f"{ACCEPTANCE}/test_whole_studies.py",
    "tests/train/runs/test_whatever_trains.py",
    "tests/integration/test_kills.py",
    "tests/node/test_cli.py",
    "tests/integration/test_no_identity.py",
    "tests/node/commands/test_check_and_serve.py",
    "tests/integration/test_sources.py",
    "tests/model/ct/test_lungs.py",
    "tests/integration/test_reissue.py",
    "tests/node/commands/test_exit_codes.py",
    "tests/integration/test_bombs.py",
)


def scope_of(nodeid: str) -> str:
    """What one of the processes of a test run takes as a whole.

    It is a file, whose tests share costly fixtures; or the acceptance tests that share a node and its peers.
    """
    file = nodeid.partition("::")[0]
    return ACCEPTANCE if file.startswith(f"{ACCEPTANCE}/") and file not in APART else file


class Together(LoadScopeScheduling):  # type: ignore[misc]  # xdist tells no types
    """Gives each process a scope after the other."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    return Together(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest, so that no process is left alone with one of them in the end."""
    places = {scope: place for place, scope in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(scope_of(item.nodeid), len(LONGEST)))


@pytest.fixture(scope="session", autouse=True)
def uncached_log() -> Iterator[None]:
    """Let no logger keep the stream of the first command that runs in this process."""
    configure = structlog.configure

    def configure_until_reset(**settings: Any) -> None:
        configure(**(settings | {"cache_logger_on_first_use": False}))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structlog, "configure", configure_until_reset)
        yield


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """Undo what a command configures that a test runs in this process: its log's stream is closed after it."""
    yield
    forget_log()


def forget_log() -> None:
    """Undo what a command configured in this process."""
    structlog.reset_defaults()
    logging.captureWarnings(False)
    for handler in logging.getLogger().handlers.copy():
        if isinstance(handler, Unquoted):
            logging.getLogger().removeHandler(handler)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real CT and outcomes."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the real test material is not at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def lung1_series(shared_data: Path) -> list[Path]:
    """The CT files of LUNG1-001: 134 slices of 512 x 512, 0.977 x 0.977 x 3 mm."""
    series = max(
        (shared_data / "NSCLC-Radiomics" / "LUNG1-001").glob("*/*"), key=lambda path: len(list(path.iterdir()))
    )
    return sorted(series.iterdir())


@pytest.fixture(scope="session")
def thorax64_series(shared_data: Path) -> list[Path]:
    """The CT files of a whole thorax as 79 slices of 64 x 64, 4.17 x 4.17 x 3.99 mm."""
    return sorted((shared_data / "thorax-64" / "dicom").iterdir())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say aloud what was not tested, and why."""
    reasons = Counter(str(report.longrepr[2]) for report in terminalreporter.getreports("skipped"))
    for reason, number in reasons.most_common():
        terminalreporter.write_line(f"NOT TESTED: {number} tests, {reason.removeprefix('Skipped: ')}", yellow=True)
