"""Captures whose images differ in size, made of one whose images do not."""

import json
import shutil
from typing import NamedTuple

from PIL import Image

from nerf.captures.images.files import read_image, shrink, to_bytes
from tests.support.captures import convert, write_procedural


class Box(NamedTuple):
    """A part of an image in pixels, and how many times smaller it becomes."""

    left: int
    top: int
    width: int
    height: int
    factor: int = 1


def portrait_and_landscape(index, width, height):
    """Three images of four are landscape, one is portrait."""
    if index % 4 == 2:
        return Box(width // 4, 0, width // 2, height)
    return Box(0, height // 4, width, height // 2)


def two_cameras(index, width, height):
    """One image of three is half as large."""
    return Box(0, 0, width, height, 2 if index % 3 == 1 else 1)


def few_pixels_apart(index, width, height):
    """As undistorting leaves them: up to two columns and one row are cut off."""
    columns, rows = index % 3, index % 2
    return Box(columns, rows, width - columns, height - rows)


KINDS = {each.__name__: each for each in (portrait_and_landscape, two_cameras, few_pixels_apart)}


def write_uniform(folder, name, height=12, width=16, every=4):
    """Some views of a bundled scene as a `transforms.json`, all of one size, with `w` and `h`."""
    source = write_procedural(folder / f"{name}-llff", name, height, width)
    whole = convert(source, "nerfstudio", folder / name)
    path = whole / "transforms.json"
    content = json.loads(path.read_text())
    for number, frame in enumerate(content["frames"]):
        if number % every:
            (whole / frame["file_path"]).unlink()
    content["frames"] = content["frames"][::every]
    path.write_text(json.dumps(content))
    return whole


def write_mixed(uniform, out, kind):
    """The same capture with parts of its images, and lenses that are those of the parts.

    Args:
      uniform: from `write_uniform`.
      out: the folder to write.
      kind: a name of `KINDS`.
    """
    shutil.copytree(uniform, out)
    path = out / "transforms.json"
    content = json.loads(path.read_text())
    shared = {key: content.pop(key) for key in ("w", "h", "fl_x", "fl_y", "cx", "cy")}
    for index, frame in enumerate(content["frames"]):
        box = KINDS[kind](index, shared["w"], shared["h"])
        frame |= {
            "w": box.width // box.factor,
            "h": box.height // box.factor,
            "fl_x": shared["fl_x"] / box.factor,
            "fl_y": shared["fl_y"] / box.factor,
            "cx": (shared["cx"] - box.left) / box.factor,
            "cy": (shared["cy"] - box.top) / box.factor,
        }
        file = out / frame["file_path"]
        image = part(read_image(file), box._replace(factor=1))
        if box.factor > 1:
            image = shrink(image, frame["h"], frame["w"])
        Image.fromarray(to_bytes(image)).save(file)
    path.write_text(json.dumps(content))
    return out


def part(image, box):
    """A part of an array `[height, width, ...]` of colours or rays, by area where it is smaller."""
    cut = image[box.top : box.top + box.height, box.left : box.left + box.width]
    if box.factor == 1:
        return cut
    shape = (box.height // box.factor, box.factor, box.width // box.factor, box.factor)
    return cut.reshape(*shape, *cut.shape[2:]).mean(axis=(1, 3))


def boxes(scene, kind):
    """The part of each image of a uniform scene that is left."""
    width, height = int(scene.images.widths[0]), int(scene.images.heights[0])
    return [KINDS[kind](index, width, height) for index in range(scene.num_views)]
