"""A result as plain values for ``prediction.json``: the same rounded numbers as in the report, and no identity."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from survnode.model.ct.volume import SourceImage
from survnode.model.errors import Reason
from survnode.model.prediction import Prediction
from survnode.node.results.envelope import ResultObject
from survnode.node.results.findings import findings_of
from survnode.node.results.identity import ResultRun
from survnode.node.roles import ResultRole

FORMAT_VERSION = 1


def analysed_summary(
    prediction: Prediction, images: Sequence[SourceImage], objects: Sequence[ResultObject], run: ResultRun
) -> dict[str, Any]:
    """What ``prediction.json`` says of an analysis; ``images`` as in ``Volume.images``."""
    captures = sum(item.role is ResultRole.CAPTURE for item in objects)
    findings = findings_of(prediction, len(images), captures)
    model = asdict(prediction.model)
    model.pop("cohort_survival")
    return {
        **_head("analysed", objects, run),
        "model": model,
        "months": findings.months.tolist(),
        "survival_percent": findings.survival.tolist(),
        "cumulative_incidence_percent": findings.incidence.tolist(),
        "member_survival_percent": findings.member_survival.tolist(),
        "survival_at_horizon_percent": findings.survival_at(findings.horizon),
        "median_survival_months": findings.median_months,
        "ranked_slices": [
            {"rank": item.rank, "weight_percent": item.weight, **_image(item.image)} for item in findings.slices
        ],
        "attention": [
            {"weight_percent": float(weight), **_image(image)}
            for image, weight in zip(images, findings.attention, strict=True)
        ],
    }


def not_analysed_summary(
    reason: Reason, detail: str, objects: Sequence[ResultObject], run: ResultRun
) -> dict[str, Any]:
    """What ``prediction.json`` says where there is no prediction."""
    return {
        **_head("not analysed", objects, run),
        "reason": str(reason.value),
        "sentence": reason.sentence,
        "detail": detail,
    }


def _head(status: str, objects: Sequence[ResultObject], run: ResultRun) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "research_use_only": True,
        "status": status,
        "created": run.created.isoformat(),
        "version": run.version,
        "software_version": run.software_version,
        "study_instance_uid": str(objects[0].dataset.StudyInstanceUID),
        "objects": [
            {
                "role": str(item.role.value),
                "file": item.file_name,
                "sop_class_uid": item.sop_class_uid,
                "sop_instance_uid": item.sop_instance_uid,
                "series_instance_uid": item.series_instance_uid,
            }
            for item in objects
        ],
    }


def _image(image: SourceImage) -> dict[str, Any]:
    return {
        "sop_instance_uid": image.sop_instance_uid,
        "frame_number": image.frame_number,
        "instance_number": image.instance_number,
    }
