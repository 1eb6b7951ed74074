import os
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import select

from survnode.node import errors
from survnode.node.intake.assembly import Assembly
from survnode.node.intake.evidence import Evidence, FileJudge
from survnode.node.intake.instance import Received
from survnode.node.intake.judging_process import JudgingLimits, JudgingProcess
from survnode.node.intake.rules import Routes
from survnode.node.intake.store import Store
from survnode.node.state import study_summaries
from survnode.node.state.database import Database, fetch
from survnode.node.state.records import Instance, InstanceState, Study, StudyState
from survnode.node.state.rejudging import judge_again
from survnode.node.state.tables import instances, studies

MakeReceived = Callable[..., Received]
MakeJudging = Callable[..., JudgingProcess]

HARMLESS, HARMFUL = "1.2.3", "1.2.66"
LITTLE = JudgingLimits(memory_bytes=256 << 20)
HASTY = JudgingLimits(seconds=1.0, seconds_an_image=0.0)


@pytest.fixture
def store(tmp_path: Path, database: Database, make_received: MakeReceived) -> Store:
    """Two studies of one image each; the second is due first."""
    store = Store(tmp_path / "store", database, quiet_period_s=0.0, clock=lambda: 0.0)
    for study in (HARMFUL, HARMLESS):
        store.add(make_received(study=study, series=f"{study}.1"))
    return store


@pytest.fixture
def make_judging(store: Store) -> Iterator[MakeJudging]:
    begun: list[JudgingProcess] = []

    def make(limits: JudgingLimits | None = None) -> JudgingProcess:
        begun.append(JudgingProcess(FileJudge(store.folder, Routes(), 3.0), "info", limits))
        return begun[-1]

    yield make
    for judging in begun:
        judging.close()


def file_of(database: Database, store: Store, study: str) -> Path:
    with database.reading() as connection:
        rows = fetch(connection, Instance, select(instances).where(instances.c.study_instance_uid == study))
    return store.folder / rows[0].path


def grow(file: Path) -> None:
    """Put an element of 1 GiB of zeros, which take no room on disk, in the place of the pixels."""
    content = file.read_bytes()
    start = content[: content.index(struct.pack("<HH", 0x7FE0, 0x0010))]
    with file.open("wb") as stream:
        stream.write(start + struct.pack("<HH2sHL", 0x6FF1, 0x1010, b"OB", 0, 1 << 30))
        stream.truncate(stream.tell() + (1 << 30))


def never_end(file: Path) -> None:
    """Put a pipe, whose reader waits for a writer, in the place of the file."""
    file.unlink()
    os.mkfifo(file)


def assembly_of(database: Database, store: Store, judging: JudgingProcess) -> Assembly:
    return Assembly(database, store.folder, "2.25.1", 3.0, judge=judging)


def evidence_of(database: Database, uid: str) -> Evidence:
    with database.reading() as connection:
        study = fetch(connection, Study, select(studies).where(studies.c.study_instance_uid == uid))[0]
        found = fetch(connection, Instance, select(instances).where(instances.c.study_instance_uid == uid))
    return Evidence(study, found, ())


def test_verdict_of_the_process_is_that_of_the_files(
    database: Database, store: Store, make_judging: MakeJudging
) -> None:
    evidence = evidence_of(database, HARMLESS)
    here = FileJudge(store.folder, Routes(), 3.0).judge(evidence)
    assert make_judging().judge(evidence) == here
    assert here.sop_instance_uids == (f"{HARMLESS}.1.1",)


@pytest.mark.parametrize(
    ("spoil", "limits", "told"),
    [(grow, LITTLE, "more than 256 MiB of memory"), (never_end, HASTY, "more than 1 s")],
)
def test_study_that_twice_ends_its_judging_is_set_aside_and_the_others_are_judged(
    database: Database,
    store: Store,
    make_judging: MakeJudging,
    spoil: Callable[[Path], None],
    limits: JudgingLimits,
    told: str,
) -> None:
    spoil(file_of(database, store, HARMFUL))
    assembly = assembly_of(database, store, make_judging(limits))
    assert len(assembly.assemble_due(1.0)) == 1
    assert study_summaries.read_study(database, HARMLESS).state is StudyState.ASSEMBLED
    assert study_summaries.read_study(database, HARMFUL).state is StudyState.RECEIVING
    assert assembly.assemble_due(2.0) == []
    study = study_summaries.read_study(database, HARMFUL)
    assert study.state is StudyState.UNASSEMBLED
    assert told in study.error
    assert assembly.assemble_due(3.0) == []


def test_study_that_was_set_aside_is_judged_when_it_is_taken_up_again(
    database: Database, store: Store, make_judging: MakeJudging
) -> None:
    file = file_of(database, store, HARMFUL)
    whole = file.read_bytes()
    grow(file)
    assembly = assembly_of(database, store, make_judging(LITTLE))
    assembly.assemble_due(1.0)
    assembly.assemble_due(2.0)
    file.write_bytes(whole)
    assert judge_again(database, HARMFUL, now=3.0)
    assert len(assembly.assemble_due(3.0)) == 1


def test_one_death_is_not_held_against_a_study(database: Database, store: Store, make_judging: MakeJudging) -> None:
    file = file_of(database, store, HARMFUL)
    whole = file.read_bytes()
    grow(file)
    assembly = assembly_of(database, store, make_judging(LITTLE))
    assembly.assemble_due(1.0)
    file.write_bytes(whole)
    assert len(assembly.assemble_due(2.0)) == 1
    assert study_summaries.read_study(database, HARMFUL).state is StudyState.ASSEMBLED


def test_what_nobody_expected_sets_a_study_aside_without_its_words(database: Database, store: Store) -> None:
    judging = JudgingProcess(FileJudge(cast("Path", None), Routes(), 3.0))
    try:
        assembly_of(database, store, judging).assemble_due(1.0)
    finally:
        judging.close()
    assert study_summaries.read_study(database, HARMFUL).error == "Judging it failed: TypeError."


def test_unreadable_file_is_told_of_its_instance(database: Database, store: Store, make_judging: MakeJudging) -> None:
    file_of(database, store, HARMFUL).write_bytes(b"no data set")
    assembly_of(database, store, make_judging()).assemble_due(1.0)
    assert evidence_of(database, HARMFUL).instances[0].state is InstanceState.UNREADABLE


def test_node_that_stops_waits_for_no_study_and_holds_it_against_none(
    database: Database, store: Store, make_judging: MakeJudging
) -> None:
    never_end(file_of(database, store, HARMFUL))
    judging = make_judging()
    judging.judge(evidence_of(database, HARMLESS))
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(judging.judge, evidence_of(database, HARMFUL))
        judging.close()
        with pytest.raises(errors.StartRefused, match="stopping"):
            hanging.result(30.0)
