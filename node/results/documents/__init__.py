"""Results to be read: the report and its relatives."""
