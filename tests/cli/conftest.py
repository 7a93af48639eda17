"""The command line is the same for every backend, so that its laws are shown on two of the three.

The third, `flax`, is the default, which tests of one backend have. What is about backends is tested
on all of them, mostly in tests/backends.
"""

import pytest


@pytest.fixture(params=["haiku", "nnx"])
def backend(request):
    return request.param
