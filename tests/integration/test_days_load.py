"""A day's studies, one after the other without a pause: each ends, each result arrives once, and no process grows.

Eight studies by default. A day: ``SURVNODE_DAY_STUDIES=500 pytest -s tests/integration/test_days_load.py``; it prints
what each process held at a tenth, at half and at the end.
"""

import json
import os
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from shutil import rmtree
from threading import Thread

import pytest

from survnode.node.state.records import DeliveryState, JobState

from .nodes import Pacs, RunningNode, ended, study_of, until

STUDIES = int(os.environ.get("SURVNODE_DAY_STUDIES", "8"))
SENDERS = 4
PART = 24  # images of a chest, reported as a part of one; every tenth study is a whole chest, and analysed
WHOLE_EVERY = 10
LOOKS = (STUDIES // 10 or 2, STUDIES // 2, STUDIES)
# Python's heap breathes by some MB; an image that stayed would be 0.2 MB, a study 10 MB, a leak of a descriptor one.
MAY_GROW_MB, MAY_GROW = 24, 8

pytestmark = pytest.mark.timeout(600 + 60 * STUDIES)


@dataclass(frozen=True)
class Held:
    """What a process holds."""

    rss_mb: int
    threads: int
    descriptors: int


class CountingPacs(Pacs):
    """A destination that remembers how often it got what."""

    def __init__(self) -> None:
        super().__init__()
        self.copies = Counter[str]()

    def _keep(self, received: object) -> None:
        self.copies[received.sop_instance_uid] += 1  # type: ignore[attr-defined]


def held(pid: int) -> Held:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    open_files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return Held(int(fields["VmRSS"].split()[0]) >> 10, int(fields["Threads"]), open_files)


def all_held(node: RunningNode) -> dict[str, Held]:
    """What each process of a node holds, by its name."""
    assert node.process is not None
    started = [json.loads(line) for line in node.log.read_text().splitlines() if '"child.started"' in line]
    pids = {"service": node.process.pid} | {event["child"]: event["pid"] for event in started}
    return {name: held(pid) for name, pid in pids.items()}


def send_studies(node: RunningNode, folder: Path, images: list[Path], uids: list[str]) -> None:
    for uid in uids:
        whole = int(uid.rpartition(".")[2]) % WHOLE_EVERY == 0
        paths = study_of(images if whole else images[:PART], folder / uid, uid)
        assert set(node.send(paths)) == {0}
        rmtree(folder / uid)


def test_no_process_grows_over_a_day_and_every_result_arrives_once(tmp_path: Path, thorax64_series: list[Path]) -> None:
    pacs = CountingPacs()
    node = RunningNode(tmp_path, {"pacs": pacs.start()})
    uids = [f"1.2.3.8.{number}" for number in range(STUDIES)]
    looks, sent = [], 0
    try:
        node.start()
        for look in LOOKS:
            part = uids[sent:look]
            arguments = [(node, tmp_path, thorax64_series, part[number::SENDERS]) for number in range(SENDERS)]
            senders = [Thread(target=send_studies, args=each) for each in arguments]
            for sender in senders:
                sender.start()
            for sender in senders:
                sender.join()
            studies = [until(f"the end of {uid}", partial(ended, node.status.database, uid), 3600) for uid in part]
            assert {job.state for study in studies for job in study.jobs} == {JobState.FINISHED}
            assert all(len(study.jobs) == 1 for study in studies)
            assert {it.state for study in studies for it in study.deliveries} == {DeliveryState.SENT}
            looks.append(all_held(node))
            sys.stdout.write(
                json.dumps({"studies": look} | {name: asdict(it) for name, it in looks[-1].items()}) + "\n"
            )
            sent = look
        rows = node.status.database
        assert sum(1 for _ in node.data_dir.glob("results/*/report.dcm")) == STUDIES
        sys.stdout.write(json.dumps({"database_mb": round(rows.path.stat().st_size / 1e6, 1)}) + "\n")
    finally:
        node.stop()
        pacs.stop()
    assert set(pacs.copies.values()) == {1}
    assert node.log.read_text().count('"child.started"') == len(looks[0]) - 1  # none died
    for name, last in looks[-1].items():
        first = looks[0][name]
        assert last.rss_mb <= first.rss_mb + MAY_GROW_MB, (name, first, last)
        assert max(last.threads - first.threads, last.descriptors - first.descriptors) <= MAY_GROW, (name, first, last)
