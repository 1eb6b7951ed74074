"""The colours of the pictures: bright on black, as a reading room wants them, and black on white to be printed."""

from dataclasses import dataclass

import numpy as np

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Palette:
    """Colours by what they are for.

    Parameters
    ----------
    plain, dim : words, and those that matter less
    faint, grey : lines and bars
    accent : the patient's own
    warning : what must not be missed
    stops : attention at 0, 1/3, 2/3 and 1 of the highest
    """

    background: Colour
    plain: Colour
    dim: Colour
    faint: Colour
    grey: Colour
    accent: Colour
    warning: Colour
    stops: tuple[Colour, ...]

    def heat(self, share: float) -> Colour:
        """The colour of ``share`` of the highest attention, 0 to 1."""
        at = np.linspace(0, 1, len(self.stops))
        red, green, blue = (round(float(np.interp(share, at, channel))) for channel in zip(*self.stops, strict=True))
        return red, green, blue


SCREEN = Palette(
    background=(0, 0, 0),
    plain=(235, 238, 242),
    dim=(150, 158, 168),
    faint=(52, 58, 66),
    grey=(104, 112, 122),
    accent=(86, 196, 235),
    warning=(255, 190, 70),
    stops=((24, 28, 34), (92, 52, 20), (214, 122, 30), (255, 226, 140)),
)
PRINT = Palette(
    background=(255, 255, 255),
    plain=(0, 0, 0),
    dim=(70, 74, 80),
    faint=(205, 209, 214),
    grey=(150, 156, 164),
    accent=(0, 84, 140),
    warning=(150, 60, 0),
    stops=((238, 240, 243), (250, 208, 140), (214, 110, 20), (90, 30, 0)),
)


def fraction(colour: Colour) -> tuple[float, float, float]:
    """``colour`` with channels from 0 to 1, as matplotlib wants it."""
    red, green, blue = colour
    return red / 255, green / 255, blue / 255
