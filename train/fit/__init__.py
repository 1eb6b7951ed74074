"""Caches, loss and the training loop."""
