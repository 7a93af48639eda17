"""How far the mesh of a trained field is from the surface that was traced, on bundled scenes.

    python -m benchmarks.mesh_error --scene=procedural:table@126x94 --steps=2500
    python -m benchmarks.mesh_error --run=runs/table-procedural-flax-planes
    python -m benchmarks.mesh_error --scene=procedural:table@24x18 --steps=2      # seconds

A field is trained for some steps in a folder, where a second call finds it; or the run of `--run`
is taken. Its mesh is made as `--mode=export` makes it. The truth is what the cameras see of the
scene by ray tracing, at twice the size of the images. Distances are in percent of the diagonal of
the box around the truth: of points on the mesh from the nearest point of the truth, and of points
of what the training views see from the nearest point on the mesh.
"""

import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from absl import flags
from scipy.spatial import cKDTree

import nerf
from benchmarks import command_line, list_flags
from nerf.errors import UserError
from nerf.export.depth_views import depth_view, surface_points
from nerf.export.files import load_trimesh
from nerf.jobs.trained_field import TrainedField
from nerf.runs import parameters
from nerf.runtime.events import ignore_event
from nerf.scenes.record import SceneRecord
from nerf.scenes.scene import Scene

Array = npt.NDArray[np.float64]

_FINER = 2  # times the size of the images, that of the traced truth
_POINTS_ON_MESH = 500_000  # so that their distances from each other are small beside the errors
_MEASURED = 100_000  # points, an even choice

HEADING = (
    "| scene | field, steps | triangles | mesh to surface | surface to mesh |\n"
    "| --- | --- | --- | --- | --- |"
)


def table_row(row: dict[str, Any]) -> str:
    """One row of a Markdown table whose head is HEADING."""
    distances = (
        f"{row[key]['mean']:.2f} % (median {row[key]['median']:.2f} %)"
        for key in ("mesh_to_surface", "surface_to_mesh")
    )
    return (
        f"| {row['scene']} | {row['field']}, {row['steps']} | {row['triangles']:,} | "
        f"{' | '.join(distances)} |"
    )


def compared(now: dict[str, Any], earlier: dict[str, Any]) -> list[str]:
    """The ratios of the mean distances, by scene, field and steps."""

    def key(row: dict[str, Any]) -> tuple[Any, ...]:
        return row["scene"], row["field"], row["steps"]

    before = {key(row): row for row in earlier["meshes"]}
    return [
        f"{row['scene']}: {row[name]['mean'] / before[key(row)][name]['mean']:.3f} times the "
        f"distance, {name.replace('_', ' ')}"
        for row in now["meshes"]
        if key(row) in before
        for name in ("mesh_to_surface", "surface_to_mesh")
    ]


BENCHMARK = command_line.Benchmark(
    "mesh_error", "meshes", table_row, compared, file_prefix="mesh-error-", heading=HEADING
)

FLAGS = command_line.new_flags(chart=False)
command_line.define_backend(FLAGS)
flags.DEFINE_string("field", "planes", "which field", flag_values=FLAGS)
list_flags.define_names(
    FLAGS, "scene", "procedural:table@126x94", "bundled scenes, as for nerf.main"
)
flags.DEFINE_integer("steps", 2500, "steps of training", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_string(
    "run", None, "a run folder to take in place of training; of a bundled scene", flag_values=FLAGS
)
flags.DEFINE_string("runs", "runs", "where the folders of trained fields go", flag_values=FLAGS)
flags.DEFINE_integer(
    "resolution", None, "cells of the mesh's grid along its longest side", flag_values=FLAGS
)


def main(argv: Sequence[str]) -> None:
    """Measures what the flags ask for."""

    def prepare() -> tuple[dict[str, Any], Callable[[], command_line.Measurements]]:
        load_trimesh()
        asked = {name: FLAGS[name].value for name in ("scene", "field", "steps", "resolution")}
        if FLAGS.run is not None:
            return {**asked, "run": FLAGS.run}, lambda: [measure(nerf.load_run(FLAGS.run))]
        return asked, lambda: (measure(trained_on(name)) for name in FLAGS.scene)

    command_line.main(argv, FLAGS, __doc__ or "", BENCHMARK, prepare)


def trained_on(name: str) -> TrainedField:
    """A field that was trained for `--steps` on a scene, now or in an earlier call."""
    scene = nerf.load_scene(name)
    if scene.source != "procedural":
        raise UserError(f"--scene={name} is not bundled, so that its surface is not known")
    size = f"{scene.cameras.width}x{scene.cameras.height}"
    plain = scene.name.partition("@")[0]
    folder = Path(FLAGS.runs) / f"mesh-error-{plain}-{size}-{FLAGS.field}-{FLAGS.steps}"
    if (folder / parameters.FILE_NAME).is_file():
        found = nerf.load_run(folder)
        if found.step == FLAGS.steps:
            return found
    config = nerf.fit_config("quick" if FLAGS.field == "mlp" else FLAGS.field, scene)
    return nerf.train(
        scene,
        config,
        backend=FLAGS.backend,
        steps=FLAGS.steps,
        run_dir=folder,
        callback=ignore_event,
    )


def measure(trained: TrainedField) -> dict[str, Any]:
    """The distances of the mesh of a field from the surface, and back."""
    record = trained.needed_scene()
    truth = traced(record)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mesh.ply"
        nerf.export_mesh(trained, path, resolution=FLAGS.resolution, callback=ignore_event)
        mesh = load_trimesh().load(path, process=False)
    on_mesh = np.asarray(load_trimesh().sample.sample_surface(mesh, _POINTS_ON_MESH, seed=0)[0])
    every = np.concatenate(truth)
    visible = np.concatenate([truth[index] for index in record.split.train])
    diagonal = float(np.linalg.norm(np.ptp(every, axis=0)))
    return {
        "scene": f"{record.name.partition('@')[0]}@{record.cameras.width}x{record.cameras.height}",
        "field": trained.field_name,
        "steps": trained.step,
        "triangles": len(mesh.faces),
        "mesh_to_surface": _distances(on_mesh, every, diagonal),
        "surface_to_mesh": _distances(visible, on_mesh, diagonal),
    }


def traced(record: SceneRecord) -> list[Array]:
    """What each view sees of a bundled scene, `[num_points, 3]`, in the capture's coordinates.

    Raises:
      UserError: if the scene is not bundled.
    """
    if record.source != "procedural":
        raise UserError(f"{record.name} is not bundled, so that its surface is not known")
    width, height = (_FINER * side for side in (record.cameras.width, record.cameras.height))
    scene: Scene = nerf.load_scene(f"procedural:{record.name.partition('@')[0]}@{width}x{height}")
    back = np.linalg.inv(np.asarray(scene.capture_to_scene, np.float64))
    if scene.depth is None:
        raise UserError(f"{record.name} has no depth, so that its surface is not known")
    found = []
    for index in range(scene.num_views):
        view = depth_view(
            scene.cameras[index],
            np.asarray(scene.depth[index]),
            np.asarray(scene.images[index]),
            is_bounded=True,
            pixel_offset=0.0,
        )
        points = surface_points(view).reshape(-1, 3).astype(np.float64)
        points = points[np.isfinite(points).all(axis=-1)]
        found.append(points @ back[:3, :3].T + back[:3, 3])
    return found


def _distances(points: Array, others: Array, diagonal: float) -> dict[str, float]:
    """Mean and median distance to the nearest of others, in percent of the diagonal."""
    some = points[:: max(1, len(points) // _MEASURED)]
    away = 100.0 * cKDTree(others).query(some)[0] / diagonal
    return {"mean": float(away.mean()), "median": float(np.median(away))}


if __name__ == "__main__":
    main(sys.argv)
