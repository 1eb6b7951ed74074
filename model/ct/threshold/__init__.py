"""Lungs by threshold and shape: air inside the body, less the airways, parted into right and left, closed.

All shapes are found on a grid of about 2 mm pixels and 3 mm slices; the full grid only decides the edge.

The numbers of these modules were chosen from anatomy and tried on what there is: LUNG1-001 against its contours, one
coarse CT of a thorax against its mask, and phantoms (tests/model/ct/test_lungs.py asks for a Dice of 0.95 on each).
None of them was fitted to a cohort. Where a line says no more, its number is a choice.
"""
