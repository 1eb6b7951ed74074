"""Results to be looked at."""
