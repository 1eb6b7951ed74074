from dataclasses import replace

from sqlalchemy import insert, select

from survnode.node.state import image_rows
from survnode.node.state.database import Database, fetch, row_of
from survnode.node.state.records import Instance, InstanceState, Quarantined, Study, StudyState
from survnode.node.state.tables import instances, quarantined, studies

STUDY = Study("1.1", "P1", False, 1.0, 2.0, None, 1, StudyState.ASSEMBLED)
FIRST = Instance("1.1.1.1", "ct", "1.1", "1.1.1", "le", "P1", "SENDER", "0" * 64, 10, "studies/1", 1.0)
SECOND = replace(FIRST, sop_instance_uid="1.1.1.2", path="studies/2", state=InstanceState.DELETED)
OTHERS = replace(FIRST, sop_instance_uid="1.2.1.1", path="studies/3", study_instance_uid="1.2")


def put_images(database: Database) -> None:
    with database.transaction() as connection:
        rows = [row_of(STUDY), row_of(replace(STUDY, study_instance_uid="1.2"))]
        connection.execute(insert(studies), rows)
        connection.execute(insert(instances), [row_of(image) for image in (FIRST, SECOND, OTHERS)])


def test_the_images_of_a_study_are_its_own_wherever_their_files_stand(database: Database) -> None:
    put_images(database)
    with database.reading() as connection:
        assert image_rows.images_of_study(connection, "1.1") == [FIRST, SECOND]


def test_an_image_whose_file_is_gone_anyway_is_not_marked_unreadable(database: Database) -> None:
    put_images(database)
    with database.transaction() as connection:
        image_rows.mark_unreadable(connection, ["1.1.1.1", "1.1.1.2"])
        marked = {image.path: image.state for image in image_rows.images_of_study(connection, "1.1")}
    assert marked == {"studies/1": InstanceState.UNREADABLE, "studies/2": InstanceState.DELETED}


def test_forgetting_the_images_of_a_study_spares_other_studies(database: Database) -> None:
    put_images(database)
    with database.transaction() as connection:
        image_rows.forget_images(connection, "1.1")
        assert image_rows.images_of_study(connection, "1.1") == []
        assert image_rows.images_of_study(connection, "1.2") == [OTHERS]


def test_the_same_bytes_are_quarantined_once(database: Database) -> None:
    record = Quarantined("1.1.1.1", "1.1", "SENDER", "0" * 64, "quarantine/1", 1.0)
    with database.transaction() as connection:
        image_rows.record_quarantined(connection, record)
        image_rows.record_quarantined(connection, replace(record, received_at=9.0))
        assert fetch(connection, Quarantined, select(quarantined)) == [record]
