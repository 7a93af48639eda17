"""The examples of the documents run in an empty folder, for some of them write files."""

import pytest


@pytest.fixture(autouse=True)
def _empty_folder_for_documents(request, tmp_path, monkeypatch):
    if request.node.path.suffix == ".md":
        monkeypatch.chdir(tmp_path)
