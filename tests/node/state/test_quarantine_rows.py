from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import insert, update

from survnode.node.state import quarantine_rows
from survnode.node.state.database import Database, row_of
from survnode.node.state.image_rows import images_of_study
from survnode.node.state.records import Instance, InstanceState, Quarantined, Study, StudyState
from survnode.node.state.study_rows import find_study
from survnode.node.state.tables import instances, quarantined, studies

STUDY = "1.2.3"
STANDS = Instance("1.2.3.1", "1", STUDY, "1.2.3.9", "1", "P1", "CT1", "aa", 1, "studies/a.dcm", 10.0)
LATER = Quarantined("1.2.3.1", STUDY, "CT2", "bb", "quarantine/b.dcm", 20.0)
EARLIER = Quarantined("1.2.3.1", STUDY, "CT1", "cc", "quarantine/c.dcm", 5.0)  # stood once, and was replaced
UNREADABLE = Quarantined("", "", "CT2", "dd", "quarantine/d.dcm", 30.0)


@pytest.fixture
def quarantine(database: Database, add_job: Callable[..., int]) -> Database:
    """An image that stands, and one each that came later, earlier, and unreadable."""
    add_job()  # and its study
    with database.transaction() as connection:
        connection.execute(insert(instances).values(row_of(STANDS)))
        for image in (LATER, EARLIER, UNREADABLE):
            connection.execute(insert(quarantined).values(row_of(image)))
    return database


def test_what_waits_for_a_person_came_later_or_names_nothing(quarantine: Database) -> None:
    with quarantine.reading() as connection:
        listed = quarantine_rows.list_quarantined(connection)
        of_study = quarantine_rows.list_quarantined(connection, STUDY)
    assert [(image.sha256, image.waits) for image in listed] == [("dd", True), ("bb", True), ("cc", False)]
    assert [image.sha256 for image in of_study] == ["bb", "cc"]
    assert quarantine_rows.count_undecided(quarantine) == 2


def test_two_images_change_places(quarantine: Database) -> None:
    new = replace(STANDS, sha256="bb", patient_id="P2", received_at=20.0, path="studies/b.dcm")
    with quarantine.transaction() as connection:
        quarantine_rows.exchange(connection, STANDS, new, "quarantine/a.dcm")
        assert images_of_study(connection, STUDY) == [new]
        of_study = quarantine_rows.list_quarantined(connection, STUDY)
        assert {(image.sha256, image.path) for image in of_study} == {
            ("aa", "quarantine/a.dcm"),
            ("cc", "quarantine/c.dcm"),
        }
        assert not quarantine_rows.has_undecided(connection, STUDY)
        assert quarantine_rows.patients_of(connection, STUDY) == ["P2"]


def test_an_image_whose_file_was_deleted_leaves_nothing_in_quarantine(quarantine: Database) -> None:
    gone = replace(STANDS, state=InstanceState.DELETED)
    with quarantine.transaction() as connection:
        quarantine_rows.exchange(connection, gone, replace(STANDS, sha256="bb"), "")
        assert [image.sha256 for image in quarantine_rows.list_quarantined(connection, STUDY)] == ["cc"]


@pytest.mark.parametrize(
    ("undecided", "patients", "patient_id", "conflict"),
    [(True, ["P2"], "P2", True), (False, ["P2"], "P2", False), (False, ["P1", "P2"], "P1", True)],
)
def test_a_study_is_of_several_patients_while_its_images_say_so_or_may_yet(
    quarantine: Database, undecided: bool, patients: list[str], patient_id: str, conflict: bool
) -> None:
    with quarantine.transaction() as connection:
        marked = {"patient_conflict": True, "state": StudyState.PATIENT_CONFLICT, "error": "names several patients"}
        connection.execute(update(studies).values(marked))
        if not undecided:
            quarantine_rows.remove(connection, LATER.sop_instance_uid, LATER.sha256)
        quarantine_rows.reopen_study(connection, STUDY, patients, now=99.0)
        study = find_study(connection, STUDY)
    assert study is not None
    assert (study.patient_id, study.patient_conflict) == (patient_id, conflict)
    assert (study.state, study.due_at, study.error) == (StudyState.RECEIVING, 99.0, "")


def test_a_study_that_is_gone_is_not_reopened(database: Database) -> None:
    with database.transaction() as connection:
        quarantine_rows.reopen_study(connection, "1.2.99", ["P1"], now=1.0)
        absent: Study | None = find_study(connection, "1.2.99")
    assert absent is None
