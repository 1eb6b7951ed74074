"""From a cohort to a checkpoint; imports ``survnode.model``, never ``survnode.node``."""
