"""The benchmark of gather forms: all forms are there, agree, and are timed."""

import json
import math

import jax
import numpy as np
import pytest

from benchmarks import gather_forms
from tests.support.command_line import assert_is_one_sentence, call_benchmark

pytestmark = pytest.mark.slow

SMALL = ("--num_points=64", "--num_features=2", "--readings=2")


def test_every_form_is_timed_forward_and_with_gradient(tmp_path):
    out = tmp_path / "forms.json"
    ended = call_benchmark(gather_forms, *SMALL, f"--out={out}")
    assert ended.status == 0, ended.err
    (case,) = json.loads(out.read_text())["cases"]
    assert (case["num_points"], case["num_features"], case["num_planes"]) == (64, 2, 6)
    assert set(case["forms"]) == set(gather_forms.FORMS)
    for name, seconds in case["forms"].items():
        assert set(seconds) == {gather_forms.FORWARD, gather_forms.GRADIENT}
        for spread in seconds.values():
            assert spread["n"] == 2
            assert 0 < spread["min"] <= spread["median"] <= spread["max"] < math.inf
        assert f"  {name} " in ended.out
    again = call_benchmark(gather_forms, *SMALL, f"--out={tmp_path / 'b.json'}", f"--against={out}")
    assert again.out.count(" times the seconds") == 2 * len(gather_forms.FORMS)


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--num_points=0"], "--num_points=0: 0 is not an integer in the range"),
        (["--rounds=0"], "0 is not an integer in the range"),
        (["--chart=a.png"], "Unknown command line flag 'chart'"),
        (["--against=nowhere.json"], "nowhere.json is not a result that can be read"),
    ],
)
def test_a_wrong_flag_ends_with_a_sentence(flags, reason, tmp_path):
    ended = call_benchmark(gather_forms, *SMALL, f"--out={tmp_path / 'out.json'}", *flags)
    assert_is_one_sentence(ended, reason)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", gather_forms.FORMS)
def test_forms_agree_in_values_and_gradients(form, key):
    texels = [(3, 4), (5, 2)]
    rows = jax.random.normal(key, (22, 3))
    unit = jax.random.uniform(jax.random.key(1), (7, 2, 2))

    def loss(rows, name):
        with jax.numpy_dtype_promotion("standard"):
            return (gather_forms.FORMS[name](rows, unit, texels) ** 2).sum()

    value, slope = jax.value_and_grad(loss)(rows, form)
    expected, expected_slope = jax.value_and_grad(loss)(rows, "one gather")
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(slope, expected_slope, atol=1e-4)
