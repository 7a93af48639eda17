"""Which way is up in a capture: given by the user, or found from EXIF and the cameras.

Most tools compute poses for the pixels as they are stored. A phone that is held upright stores its
images on their side, and says so in EXIF: the way up in them is not the camera's up axis.
"""

import dataclasses

import numpy as np

from nerf.captures.capture import Array, Capture
from nerf.captures.images.files import exif_orientation, image_size
from nerf.captures.images.sizes import has_aspect_ratio
from nerf.errors import UserError, counted
from nerf.geometry.arrangement import find_arrangement
from nerf.geometry.upright import AXES, estimate_up

UP_OPTIONS = ("auto", *AXES)
# The way up in the stored image, along its right and its up axis, by the EXIF orientation.
_UP_OF = {3: (0, -1), 4: (0, -1), 5: (-1, 0), 6: (-1, 0), 7: (1, 0), 8: (1, 0)}


def with_up(capture: Capture, up: str = "auto") -> Capture:
    """A capture that knows which way is up.

    Args:
      capture: with poses and images.
      up: an axis of the files' coordinates, e.g. `z` or `-y`; `auto` finds it.

    Raises:
      UserError: if there is no such axis.
    """
    if up not in UP_OPTIONS:
        raise UserError(f"unknown `up` {up!r}: choose one of {', '.join(UP_OPTIONS)}")
    if up != "auto":
        return dataclasses.replace(capture, up=AXES[up])
    arrangement = find_arrangement(capture.camtoworlds, np.zeros(3))
    ups = image_ups(capture)
    num_turned = int(np.sum(~np.isclose(ups, capture.camtoworlds[:, :, 1]).all(axis=1)))
    focus = arrangement.focus if arrangement.kind == "inward" else None
    found = estimate_up(capture.camtoworlds, ups, focus)
    notes = list(capture.notes)
    if num_turned:
        stored = counted(num_turned, "image is stored", "images are stored")
        notes.append(
            f"{stored} sideways or upside down, as EXIF says, and posed so; images and video are "
            "drawn upright"
        )
    if found.reason:
        notes.append(f"which way is up follows {found.reason} (`up` sets it)")
    return dataclasses.replace(capture, up=found.direction, notes=tuple(notes))


def image_ups(capture: Capture) -> Array:
    """The way up in each image, `[num_views, 3]`, unit, in the coordinates of the files."""
    ups = np.array(capture.camtoworlds[:, :, 1])
    for index, file in enumerate(capture.files):
        orientation = exif_orientation(file)
        if orientation in _UP_OF and _is_posed_as_stored(capture, index):
            right, up = _UP_OF[orientation]
            pose = capture.camtoworlds[index]
            ups[index] = right * pose[:, 0] + up * pose[:, 1]
    return ups


def _is_posed_as_stored(capture: Capture, index: int) -> bool:
    """Whether an image as it is stored fits its lens; else it is turned when it is read."""
    try:
        return has_aspect_ratio(image_size(capture.files[index]), capture.sizes[index])
    except UserError:  # which is said when the image is read
        return False
