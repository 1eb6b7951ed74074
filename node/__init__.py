"""The DICOM node: everything that touches network, disk, database and processes.

The folders follow the way of a study: ``intake`` -> ``work`` -> ``results`` -> ``delivery``.
"""
