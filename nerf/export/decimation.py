"""Mesh decimation: vertices in one grid cell are merged to where their triangles' planes meet.

The new vertex x of a cell minimises

    sum_f a_f^2 (n_f . (x - v_f))^2

over the triangles f that touch the cell, with area a_f, normal n_f and a corner v_f. Directions in
which this says little keep the mean of the vertices.

Source: Rossignac and Borrel 1993 (clusters); Lindstrom 2000 (the new vertices), equations 5 to 7.
"""

import numpy as np
import numpy.typing as npt

from nerf.export.marching import Faces, TriangleMesh

Array = npt.NDArray[np.float64]
_MIN_EIGENVALUE = 0.02  # of the largest: less says little
_GROWTH = 1.05  # of the cells, where there are still too many triangles


def decimate(mesh: TriangleMesh, max_faces: int) -> TriangleMesh:
    """A mesh of at most `max_faces` triangles, whose shape is close to that of the given one.

    Args:
      mesh: the mesh.
      max_faces: at least 100; with much fewer nothing may be left.
    """
    if len(mesh.faces) <= max_faces:
        return mesh
    area = float(np.linalg.norm(_face_normals(mesh), axis=-1).sum()) / 2.0
    cell = np.sqrt(area / max_faces)  # a flat grid of cells has two triangles each
    while True:
        cluster, faces = _cluster(mesh, cell)
        if len(faces) <= max_faces:
            break
        cell *= max(_GROWTH, np.sqrt(len(faces) / max_faces))
    used, index = np.unique(faces, return_inverse=True)
    vertices = _place_vertices(mesh, cluster, cell)[used]
    return TriangleMesh(vertices, index.reshape(-1, 3).astype(np.int32))


def _face_normals(mesh: TriangleMesh) -> Array:
    """`[num_faces, 3]`, normals of twice the length of a triangle's area."""
    a, b, c = (mesh.vertices[mesh.faces[:, i]] for i in range(3))
    return np.cross(b - a, c - a)


def _cluster(mesh: TriangleMesh, cell: float) -> tuple[npt.NDArray[np.intp], Faces]:
    """The cluster of each vertex, and the triangles whose corners are in three clusters."""
    cells = np.floor(mesh.vertices / cell).astype(np.int64)
    _, cluster = np.unique(cells, axis=0, return_inverse=True)
    cluster = cluster.reshape(-1)
    faces = cluster[mesh.faces]
    a, b, c = faces.T
    faces = faces[(a != b) & (b != c) & (a != c)]
    first = np.argmin(faces, axis=1)[:, None]  # the same triangle starts at the same corner
    turned = np.take_along_axis(faces, (first + np.arange(3)) % 3, axis=1)
    return cluster, np.unique(turned, axis=0).astype(np.int32)


def _place_vertices(mesh: TriangleMesh, cluster: npt.NDArray[np.intp], cell: float) -> Array:
    """`[num_clusters, 3]`, the new vertices."""
    num = int(cluster.max()) + 1
    counts = np.bincount(cluster, minlength=num)[:, None]
    mean = _sum_by_index(mesh.vertices, cluster, num) / counts
    crossed, corner = _face_normals(mesh), mesh.vertices[mesh.faces[:, 0]]
    squares = crossed[:, :, None] * crossed[:, None, :]
    matrix, vector = np.zeros((num, 9)), np.zeros((num, 3))
    for side in range(3):
        at = cluster[mesh.faces[:, side]]
        matrix += _sum_by_index(squares.reshape(-1, 9), at, num)
        offset = np.sum(crossed * (corner - mean[at]), axis=-1, keepdims=True)
        vector += _sum_by_index(crossed * offset, at, num)
    inverse = np.linalg.pinv(matrix.reshape(num, 3, 3), rcond=_MIN_EIGENVALUE, hermitian=True)
    step = np.einsum("nij,nj->ni", inverse, vector)
    length = np.linalg.norm(step, axis=-1, keepdims=True)
    placed: Array = mean + step * np.minimum(1.0, cell / np.maximum(length, 1e-300))
    return placed


def _sum_by_index(values: Array, index: npt.NDArray[np.intp], num: int) -> Array:
    """Sums `[num, n]` of rows `[k, n]` with the same index `[k]`."""
    return np.stack([np.bincount(index, column, num) for column in values.T], axis=-1)
