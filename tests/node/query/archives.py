"""An archive that answers as a test wants: pynetdicom's SCP of Study Root Query/Retrieve over what it holds."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE, evt

from survnode.node.config import RetrieveMethod
from survnode.node.contexts import FIND, GET, MOVE
from survnode.node.delivery.destination import Destination
from survnode.node.query.source import Source


@dataclass
class Archive:
    """``held`` are its images; ``destinations`` are the ports of those that it knows, by AE title."""

    held: list[Dataset]
    destinations: dict[str, int] = field(default_factory=dict)
    counts: bool = True  # whether it tells NumberOfSeriesRelatedInstances
    find_status: int = 0x0000
    on_move: Callable[[], object] = lambda: None
    port: int = 0
    asked: list[str] = field(default_factory=list)

    def source(self, method: RetrieveMethod = RetrieveMethod.MOVE, *, timeout_s: float = 10.0) -> Source:
        return source_at(self.port, method, timeout_s=timeout_s)

    def _find(self, event: Any) -> Iterator[tuple[int, Dataset | None]]:
        keys = event.identifier
        self.asked.append(f"FIND {keys.QueryRetrieveLevel}")
        if self.find_status:
            yield self.find_status, None
            return
        for ds in self._answers(keys):
            yield 0xFF00, ds

    def _answers(self, keys: Dataset) -> Iterator[Dataset]:
        named = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}
        keyword, seen = named[keys.QueryRetrieveLevel], set()
        for ds in self._matching(keys):
            if ds[keyword].value in seen:
                continue
            seen.add(ds[keyword].value)
            answer = Dataset()
            answer.QueryRetrieveLevel = keys.QueryRetrieveLevel
            for element in keys:
                setattr(answer, element.keyword, ds.get(element.keyword, ""))
            if self.counts and "NumberOfSeriesRelatedInstances" in keys:
                same = [it for it in self.held if it.SeriesInstanceUID == ds.SeriesInstanceUID]
                answer.NumberOfSeriesRelatedInstances = len(same)
            yield answer

    def _matching(self, keys: Dataset) -> list[Dataset]:
        wanted = {
            key: keys.get(key)
            for key in ("StudyInstanceUID", "SeriesInstanceUID", "AccessionNumber", "StudyDate")
            if keys.get(key) and key != "StudyDate"
        }
        since = str(keys.get("StudyDate", "")).rstrip("-")
        return [
            ds
            for ds in self.held
            if all(ds.get(key) == value for key, value in wanted.items()) and str(ds.get("StudyDate", "")) >= since
        ]

    def _move(self, event: Any) -> Iterator[Any]:
        self.asked.append("MOVE")
        self.on_move()
        if event.move_destination not in self.destinations:
            yield None, None
            return
        yield "127.0.0.1", self.destinations[event.move_destination]
        yield from self._sent(event)

    def _get(self, event: Any) -> Iterator[Any]:
        self.asked.append("GET")
        yield from self._sent(event)

    def _sent(self, event: Any) -> Iterator[Any]:
        found = self._matching(event.identifier)
        yield len(found)
        for ds in found:
            ds.file_meta = FileMetaDataset()
            ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            yield 0xFF00, ds


def source_at(
    port: int, method: RetrieveMethod = RetrieveMethod.MOVE, *, timeout_s: float = 10.0, title: str = "ARCHIVE"
) -> Source:
    peer = Destination(
        "archive", title, "127.0.0.1", port,
        connection_timeout_s=timeout_s, acse_timeout_s=timeout_s, dimse_timeout_s=timeout_s,
    )  # fmt: skip
    return Source(peer, method)


@contextmanager
def running(archive: Archive, tls: ssl.SSLContext | None = None) -> Iterator[Archive]:
    ae = AE(ae_title="ARCHIVE")
    for uid in (FIND, MOVE, GET):
        ae.add_supported_context(uid)
    ae.add_supported_context(CTImageStorage, ExplicitVRLittleEndian, scu_role=True, scp_role=True)
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    handlers: list[Any] = [
        (evt.EVT_C_FIND, archive._find),
        (evt.EVT_C_MOVE, archive._move),
        (evt.EVT_C_GET, archive._get),
    ]
    server: Any = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers, ssl_context=tls)
    archive.port = server.socket.getsockname()[1]
    try:
        yield archive
    finally:
        server.shutdown()
