"""Draws a mesh that was exported beside the field that it was made of, along a camera path.

python -m tools.mesh_and_field --run=runs/RUN --mesh=runs/RUN/export/mesh.ply --out=both.mp4
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import numpy.typing as npt

from nerf.cli.exits import exit_on_error
from nerf.export.depth_views import intrinsics
from nerf.export.files import load_trimesh
from nerf.geometry.cameras import Cameras
from nerf.jobs.draw import draw
from nerf.jobs.load import load_run
from nerf.jobs.videos.frames import video_frames
from nerf.output import images, video

Array = npt.NDArray[np.float64]
_SAMPLES = 2.0  # along each side of a pixel
_MAX_SAMPLES = 64  # along each side of a triangle


def draw_mesh(
    vertices: Array, faces: npt.NDArray[np.int64], rgb: Array, camera: Cameras, offset: float
) -> images.FloatImage:
    """Draws a mesh with the colours of its vertices, unlit, over white.

    Each triangle is filled with points that are less than a pixel apart; the nearest is seen.

    Args:
      vertices: `[num_vertices, 3]`, in the coordinates of the camera.
      faces: `[num_faces, 3]`.
      rgb: `[num_vertices, 3]` in [0, 1].
      camera: one pinhole camera.
      offset: see `nerf.export.depth_views.intrinsics`.

    Returns:
      `[height, width, 3]`.
    """
    focal, centre = intrinsics(camera, offset)
    pose = np.asarray(camera.camtoworlds, np.float64)
    local = (vertices - pose[:, 3]) @ pose[:, :3]
    depth = np.maximum(-local[:, 2], 1e-6)
    pixels = np.stack([local[:, 0], -local[:, 1]], -1) * focal / depth[:, None] + centre
    is_ahead = (-local[:, 2][faces] > 1e-3).all(axis=1)
    corners = pixels[faces]
    low, high = corners.min(axis=1), corners.max(axis=1)
    is_inside = (high > 0).all(axis=1) & (low < [camera.width, camera.height]).all(axis=1)
    faces = faces[is_ahead & is_inside]
    sides = np.ptp(pixels[faces], axis=1).max(axis=1, initial=0.0)
    counts = np.clip(np.ceil(_SAMPLES * sides), 1, _MAX_SAMPLES).astype(int)
    image, nearest = (
        np.ones((camera.height * camera.width, 3)),
        np.full(camera.height * camera.width, np.inf),
    )
    for count in np.unique(counts):
        some = faces[counts == count]
        for weights in _within(count):
            at = np.einsum("k,fkc->fc", weights, pixels[some])
            z = weights @ depth[some].T
            column, row = np.round(at).astype(int).T
            is_visible = (
                (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
            )
            index, z, triangle = (
                (row * camera.width + column)[is_visible],
                z[is_visible],
                some[is_visible],
            )
            order = np.argsort(-z, kind="stable")  # of several at one pixel, the nearest is last
            index, z, triangle = index[order], z[order], triangle[order]
            is_nearer = z < nearest[index]
            index, z, triangle = index[is_nearer], z[is_nearer], triangle[is_nearer]
            nearest[index] = z
            image[index] = np.einsum("k,fkc->fc", weights, rgb[triangle])
    return image.reshape(camera.height, camera.width, 3).astype(np.float32)


def _within(count: int) -> Array:
    """Barycentric coordinates `[num_points, 3]` of points all over a triangle."""
    a, b = (x.ravel() for x in np.indices((count + 1, count + 1)) / count)
    inside = a + b <= 1 + 1e-9
    weights: Array = np.stack([a, b, 1 - a - b], axis=-1)[inside]
    return weights


def write_side_by_side(
    run: Path, mesh: Path, out: Path, *, camera_path: str | None, num_frames: int, width: int
) -> None:
    """Writes a video, mesh on the left and field on the right; or one frame each, with .png.

    Raises:
      UserError: see `nerf.load_run`.
    """
    trained = load_run(run)
    record, offset = trained.needed_scene(), trained.config.render.pixel_offset
    loaded = load_trimesh().load(mesh, process=False, force="mesh")
    vertices = loaded.vertices @ record.capture_to_scene[:3, :3].T + record.capture_to_scene[:3, 3]
    rgb = np.asarray(loaded.visual.vertex_colors)[:, :3] / 255.0
    size = (width, round(width * record.cameras.height / record.cameras.width))
    cameras = video_frames(record, camera_path, num_frames=num_frames, size=size).cameras
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, camera in enumerate(cameras):
            panels = [
                ("mesh", draw_mesh(vertices, np.asarray(loaded.faces), rgb, camera, offset)),
                ("field", draw(trained.exact_renderer, camera).rgb),
            ]
            files.append(Path(folder) / f"{number:04d}.png")
            images.write_sheet(files[-1], images.side_by_side(panels))
        if out.suffix == ".png":
            sheets = [iio.imread(file) for file in files]
            images.write_sheet(out, np.concatenate(sheets))
        else:
            video.write_video(out, files)


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="the run folder")
    parser.add_argument("--mesh", type=Path, required=True, help="in the capture's coordinates")
    parser.add_argument("--out", type=Path, required=True, help="an .mp4, or a .png")
    parser.add_argument("--camera_path", help="see --camera_path of nerf.main")
    parser.add_argument("--num_frames", type=int, default=30)
    parser.add_argument("--width", type=int, default=504, help="of each of the two, in pixels")
    args = parser.parse_args(argv)
    with exit_on_error(out_of_memory="give a smaller --width"):
        write_side_by_side(
            args.run,
            args.mesh,
            args.out,
            camera_path=args.camera_path,
            num_frames=args.num_frames,
            width=args.width,
        )
        print(f"written: {args.out}")


if __name__ == "__main__":
    main()
