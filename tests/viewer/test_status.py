"""What the page says about an image."""

import pytest

from nerf.viewer.status import Status, describe

SHARP = Status(48, 64, (48, 64), 0.25, (1.0, 2.0), 1.0, True, False)


@pytest.mark.parametrize(
    ("changes", "step", "text"),
    [
        ({}, None, "**64 x 48** after 0.2 s"),
        ({"seconds": 0.0512}, 7, "**64 x 48** after 51 ms · step 7"),
        ({"part": 0.4}, None, "**64 x 48**, 40 % drawn, after 0.2 s"),
        ({"full_size": (480, 640)}, None, "**64 x 48** after 0.2 s, sharp will be 640 x 480"),
        ({"sees_nothing": True}, 0, "**64 x 48** after 0.2 s · step 0 · grey: behind what this "),
    ],
)
def test_it_says_how_far_an_image_is(changes, step, text):
    assert describe(SHARP._replace(**changes), step).startswith(text)
