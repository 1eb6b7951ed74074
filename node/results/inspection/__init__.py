"""The node's own rules for its objects, held against each before it is sent."""
