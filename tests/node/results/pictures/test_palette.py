from itertools import pairwise

import pytest

from survnode.node.results.pictures.palette import PRINT, SCREEN, Palette


@pytest.mark.parametrize("palette", [SCREEN, PRINT])
def test_attention_runs_through_the_stops_without_a_step(palette: Palette) -> None:
    assert [palette.heat(share) for share in (0.0, 1 / 3, 2 / 3, 1.0)] == list(palette.stops)
    colours = [palette.heat(step / 300) for step in range(301)]
    steps = [max(abs(a - b) for a, b in zip(one, other, strict=True)) for one, other in pairwise(colours)]
    assert max(steps) <= 2


def brightness(colour: tuple[int, ...]) -> float:
    return float(
        sum(share * (channel / 255) ** 2.2 for share, channel in zip((0.2126, 0.7152, 0.0722), colour, strict=True))
    )


@pytest.mark.parametrize("palette", [SCREEN, PRINT])
@pytest.mark.parametrize("name", ["plain", "dim", "accent", "warning"])
def test_words_stand_out_from_their_background(palette: Palette, name: str) -> None:
    """The contrast ratio that WCAG 2.1 (1.4.3) wants of text: 4.5."""
    lighter, darker = sorted((brightness(getattr(palette, name)), brightness(palette.background)), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5
