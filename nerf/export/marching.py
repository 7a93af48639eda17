"""From fused distances to a mesh: marching cubes, chunk by chunk."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nerf.errors import UserError
from nerf.export.fusion import BLOCK, FusedBlocks, Grid

Floats = npt.NDArray[np.float32]
Faces = npt.NDArray[np.int32]
_CHUNK = 16  # blocks along each side of what marching cubes is given at once


class TriangleMesh(NamedTuple):
    """A mesh of triangles.

    Attributes:
      vertices: `[num_vertices, 3]` float64.
      faces: `[num_faces, 3]`, indices of vertices, counterclockwise from outside.
    """

    vertices: npt.NDArray[np.float64]
    faces: Faces


def marching_cubes(fused: FusedBlocks, grid: Grid) -> TriangleMesh:
    """The surface where the distance is 0, in scene units; triangles face the cameras' side.

    Args:
      fused: the distances.
      grid: where they lie.

    Raises:
      UserError: without scikit-image.
    """
    chunks = np.unique(fused.blocks // _CHUNK, axis=0)
    position = {tuple(index): number for number, index in enumerate(fused.blocks.tolist())}
    vertices, faces, count = [], [], 0
    for chunk in chunks:
        found = _march(_dense(fused, position, chunk))
        if found is not None:
            vertices.append(found.vertices + _CHUNK * BLOCK * chunk)
            faces.append(found.faces + count)
            count += len(found.vertices)
    if not faces:
        return TriangleMesh(np.zeros((0, 3)), np.zeros((0, 3), np.int32))
    merged = _merge_vertices(TriangleMesh(np.concatenate(vertices), np.concatenate(faces)))
    return merged._replace(vertices=grid.low.astype(np.float64) + grid.cell * merged.vertices)


def _dense(
    fused: FusedBlocks, position: dict[tuple[int, ...], int], chunk: npt.NDArray[np.int32]
) -> Floats:
    """The distances of a chunk and of the first points of the next, NaN where unknown."""
    dense = np.full((BLOCK * (_CHUNK + 1),) * 3, np.nan, np.float32)
    for offset in np.ndindex((_CHUNK + 1,) * 3):
        number = position.get(tuple(int(x) for x in _CHUNK * chunk + offset))
        if number is not None:
            i, j, k = (BLOCK * x for x in offset)
            dense[i : i + BLOCK, j : j + BLOCK, k : k + BLOCK] = fused.distance[number]
    end = BLOCK * _CHUNK + 1
    return dense[:end, :end, :end]


def _march(distance: Floats) -> TriangleMesh | None:
    """Marching cubes in the cells whose eight corners are known; vertices in cells."""
    try:
        from skimage import measure
    except ImportError as error:
        raise UserError(MISSING_EXTRA) from error
    is_known = np.isfinite(distance)
    cells = is_known[:-1, :-1, :-1].copy()
    for i, j, k in np.ndindex(2, 2, 2):
        cells &= is_known[i : len(cells) + i, j : len(cells) + j, k : len(cells) + k]
    filled = np.where(is_known, distance, 1.0)
    if not cells.any() or filled.min() >= 0 or filled.max() <= 0:
        return None
    mask = np.zeros(distance.shape, bool)
    mask[1:, 1:, 1:] = cells  # scikit-image asks the corner of a cell that is farthest from 0
    try:
        vertices, faces, _, _ = measure.marching_cubes(filled, 0.0, mask=mask)
    except (RuntimeError, ValueError):  # no surface in the cells of the mask
        return None
    return TriangleMesh(vertices.astype(np.float64), faces.astype(np.int32))


MISSING_EXTRA = (
    "a mesh needs the packages scikit-image and trimesh: pip install 'nerf-haiku-flax[export]'"
)


def _merge_vertices(mesh: TriangleMesh) -> TriangleMesh:
    """Vertices at one place, as chunks share them at their borders, become one."""
    vertices, index = np.unique(mesh.vertices, axis=0, return_inverse=True)
    faces = index.reshape(-1)[mesh.faces].astype(np.int32)
    a, b, c = faces.T
    return TriangleMesh(vertices, faces[(a != b) & (b != c) & (a != c)])
