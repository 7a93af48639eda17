"""Cases of docs/captures.md on other programs' files; see `tests.support.advice`."""

import re
import shlex
import shutil
import zipfile

import numpy as np
from PIL import Image

from nerf.captures.export import ExportImages, export
from nerf.captures.images.files import read_image
from nerf.captures.lenses.scaled import scaled_lens
from nerf.captures.reading import read_capture
from tests.support.advice import advises, sentence
from tests.support.captures import HEIGHT, WIDTH, convert, write_images, write_nerfstudio
from tools.other_formats import (
    write_csv,
    write_gaussian_splatting,
    write_realitycapture_csv,
    write_record3d,
)


def written(write, home):
    """A capture in another format."""
    return write(read_capture(write_nerfstudio(home / "seed", cx=6.0, cy=4.0)), home / "scene")


@advises("which is not read")
def archives(tmp_path, monkeypatch):
    inside = written(write_record3d, tmp_path)
    folder = tmp_path / "my phone"
    folder.mkdir()
    with zipfile.ZipFile(folder / "room.r3d", "w") as archive:
        for path in filter(lambda path: path.is_file(), inside.rglob("*")):
            archive.write(path, path.relative_to(inside))
    yield folder
    (command,) = re.findall("`(unzip [^`]*)`", sentence(folder))
    _, file, _, out = shlex.split(command)
    zipfile.ZipFile(file).extractall(out)
    yield folder / "room"


@advises("of a COLMAP model, but no ...")
def a_model_without_a_file(tmp_path, monkeypatch):
    folder = convert(write_nerfstudio(tmp_path / "seed"), "colmap", tmp_path / "scene")
    for name in ("images.bin", "cameras.bin"):
        shutil.move(folder / "sparse" / "0" / name, tmp_path / name)
        yield folder
        shutil.move(tmp_path / name, folder / "sparse" / "0" / name)
    yield folder


@advises("has the name of a copy")
def a_copy_of_a_file(tmp_path, monkeypatch):
    folder = convert(
        write_nerfstudio(tmp_path / "seed", near=1.0, far=9.0), "llff", tmp_path / "scene"
    )
    (folder / "poses_bounds.npy").rename(folder / "poses_bounds (1).npy")
    yield folder
    (name,) = re.findall(r"rename it to (\S+);", sentence(folder))
    (folder / "poses_bounds (1).npy").rename(folder / name)
    yield folder


@advises("may each be its transforms.json")
def several_files_of_frames(tmp_path, monkeypatch):
    folder = write_nerfstudio(tmp_path)
    shutil.copy(folder / "transforms.json", folder / "transforms_old.json")
    (folder / "transforms.json").rename(folder / "transforms_new.json")
    yield folder
    (folder / "transforms_new.json").rename(folder / "transforms.json")
    yield folder


@advises("whose images are not there")
def cameras_of_gaussian_splatting(tmp_path, monkeypatch):
    folder = written(write_gaussian_splatting, tmp_path)
    shutil.move(folder / "images", tmp_path / "photos")
    yield folder
    shutil.copytree(tmp_path / "photos", folder / "images")
    yield folder


@advises("decimal commas")
def decimal_commas(tmp_path, monkeypatch):
    folder = written(write_csv, tmp_path)
    path = folder / "poses.csv"
    right = path.read_text()
    path.write_text(right.replace(".", ",").replace(",png", ".png"))
    yield folder
    path.write_text(right.replace(",", ";").replace(".", ",").replace(",png", ".png"))
    assert read_capture(folder).num_views == 6
    path.write_text(right)
    yield folder


@advises("is not read, and changes the rays")
def a_column_of_another_lens(tmp_path, monkeypatch):
    folder = written(write_realitycapture_csv, tmp_path)
    path = folder / "cameras.csv"
    right = path.read_text()
    header, *rows = right.splitlines()
    path.write_text("\n".join([f"{header},k5", *(f"{row},0.5" for row in rows)]))
    yield folder
    path.write_text(right)
    yield folder


@advises("has one lens without w and h")
def one_lens_for_portrait_and_landscape(tmp_path, monkeypatch):
    folder = written(write_csv, tmp_path)
    capture = read_capture(folder)
    (folder / "intrinsics.json").unlink()
    (folder / "intrinsics.txt").write_text("10 10 5.5 3.5")
    write_images(folder, ["images/view_0.png"], size=(HEIGHT, WIDTH))
    yield folder
    sizes = np.array([[HEIGHT, WIDTH], *[[WIDTH, HEIGHT]] * 5])
    lens = scaled_lens(capture, sizes[:, 1], sizes[:, 0])
    pixels = ExportImages(sizes, capture.files, lambda i: read_image(capture.files[i]))
    export(capture, lens, None, pixels, "nerfstudio", tmp_path / "whole")
    yield tmp_path / "whole"


@advises("named like no image")
def masks_of_other_names(tmp_path, monkeypatch):
    folder = write_nerfstudio(tmp_path)
    (folder / "masks").mkdir()
    levels = np.full((HEIGHT, WIDTH), 255, np.uint8)
    levels[0, 0] = 0
    for index in range(6):
        name = "0.png" if index == 0 else f"view_{index}.png"
        Image.fromarray(levels).save(folder / "masks" / name)
    yield folder
    (folder / "masks" / "0.png").rename(folder / "masks" / "view_0.png")
    yield folder
