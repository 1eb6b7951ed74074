"""From DICOM data sets to the slices that the network sees."""
