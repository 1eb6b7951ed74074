"""What keeps the node running: its processes, its clock, its beginning and end."""
