"""The benchmark of gather forms: all forms are there, agree, and are timed."""

import jax
import numpy as np
import pytest

from benchmarks import gather_forms


def test_every_form_is_timed_forward_and_with_gradient():
    found = gather_forms.measure(num_points=64, num_features=2, rounds=1)
    whats = (gather_forms.FORWARD, gather_forms.GRADIENT)
    assert set(found) == {f"{form}, {what}" for form in gather_forms.FORMS for what in whats}
    assert all(spread.median > 0 for spread in found.values())


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
