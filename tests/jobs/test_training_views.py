"""What a run says of the corrections that it makes."""

import pytest

from nerf.config.presets import NOTEBOOK, PLANES
from nerf.config.text import override
from nerf.jobs.training_views import corrections_in_words


@pytest.mark.parametrize(
    ("config", "settings", "names"),
    [
        (PLANES, (), []),
        (PLANES, ("train.exposure=on", "train.poses=on"), ["exposure", "poses"]),
        (PLANES, ("train.few_views=on",), ["few_views"]),
        (NOTEBOOK, ("train.poses=on", "train.few_views=on"), ["poses"]),  # which does no more
    ],
)
def test_a_run_says_each_correction_that_is_on_and_how_it_is_turned_off(config, settings, names):
    said = corrections_in_words(override(config, *settings))
    assert [text.split("`")[1] for text in said] == [f'{name}="off"' for name in names]
