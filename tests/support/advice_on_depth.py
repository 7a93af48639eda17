"""Cases of docs/captures.md on depth images; see `tests.support.advice`."""

import json

import numpy as np
from PIL import Image

from tests.support.advice import advises
from tests.support.captures import HEIGHT, WIDTH, write_nerfstudio


def write_depth(folder, depths):
    """A capture with a depth image for each of its first views."""

    def change(content):
        for number, frame in enumerate(content["frames"][: len(depths)]):
            frame["depth_file_path"] = f"depth/{number}.png"

    write_nerfstudio(folder, change=change)
    (folder / "depth").mkdir()
    for number, depth in enumerate(depths):
        Image.fromarray(depth).save(folder / "depth" / f"{number}.png")
    return folder


def random_depths(num):
    """Of surfaces that no other view shows, each in a scale of its own."""
    rng = np.random.default_rng(0)
    slopes = np.linspace(1.0, 3.0, WIDTH * 8)[None] * np.ones((HEIGHT * 8, 1))
    return [(slopes * rng.uniform(300, 9000)).astype(np.uint16) for _ in range(num)]


@advises("the depth images are not used")
def guessed_depth(tmp_path, monkeypatch):
    folder = write_depth(tmp_path / "scene", random_depths(6))
    yield folder
    path = folder / "transforms.json"
    content = json.loads(path.read_text())
    for frame in content["frames"]:
        frame.pop("depth_file_path", None)
    path.write_text(json.dumps(content))
    yield folder


@advises("have exactly the greatest depth")
def clamped_depth(tmp_path, monkeypatch):
    depths = random_depths(4)
    for depth in depths:
        depth //= 4
        depth[:5] = 10_000
    folder = write_depth(tmp_path / "scene", depths)
    yield folder
    for number, depth in enumerate(depths):
        depth[:5] = 0
        Image.fromarray(depth).save(folder / "depth" / f"{number}.png")
    yield folder


@advises("has no depth in 16 bits or more")
def depth_in_8_bits(tmp_path, monkeypatch):
    folder = write_depth(tmp_path / "scene", random_depths(2))
    path = folder / "depth" / "0.png"
    Image.fromarray(np.full((HEIGHT, WIDTH), 128, np.uint8)).save(path)
    yield folder
    Image.fromarray(np.full((HEIGHT, WIDTH), 3000, np.uint16)).save(path)
    yield folder
