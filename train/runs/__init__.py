"""A whole run: folds, results, checkpoints, and their model card."""
