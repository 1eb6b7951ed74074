"""What was found, as DICOM."""
