"""What the node remembers: records, tables, files. The only place with SQL."""
