"""The largest connected components of a mesh."""

import numpy as np
import numpy.typing as npt

from nerf.export.marching import TriangleMesh

MIN_COMPONENT_SHARE = 0.01  # of the faces of the largest one: smaller components are left out


def largest_components(mesh: TriangleMesh, share: float = MIN_COMPONENT_SHARE) -> TriangleMesh:
    """The connected components that have at least this share of the faces of the largest one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    faces, num_vertices = mesh.faces, len(mesh.vertices)
    if not len(faces):
        return mesh
    starts, ends = faces[:, [0, 1]].ravel(), faces[:, [1, 2]].ravel()
    links = coo_array((np.ones(len(starts), bool), (starts, ends)), (num_vertices, num_vertices))
    _, component_of_vertex = connected_components(links, directed=False)
    component = component_of_vertex[faces[:, 0]]
    sizes = np.bincount(component)
    return with_faces(mesh, sizes[component] >= share * sizes.max())


def with_faces(mesh: TriangleMesh, mask: npt.NDArray[np.bool_]) -> TriangleMesh:
    """Some faces `[num_faces]` of a mesh, and the vertices that they have."""
    faces = mesh.faces[mask]
    used, index = np.unique(faces, return_inverse=True)
    return TriangleMesh(mesh.vertices[used], index.reshape(-1, 3).astype(np.int32))
