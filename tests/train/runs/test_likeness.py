"""What a run keeps of its training patients."""

from survnode.model.checkpoint import load_checkpoint, read_card
from survnode.model.likeness import MIN_PATIENTS, Difference
from survnode.model.predict import Predictor
from survnode.train.cohorts.cohort import DicomPatient
from survnode.train.runs.finish import Run
from survnode.train.runs.likeness import likeness_of


def test_training_patients_are_kept_by_features_headers_and_lungs_as_the_node_sees_them(whole: Run) -> None:
    material, patients = whole.material, whole.material.cohort.patients
    known = likeness_of(material, material.recipe, patients * (MIN_PATIENTS // len(patients) + 1))
    assert known is not None
    assert {it.name: it.values for it in known.words} == {
        "contrast agent": ("none named",), "convolution kernel": ("b30f",), "manufacturer": ("phantom",),
    }  # fmt: skip
    numbers = {it.name: (it.low, it.high) for it in known.numbers}
    assert (numbers["slice spacing [mm]"], numbers["pixel spacing [mm]"]) == ((10.0, 10.0), (5.0, 5.0))
    assert numbers["tube voltage [kV]"] == (120.0, 120.0)
    checkpoint = load_checkpoint(whole.plan.folder(whole.folds[0]))
    card = checkpoint.card.model_copy(update={"likeness": known})
    patient = patients[0]
    assert isinstance(patient, DicomPatient)
    assert Predictor(type(checkpoint)(card, checkpoint.members)).predict(patient.volume()).unlike == ()
    narrow = known.model_copy(update={"max_features": 0.0})
    card = card.model_copy(update={"likeness": narrow})
    (found,) = Predictor(type(checkpoint)(card, checkpoint.members)).predict(patient.volume()).unlike
    assert found.difference is Difference.IMAGES


def test_run_of_fewer_patients_than_a_percentile_needs_keeps_nothing(whole: Run) -> None:
    assert read_card(whole.plan.out).likeness is None
    assert read_card(whole.plan.folder(whole.folds[0])).likeness is None
