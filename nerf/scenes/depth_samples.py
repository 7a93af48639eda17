"""Depths of the scene that are known at some pixels of its views."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, eq=False)
class DepthSamples:
    """Known depths, with their errors.

    Attributes:
      view: `[num_samples]` int32, the index of the view.
      column, row: `[num_samples]`, pixel coordinates in the view's image, see
        `nerf.geometry.lenses`.
      depth: `[num_samples]`, > 0, in scene units, along the viewing axis; of a panorama, the
        distance from the camera.
      sigma: `[num_samples]`, > 0, the standard deviation of `depth`, in scene units.
      weight: `[num_samples]`, > 0, how much each counts.
      source: what they are from, for people: `COLMAP's points`.
    """

    view: npt.NDArray[np.int32]
    column: Floats
    row: Floats
    depth: Floats
    sigma: Floats
    weight: Floats
    source: str = "the capture"

    def __len__(self) -> int:
        return len(self.view)

    def of_views(self, indices: Sequence[int]) -> "DepthSamples":
        """The samples of some views."""
        return self.subset(np.isin(self.view, np.asarray(indices)))

    def subset(self, index: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> "DepthSamples":
        """Some of the samples, by an index of NumPy."""
        arrays = {
            field.name: getattr(self, field.name)[index]
            for field in dataclasses.fields(self)
            if field.name != "source"
        }
        return dataclasses.replace(self, **arrays)
