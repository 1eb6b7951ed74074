"""A thorax that needs no patient."""
