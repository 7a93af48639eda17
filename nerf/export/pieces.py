"""What is kept of a mesh: its largest pieces."""

import numpy as np
import numpy.typing as npt

from nerf.export.marching import Surface

MIN_PIECE = 0.01  # of the faces of the largest piece: smaller pieces are left out


def largest_pieces(surface: Surface, share: float = MIN_PIECE) -> Surface:
    """The connected pieces that have at least this share of the faces of the largest one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    faces, num_vertices = surface.faces, len(surface.vertices)
    if not len(faces):
        return surface
    starts, ends = faces[:, [0, 1]].ravel(), faces[:, [1, 2]].ravel()
    links = coo_array((np.ones(len(starts), bool), (starts, ends)), (num_vertices, num_vertices))
    _, piece_of_vertex = connected_components(links, directed=False)
    piece = piece_of_vertex[faces[:, 0]]
    sizes = np.bincount(piece)
    return with_faces(surface, sizes[piece] >= share * sizes.max())


def with_faces(surface: Surface, kept: npt.NDArray[np.bool_]) -> Surface:
    """Some faces `[num_faces]` of a mesh, and the vertices that they have."""
    faces = surface.faces[kept]
    used, index = np.unique(faces, return_inverse=True)
    return Surface(surface.vertices[used], index.reshape(-1, 3).astype(np.int32))
