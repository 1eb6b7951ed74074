"""What the results take over from the source's headers."""
