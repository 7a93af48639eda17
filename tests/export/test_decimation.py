"""Laws of fewer triangles: flat stays flat, edges stay sharp, a ball keeps its radius."""

import numpy as np
import pytest

from nerf.export.decimation import decimate
from nerf.export.marching import TriangleMesh


def sheet(num, height):
    """A square [0, 1]^2 of `num`^2 squares, each two triangles, at heights z(x, y)."""
    rows, columns = np.indices((num + 1, num + 1))
    x, y = columns.ravel() / num, rows.ravel() / num
    first = (rows[:-1, :-1] * (num + 1) + columns[:-1, :-1]).ravel()
    right, below = first + 1, first + num + 1
    faces = np.concatenate(
        [np.stack([first, right, below], -1), np.stack([right, below + 1, below], -1)]
    )
    return TriangleMesh(np.stack([x, y, height(x, y)], axis=-1), faces.astype(np.int32))


def areas(surface):
    a, b, c = (surface.vertices[surface.faces[:, i]] for i in range(3))
    return np.cross(b - a, c - a) / 2


@pytest.mark.parametrize("max_faces", [100, 333, 1000])
def test_there_are_at_most_so_many_and_all_vertices_are_used(max_faces):
    few = decimate(sheet(40, lambda x, y: np.sin(4 * x) * y), max_faces)
    assert max_faces / 4 <= len(few.faces) <= max_faces
    np.testing.assert_array_equal(np.unique(few.faces), np.arange(len(few.vertices)))


def test_a_small_mesh_stays_as_it_is():
    small = sheet(3, lambda x, y: x)
    assert decimate(small, len(small.faces)) is small


def test_a_plane_stays_in_its_plane_and_faces_the_same_side():
    few = decimate(sheet(40, lambda x, y: 0.3 * x - 0.2 * y), 100)
    x, y, z = few.vertices.T
    np.testing.assert_allclose(z, 0.3 * x - 0.2 * y, atol=1e-9)
    assert (areas(few)[:, 2] > 0).all()


@pytest.mark.parametrize("max_faces", [110, 150, 260])
def test_a_roof_keeps_its_ridge(max_faces):
    roof = sheet(60, lambda x, y: np.minimum(x, 1.0 - x))
    few = decimate(roof, max_faces)
    x, _, z = few.vertices.T
    np.testing.assert_allclose(z, np.minimum(x, 1.0 - x), atol=0.004)
    assert z.max() == pytest.approx(0.5, abs=0.004)


def test_flat_parts_do_not_fold_over():
    few = decimate(sheet(50, lambda x, y: 0.1 * np.sin(6 * x) * np.sin(6 * y)), 400)
    assert np.mean(areas(few)[:, 2] > 0) > 0.98
    assert areas(few)[:, 2].sum() == pytest.approx(1.0, abs=0.1)  # seen from above
