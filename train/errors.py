"""What can keep a model from being trained or measured.

::

    TrainError
    ├── CohortError         a cohort cannot be read: see `survnode.train.cohorts.errors`
    ├── RunDiffers          the output folder holds a run with other settings, another cohort or other folds
    ├── RecipeRefused       a setting that is not known, or not possible
    ├── InitialModelRefused the checkpoint to start from does not fit the network that is to be trained
    ├── OverlapRefused      a cohort shares patients with what a model has seen
    ├── NothingToMeasure    no patient is left whose outcome and CT could be used
    ├── SystemRefused       a disk is full, a file or folder may not be read or written
    └── WorkerLost          a process was killed from outside
"""

import signal


class TrainError(Exception):
    """The root of everything that training and measuring refuse."""


class RunDiffers(TrainError):
    """The output folder holds another run: name an empty folder, or start with the settings that it was begun with."""


class RecipeRefused(TrainError):
    """A preset or setting does not exist, or its value is not possible."""


class InitialModelRefused(TrainError):
    """The checkpoint to start from does not fit the network that is to be trained."""


class OverlapRefused(TrainError):
    """A cohort that is to be measured shares patients or CT with what the model has seen."""


class NothingToMeasure(TrainError):
    """No patient is left."""


class SystemRefused(TrainError):
    """A disk is full, or a file or folder may not be read or written; what was finished is kept."""


class WorkerLost(TrainError):
    """A process was killed from outside, most often because memory ran out; what was finished is kept."""

    def __init__(self, exit_code: int | None) -> None:
        self.exit_code = exit_code
        how = f"by {signal.Signals(-exit_code).name}" if exit_code is not None and exit_code < 0 else "from outside"
        super().__init__(
            f"A worker process was ended {how}; the usual cause is memory that ran out. What is finished is kept: the"
            " same command goes on where it was. Fewer --workers need less memory."
        )
