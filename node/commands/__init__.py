"""What a person asks of the node on the command line."""
