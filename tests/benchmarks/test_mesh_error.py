"""The benchmark of meshes runs, keeps its run, and measures distances that are known."""

import json

import numpy as np
import pytest

from benchmarks import mesh_error
from nerf.jobs.load import load_run
from tests.support.command_line import assert_is_one_sentence, call_benchmark

pytest.importorskip("trimesh")
pytest.importorskip("skimage")


@pytest.mark.slow
def test_it_measures_a_field_and_keeps_its_run(tmp_path, monkeypatch):
    out, runs = tmp_path / "mesh.json", tmp_path / "runs"
    flags = ("--scene=procedural:table@16x12", "--steps=2", f"--runs={runs}", "--resolution=24")
    ended = call_benchmark(mesh_error, *flags, f"--out={out}")
    assert ended.status == 0, ended.err
    (row,) = json.loads(out.read_text())["meshes"]
    assert (row["scene"], row["steps"]) == ("table@16x12", 2)
    assert 0 < row["mesh_to_surface"]["median"] < 50
    (run,) = runs.iterdir()
    monkeypatch.setattr("nerf.train", None)  # a second call does not train
    again = mesh_error.measure(load_run(run))
    assert again["surface_to_mesh"] == pytest.approx(row["surface_to_mesh"], rel=1e-3)
    assert "1.000 times the distance, mesh to surface" in "".join(
        mesh_error.compared({"meshes": [row]}, {"meshes": [row]})
    )


@pytest.mark.slow
@pytest.mark.parametrize(("scene", "steps"), [("table@126x94", 2500), ("room@126x94", 6000)])
def test_the_mesh_of_a_trained_field_is_within_one_percent(tmp_path, scene, steps):
    """Of the scene's size, on average over the surface, both ways."""
    out, runs = tmp_path / "mesh.json", tmp_path / "runs"
    flags = (f"--scene=procedural:{scene}", f"--steps={steps}", f"--runs={runs}", f"--out={out}")
    ended = call_benchmark(mesh_error, *flags)
    assert ended.status == 0, ended.err
    (row,) = json.loads(out.read_text())["meshes"]
    assert row["mesh_to_surface"]["mean"] < 1.0
    assert row["surface_to_mesh"]["mean"] < 1.0


def test_distances_are_percents_of_the_diagonal():
    line = np.linspace(0.0, 1.0, 101)[:, None] * [[1.0, 0.0, 0.0]]
    found = mesh_error._distances(line + np.array([0.0, 0.03, 0.0]), line, 2.0)
    assert found == pytest.approx({"mean": 1.5, "median": 1.5})


def test_what_has_no_known_surface_is_one_sentence(scene):
    ended = call_benchmark(mesh_error, f"--scene={scene}")
    assert_is_one_sentence(ended, "is not bundled, so that its surface is not known")
