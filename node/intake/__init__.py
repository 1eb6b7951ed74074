"""A study comes in."""
