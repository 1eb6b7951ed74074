"""Results with one object spoilt, and what the inspection says of them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.config import disable_value_validation

from survnode.node.errors import ObjectFaulty
from survnode.node.results.envelope import ResultObject, SourceStudy
from survnode.node.results.inspection.inspection import inspect

Results = tuple[ResultObject, ...]
Break = Callable[[Dataset], object]

REPORT, CAPTURE, KEYS, CURVE, PDF, SEG = (
    "report.dcm", "captures/01.dcm", "key-objects.dcm", "curve.dcm", "summary.pdf.dcm", "lungs.dcm",
)  # fmt: skip


def broken(whole: Results, file_name: str, spoil: Break) -> Results:
    """``whole`` with one object spoilt."""
    (at,) = [i for i, item in enumerate(whole) if item.file_name == file_name]
    ds = dcmread(BytesIO(whole[at].encode()))
    with disable_value_validation():
        spoil(ds)
    spoilt = replace(whole[at], dataset=ds)
    return (*whole[:at], spoilt, *whole[at + 1 :])


def faults(objects: Results, source: SourceStudy, summary: Mapping[str, Any] | None = None) -> list[str]:
    with pytest.raises(ObjectFaulty) as refusal:
        inspect(objects, source, summary)
    return [str(fault) for fault in refusal.value.faults]


def put(keyword: str, value: object) -> Break:
    return lambda ds: setattr(ds, keyword, value)
