"""Made-up predictions for the tables and figures of the paper's experiments."""

import numpy as np

from survnode.train.cohorts.cohort import Cohort, DicomPatient
from survnode.train.cohorts.exclusions import Exclusion, ExclusionReason
from survnode.train.paper.results import Result
from survnode.train.paper.tables import Findings

BINS = 24
REFERENCE = "efficientnet_b0-attention"
MISSING = "The weights <vit> were not found; looked at /cache/vit.pth."


def made_up_result(*, skill: float, seed: int = 0, count: int = 60, folds: int = 5) -> Result:
    """Patients with one hidden risk, of whom a system with ``skill`` 1 knows everything and with 0 nothing."""
    truth = np.random.default_rng(7)
    risk = truth.normal(0, 1, count)
    death = truth.exponential(25 / np.exp(1.3 * risk))
    left = truth.uniform(10, 60, count)
    slices = truth.integers(20, 50, count)
    rng = np.random.default_rng(seed)
    seen = skill * risk + (1 - skill) * rng.normal(0, 1, count)
    hazard = 0.03 * np.exp(seen)
    cif = 1 - np.exp(-hazard[:, None] * np.arange(1, BINS + 1))
    return Result(
        tuple(f"LUNG1-{number:03}" for number in range(1, count + 1)),
        np.arange(count, dtype=np.int64) % folds,
        np.minimum(death, left),
        death <= left,
        cif,
        tuple(basal_attention(int(number), rng) for number in slices),
    )


def basal_attention(slices: int, rng: np.random.Generator) -> np.ndarray:
    """Attention (S,) that falls from base to apex."""
    weight = np.exp(-3 * np.linspace(0, 1, slices) + rng.normal(0, 0.2, slices))
    return np.asarray(weight / weight.sum())


def made_up_cohort(result: Result, name: str = "lung1") -> Cohort:
    patients = tuple(
        DicomPatient(patient, float(time), bool(event), bool(event and time < BINS), "1.2", (), "key")
        for patient, time, event in zip(result.patients, result.time_months, result.event, strict=True)
    )
    return Cohort(name, patients, (Exclusion("LUNG1-998", ExclusionReason.NO_CT),))


def made_up_findings(**skills: float) -> Findings:
    results = {name: made_up_result(skill=skill, seed=seed) for seed, (name, skill) in enumerate(skills.items())}
    return Findings(results, {"vit_b_16-attention": MISSING})


def fusions() -> Findings:
    return made_up_findings(**{REFERENCE: 0.9, "efficientnet_b0-mean": 0.0})
