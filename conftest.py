"""What the examples in docstrings and documents share with the tests."""

import pytest


@pytest.fixture(autouse=True)
def _empty_folder_for_documents(request, tmp_path, monkeypatch):
    """Some examples write files."""
    if request.node.path.suffix == ".md":
        monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    """What a test or an example registers is forgotten after it."""
    from nerf import field  # here, since tests/conftest.py sets up JAX before anything imports it

    for name in ("_SPECS", "_MORE_IMPLEMENTATIONS"):
        monkeypatch.setattr(field, name, dict(getattr(field, name)))
