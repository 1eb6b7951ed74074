"""A result as plain values for ``prediction.json``: the same rounded numbers as in the report, and no identity."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from survnode.model.covariates import CovariateValue
from survnode.model.ct.arrangement import SourceImage
from survnode.model.ct.volume import Volume
from survnode.model.errors import Reason
from survnode.model.likeness import Unlikeness
from survnode.model.prediction import Prediction
from survnode.node.results import words
from survnode.node.results.envelope import ResultObject, SourceStudy
from survnode.node.results.findings import findings_of
from survnode.node.results.identity import ResultRun
from survnode.node.results.source.series import AnalysedSeries, analysed_series
from survnode.node.roles import ResultRole

FORMAT_VERSION = 1


def analysed_summary(
    prediction: Prediction, volume: Volume, source: SourceStudy, objects: Sequence[ResultObject], run: ResultRun
) -> dict[str, Any]:
    """What ``prediction.json`` says of an analysis of ``volume``, which was made of ``source``."""
    captures = sum(item.role is ResultRole.CAPTURE for item in objects)
    series = analysed_series(source.headers, volume, prediction.coverage, run.completeness)
    findings = findings_of(prediction, series, captures)
    model = asdict(prediction.model)
    for name in ("cohort_survival", "lower_bound"):
        model.pop(name)
    bound = prediction.model.lower_bound
    return {
        **_head("analysed", objects, run),
        **_completeness(run),
        "model": model,
        "in_words": {
            "survival": words.estimate(findings),
            "series": f"{findings.series.label}: {findings.series.amount}",
        },
        "series": _series(findings.series),
        **({"unlike_training": [_unlike(it) for it in findings.unlike]} if findings.unlike else {}),
        **({"beside": [_known(value) for value in findings.known]} if findings.known else {}),
        "months": findings.months.tolist(),
        "survival_percent": findings.survival.tolist(),
        "cumulative_incidence_percent": findings.incidence.tolist(),
        "member_survival_percent": findings.member_survival.tolist(),
        "survival_at_horizon_percent": findings.survival_at(findings.horizon),
        "models_disagree": findings.models_disagree,
        "median_survival_months": findings.median_months,
        **({} if bound is None else {"lower_bound": {"months": findings.least_months, **bound.model_dump()}}),
        "ranked_slices": [
            {
                "rank": item.rank,
                "weight_percent": item.weight,
                **_image(item.image),
                "position_mm": item.position_mm,
            }
            for item in findings.slices
        ],
        "attention": [
            {"weight_percent": float(weight), **_image(image)}
            for image, weight in zip(volume.images, findings.attention, strict=True)
        ],
    }


def _unlike(unlikeness: Unlikeness) -> dict[str, Any]:
    return {"code": str(unlikeness.difference.value), "sentence": unlikeness.sentence}


def _known(value: CovariateValue) -> dict[str, Any]:
    return {
        "name": value.covariate.name,
        "unit": value.covariate.unit,
        "value": value.value,
        "source": value.source,
        "outside_training": value.outside,
        "in_words": value.sentence,
    }


def _series(series: AnalysedSeries) -> dict[str, Any]:
    coverage = series.coverage
    return {
        "series_instance_uid": series.uid,
        "number": series.number,
        "description": series.description,
        "date": series.date.isoformat() if series.date else None,
        "slices": len(series.positions_mm),
        "extent_mm": round(series.extent_mm, 1),
        "lungs": {
            "volume_ml": round(coverage.volume_ml),
            "height_mm": round(coverage.height_mm),
            "share_of_widest_section_in_lowest_slice": round(coverage.lower_edge, 3),
            "share_of_widest_section_in_highest_slice": round(coverage.upper_edge, 3),
            "warnings": [{"code": str(item.value), "sentence": item.sentence} for item in coverage.warnings],
        },
    }


def not_analysed_summary(
    reason: Reason, detail: str, objects: Sequence[ResultObject], run: ResultRun
) -> dict[str, Any]:
    """What ``prediction.json`` says where there is no prediction."""
    return {
        **_head("not analysed", objects, run),
        **_completeness(run),
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


def _completeness(run: ResultRun) -> dict[str, Any]:
    """Whether the images came whole; nothing where no source was to be asked."""
    completeness = run.completeness
    if completeness is None:
        return {}
    return {"completeness": {**asdict(completeness), "state": str(completeness.state.value)}}


def _image(image: SourceImage) -> dict[str, Any]:
    return {
        "sop_instance_uid": image.sop_instance_uid,
        "frame_number": image.frame_number,
        "instance_number": image.instance_number,
    }
