"""The drawing of a mesh: the nearest triangle is seen, where its corners are projected."""

import numpy as np
import pytest

from nerf.geometry.cameras import Cameras
from tools.mesh_and_field import draw_mesh

HEIGHT, WIDTH, FOCAL = 30, 40, 40.0
CAMERA = Cameras.pinhole(np.eye(3, 4), focal=FOCAL, height=HEIGHT, width=WIDTH, near=1.0, far=9.0)


def square(half, depth):
    """Two triangles in front of the camera, whose middle is on its axis."""
    corners = half * np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    return np.column_stack([corners, np.full(4, -depth)]), np.array([[0, 1, 2], [0, 2, 3]])


def draw(*squares):
    vertices, faces, colours = [], [], []
    for number, (corners, triangles, colour) in enumerate(squares):
        vertices.append(corners)
        faces.append(triangles + 4 * number)
        colours.append(np.tile(colour, (4, 1)))
    return draw_mesh(*map(np.concatenate, (vertices, faces, colours)), CAMERA, 0.5)


def test_a_square_covers_its_pixels_and_no_others():
    image = draw((*square(0.5, 2.0), [0.2, 0.4, 0.6]))  # 10 pixels to each side of the middle
    inside = np.zeros((HEIGHT, WIDTH), bool)
    inside[5:25, 10:30] = True
    rim = np.zeros_like(inside)
    rim[4:26, 9:31] = True
    rim[6:24, 11:29] = False
    np.testing.assert_allclose(
        image[inside & ~rim],
        np.broadcast_to([0.2, 0.4, 0.6], image[inside & ~rim].shape),
        atol=1e-6,
    )
    assert (image[~inside & ~rim] == 1).all()


@pytest.mark.parametrize("turned", [False, True])
def test_the_nearer_of_two_squares_is_seen(turned):
    near, far = (*square(0.3, 2.0), [1.0, 0, 0]), (*square(2.0, 4.0), [0.0, 0, 1])
    image = draw(*((far, near) if turned else (near, far)))
    assert image[15, 20].tolist() == [1, 0, 0]
    assert image[2, 2].tolist() == [0, 0, 1]


def test_what_is_behind_the_camera_is_not_drawn():
    corners, triangles = square(0.5, -2.0)
    assert (draw((corners, triangles, [0.0, 0, 0])) == 1).all()
