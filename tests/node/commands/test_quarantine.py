import json
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest
from structlog.testing import capture_logs

from survnode.node import errors
from survnode.node.commands.quarantine import accept, drop, find_quarantined
from survnode.node.intake.adoption import adopt_files
from survnode.node.intake.assembly import Assembly
from survnode.node.intake.instance import Received
from survnode.node.intake.register import Stored
from survnode.node.intake.store import Store
from survnode.node.state import study_summaries
from survnode.node.state.database import Database
from survnode.node.state.files import is_as_received
from survnode.node.state.image_rows import images_of_study
from survnode.node.state.quarantine_rows import count_undecided, list_quarantined
from survnode.node.state.records import StudyState
from survnode.node.state.summaries import QuarantinedImage, StudyDetail

MakeReceived = Callable[..., Received]

STUDY = "1.2.3"

pytestmark = pytest.mark.usefixtures("three_slices_are_enough")


@pytest.fixture
def times() -> list[float]:
    return [0.0]


@pytest.fixture
def store(tmp_path: Path, database: Database, times: list[float]) -> Store:
    def tick() -> float:
        times.append(times[-1] + 1)
        return times[-1]

    return Store(tmp_path / "store", database, quiet_period_s=0.0, clock=tick)


@pytest.fixture
def assembly(store: Store, database: Database) -> Assembly:
    return Assembly(database, store.folder, "2.25.1", spacing_mm=3.0)


@pytest.fixture
def corrected(store: Store, assembly: Assembly, make_received: MakeReceived) -> Store:
    """A study that was judged, and then came again with another PatientID."""
    send(store, make_received, "P1")
    assert assembly.assemble_due(1e3) == [1]
    send(store, make_received, "P2")
    return store


def send(store: Store, make_received: MakeReceived, patient: str, numbers: tuple[int, ...] = (1, 2, 3)) -> list[Stored]:
    return [store.add(make_received(number, PatientID=patient)) for number in numbers]


def study_of(database: Database) -> StudyDetail:
    return study_summaries.read_study(database, STUDY)


def listed(database: Database) -> tuple[QuarantinedImage, ...]:
    with database.reading() as connection:
        return list_quarantined(connection)


def patients(database: Database, store: Store) -> list[str]:
    """Of the images that stand, each of which is on disk as it was received."""
    with database.reading() as connection:
        images = images_of_study(connection, STUDY)
    assert all(is_as_received(store.folder / it.path, it.sha256) for it in images)
    return [it.patient_id for it in images]


def test_image_that_came_again_with_another_patient_marks_its_study_and_is_warned_of(
    corrected: Store, database: Database, assembly: Assembly, make_received: MakeReceived
) -> None:
    assert study_of(database).state is StudyState.RECEIVING
    assembly.assemble_due(2e3)
    assert study_of(database).state is StudyState.PATIENT_CONFLICT
    with capture_logs() as said:
        assert send(corrected, make_received, "P3", (1,)) == [Stored.QUARANTINED]
    warned = [it for it in said if it["event"] == "instance.quarantined"]
    assert [(it["log_level"], it["study_instance_uid"]) for it in warned] == [("warning", STUDY)]
    assert "P3" not in json.dumps(said)


def test_image_that_came_again_with_other_pixels_marks_no_study_and_waits(
    store: Store, database: Database, assembly: Assembly, make_received: MakeReceived
) -> None:
    send(store, make_received, "P1")
    assembly.assemble_due(1e3)
    assert store.add(make_received(1, PixelData=bytes(32))) is Stored.QUARANTINED
    assert study_of(database).state is StudyState.ASSEMBLED
    assert count_undecided(database) == 1
    (shown,) = study_of(database).quarantined
    assert shown.waits


def test_images_that_are_accepted_stand_and_their_study_is_analysed_as_the_next_version(
    corrected: Store, database: Database, assembly: Assembly
) -> None:
    found = find_quarantined(database, (), STUDY)
    assert accept(database, corrected.folder, found, now=3e3) == 3
    assert patients(database, corrected) == ["P2"] * 3
    assert len(assembly.assemble_due(3e3)) == 1
    study = study_of(database)
    assert (study.state, study.patient_id) == (StudyState.ASSEMBLED, "P2")
    assert [job.version for job in study.jobs] == [1, 2]
    assert count_undecided(database) == 0
    assert [image.waits for image in listed(database)] == [False] * 3
    assert len(list((corrected.folder / "quarantine").iterdir())) == 3


def test_accepting_once_more_undoes_it(corrected: Store, database: Database, assembly: Assembly) -> None:
    for _ in range(2):
        names = [image.sha256[:12] for image in listed(database)]
        accept(database, corrected.folder, find_quarantined(database, names, None), now=3e3)
    assert patients(database, corrected) == ["P1"] * 3
    assembly.assemble_due(3e3)
    assert study_of(database).patient_id == "P1"


def test_study_of_which_a_part_is_accepted_still_names_two_patients(
    corrected: Store, database: Database, assembly: Assembly
) -> None:
    accept(database, corrected.folder, find_quarantined(database, (), STUDY)[:1], now=3e3)
    assembly.assemble_due(3e3)
    assert study_of(database).state is StudyState.PATIENT_CONFLICT


def test_study_is_judged_as_it_was_once_all_that_came_again_is_dropped(
    corrected: Store, database: Database, assembly: Assembly
) -> None:
    found = find_quarantined(database, (), STUDY)
    drop(database, corrected.folder, found[:1], now=2e3)
    assembly.assemble_due(2e3)
    assert study_of(database).state is StudyState.PATIENT_CONFLICT
    drop(database, corrected.folder, found[1:], now=3e3)
    assert assembly.assemble_due(3e3) == []
    assert study_of(database).state is StudyState.ASSEMBLED
    assert (listed(database), list((corrected.folder / "quarantine").iterdir())) == ((), [])


def test_accepting_that_is_cut_short_loses_neither_image(
    corrected: Store, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PowerCutError(Exception):
        pass

    def cut(*_: object) -> None:
        raise PowerCutError

    with monkeypatch.context() as patch:
        patch.setattr("survnode.node.state.quarantine_rows.exchange", cut)
        with pytest.raises(PowerCutError):
            accept(database, corrected.folder, find_quarantined(database, (), STUDY), now=3e3)
    assert patients(database, corrected) == ["P1"] * 3
    adopt_files(corrected, Event())
    assert patients(database, corrected) == ["P1"] * 3
    assert len(find_quarantined(database, (), STUDY)) == 3
    accept(database, corrected.folder, find_quarantined(database, (), STUDY), now=3e3)
    assert patients(database, corrected) == ["P2"] * 3


@pytest.mark.parametrize(
    ("names", "study", "refusal"),
    [
        ((), None, "one of both"),
        (("abcdef",), STUDY, "one of both"),
        (("abc",), None, "too short"),
        (("zzzzzz",), None, "no image"),
        ((), "7.7", "no image"),
    ],
)
def test_what_names_no_image_is_refused(
    database: Database, names: tuple[str, ...], study: str | None, refusal: str
) -> None:
    with pytest.raises((errors.InputRefused, errors.RecordNotFound), match=refusal):
        find_quarantined(database, names, study)
