from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
from pydicom import Dataset

from survnode.node.config import RetrieveMethod
from survnode.node.contexts import accepted_contexts
from survnode.node.errors import QueryFailed, SourceRefused, SourceUnreachable, TooManyMatches
from survnode.node.intake.instance import Received
from survnode.node.intake.receiver import Listening, Receiver
from survnode.node.query.source import FoundStudy, Retrieved, find_ct_series, find_studies, retrieve_series
from survnode.node.state.records import ExpectedSeries
from survnode.node.tls import ClientTLS, ServerTLS, server_context

from ...integration.certificates import Authority
from ...integration.nodes import free_port
from .archives import Archive, running, source_at

MakeCT = Callable[..., Dataset]


@pytest.fixture
def archive(make_ct: MakeCT) -> Iterator[Archive]:
    first = [make_ct(number, StudyDate="20240102", AccessionNumber="A1") for number in (1, 2, 3)]
    screenshot = make_ct(1, series="1.2.3.2", Modality="OT", StudyDate="20240102", AccessionNumber="A1")
    other = make_ct(1, study="4.5.6", series="4.5.6.1", StudyDate="20250101", AccessionNumber="A2")
    with running(Archive([*first, screenshot, other])) as archive:
        yield archive


def test_the_ct_series_of_a_study_and_their_numbers_are_found(archive: Archive) -> None:
    assert find_ct_series(archive.source(), "1.2.3") == (ExpectedSeries("1.2.3.1", 3),)
    assert archive.asked == ["FIND SERIES"]


def test_where_no_number_is_told_the_images_are_counted(archive: Archive) -> None:
    archive.counts = False
    assert find_ct_series(archive.source(), "1.2.3") == (ExpectedSeries("1.2.3.1", 3),)
    assert archive.asked == ["FIND SERIES", "FIND IMAGE"]


def test_a_study_that_it_does_not_hold_has_no_series(archive: Archive) -> None:
    assert find_ct_series(archive.source(), "9.9") == ()


def test_studies_are_found_by_uid_accession_number_and_date(archive: Archive) -> None:
    first, other = FoundStudy("1.2.3", "20240102", "A1"), FoundStudy("4.5.6", "20250101", "A2")
    assert find_studies(archive.source(), {"StudyInstanceUID": "1.2.3"}) == [first]
    assert find_studies(archive.source(), {"AccessionNumber": "A2"}) == [other]
    assert find_studies(archive.source(), {"StudyDate": "20240101-"}) == [first, other]
    assert find_studies(archive.source(), {"StudyDate": "20240601-"}) == [other]


def test_more_studies_than_can_be_taken_are_refused(archive: Archive) -> None:
    with pytest.raises(TooManyMatches, match="archive holds more than 1 "):
        find_studies(archive.source(), {"StudyDate": "19000101-"}, limit=1)


def test_a_status_that_says_no_is_told(archive: Archive) -> None:
    archive.find_status = 0xA700
    with pytest.raises(SourceRefused, match="archive answered C-FIND with status 0xA700"):
        find_ct_series(archive.source(), "1.2.3")


def test_nobody_there_is_unreachable() -> None:
    with pytest.raises(SourceUnreachable, match="cannot be reached"):
        find_ct_series(source_at(free_port()), "1.2.3")


def test_a_series_comes_by_c_move_to_the_receiver(archive: Archive) -> None:
    got: list[Received] = []
    receiver = Receiver(Listening("SURVNODE"), accepted_contexts(), got.append)
    receiver.start()
    archive.destinations["SURVNODE"] = receiver.port
    try:
        assert retrieve_series(archive.source(), "1.2.3", "1.2.3.1", got.append) == Retrieved(3, 0)
    finally:
        receiver.stop()
    assert sorted(it.sop_instance_uid for it in got) == ["1.2.3.1.1", "1.2.3.1.2", "1.2.3.1.3"]


def test_an_archive_that_does_not_know_the_node_says_so(archive: Archive) -> None:
    with pytest.raises(SourceRefused, match="archive does not know SURVNODE") as refused:
        retrieve_series(archive.source(), "1.2.3", "1.2.3.1", lambda _: None)
    assert refused.value.status == 0xA801


def test_a_series_comes_by_c_get_and_each_image_is_kept_before_it_is_acknowledged(archive: Archive) -> None:
    got: list[Received] = []
    assert retrieve_series(archive.source(RetrieveMethod.GET), "1.2.3", "1.2.3.1", got.append) == Retrieved(3, 0)
    assert sorted(it.sop_instance_uid for it in got) == ["1.2.3.1.1", "1.2.3.1.2", "1.2.3.1.3"]
    assert {it.calling_ae_title for it in got} == {"ARCHIVE"}


def test_an_image_that_is_not_kept_is_not_counted(archive: Archive) -> None:
    def keep(received: Received) -> None:
        if received.sop_instance_uid.endswith(".2"):
            raise ZeroDivisionError

    assert retrieve_series(archive.source(RetrieveMethod.GET), "1.2.3", "1.2.3.1", keep) == Retrieved(2, 1)


def test_no_answer_in_time_is_told(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("survnode.node.query.source.SILENCE_S", 0.1)
    over = Event()
    archive.on_move = lambda: over.wait(20)
    with pytest.raises(QueryFailed, match="did not answer C-MOVE in time"):
        retrieve_series(archive.source(timeout_s=0.3), "1.2.3", "1.2.3.1", lambda _: None)
    over.set()


def test_an_archive_is_asked_over_tls_and_a_stranger_is_not(make_ct: MakeCT, tmp_path: Path) -> None:
    authority, stranger = Authority.found(tmp_path), Authority.found(tmp_path, "stranger")
    its, ours = authority.sign("archive"), authority.sign("node")
    tls = server_context(ServerTLS(its.certificate, its.key, authority.certificate))
    with running(Archive([make_ct(1)]), tls) as archive:
        plain = archive.source()
        client = ClientTLS(authority.certificate, None, ours.certificate, ours.key)
        secured = replace(plain, peer=replace(plain.peer, tls=client))
        assert find_ct_series(secured, "1.2.3") == (ExpectedSeries("1.2.3.1", 1),)
        wrong = replace(plain.peer, tls=replace(client, ca=stranger.certificate))
        with pytest.raises(SourceUnreachable, match="TLS handshake failed"):
            find_ct_series(replace(plain, peer=wrong), "1.2.3")
