"""The colours of the pictures: bright on black, as a reading room wants them."""

import numpy as np

Colour = tuple[int, int, int]

BLACK: Colour = (0, 0, 0)
PLAIN: Colour = (235, 238, 242)
DIM: Colour = (150, 158, 168)
FAINT: Colour = (52, 58, 66)
GREY: Colour = (104, 112, 122)
CYAN: Colour = (86, 196, 235)
AMBER: Colour = (255, 190, 70)

_STOPS = ((24, 28, 34), (92, 52, 20), (214, 122, 30), (255, 226, 140))  # dark to bright, at 0, 1/3, 2/3, 1


def heat(share: float) -> Colour:
    """The colour of ``share`` of the highest attention, 0 to 1."""
    at = np.linspace(0, 1, len(_STOPS))
    red, green, blue = (round(float(np.interp(share, at, channel))) for channel in zip(*_STOPS, strict=True))
    return red, green, blue


def fraction(colour: Colour) -> tuple[float, float, float]:
    """``colour`` with channels from 0 to 1, as matplotlib wants it."""
    red, green, blue = colour
    return red / 255, green / 255, blue / 255
