"""Other names of the keys of a transforms.json, which home-made files have."""

from collections.abc import Mapping
from typing import Any

OTHER_NAMES = {
    "fx": "fl_x", "fy": "fl_y", "focal_x": "fl_x", "focal_y": "fl_y",
    "width": "w", "height": "h", "image_width": "w", "image_height": "h",
    "intrinsic_matrix": "K", "camera_matrix": "K",
}  # fmt: skip


def with_usual_names(
    values: Mapping[str, Any], other_names: Mapping[str, str] = OTHER_NAMES
) -> dict[str, Any]:
    """Values under the usual names of their keys; a value already under the usual name wins.

    >>> with_usual_names({"fx": 60.0, "width": 640, "w": 64})
    {'w': 64, 'fl_x': 60.0}
    """
    found = {key: value for key, value in values.items() if key not in other_names}
    for other, key in other_names.items():
        if other in values:
            found.setdefault(key, values[other])
    return found


def file_with_usual_names(content: Mapping[str, Any]) -> dict[str, Any]:
    """The same of a file, and of each of its frames."""
    found = with_usual_names(content)
    frames = found.get("frames")
    if isinstance(frames, list):
        found["frames"] = [with_usual_names(x) if isinstance(x, dict) else x for x in frames]
    return found
