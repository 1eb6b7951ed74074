"""What a PACS is asked: whether a study came whole, and for the images of one that are to come."""
