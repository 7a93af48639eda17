"""Cases of `tests.support.advice`: where images, poses and lenses are, and what they are."""

import json
import re
import shutil
from pathlib import Path

import jax
import numpy as np
from PIL import Image

from nerf import inspect
from nerf.captures.images import choice as image_choice
from nerf.captures.images import decoding as image_decoding
from nerf.captures.images import files as image_files
from nerf.captures.images import sizes as image_sizes
from nerf.captures.reading import read_capture
from nerf.cli.modes import parser_of
from nerf.config.presets import preset
from nerf.jobs.fit import fit_to_scene
from nerf.jobs.training_run.new_field import new_field
from nerf.runtime import compile_cache
from nerf.scenes.loading import load_folder
from tests.support.advice import advises, run_command_of, sentence
from tests.support.captures import (
    HEIGHT,
    WIDTH,
    convert,
    orbit_poses,
    write_images,
    write_nerfstudio,
)
from tools.other_formats import write_csv


def rename_in_file(folder, old, new):
    """Other names in a transforms.json."""
    path = folder / "transforms.json"
    path.write_text(path.read_text().replace(old, new))


def images_of(folder):
    return sorted((folder / "images").iterdir())


@advises("no scene in ...")
def the_folder_above_or_below(tmp_path, monkeypatch):
    """The other advice, nerf.pose, is followed in tests/cli/test_pose.py."""
    folder = write_nerfstudio(tmp_path / "home" / "scene")
    yield folder.parent
    yield folder / "images"
    assert f"a part of the one in {folder}: give that folder" in sentence(folder / "images")
    yield folder


def far_from(folder):
    """A place where the images of a scene are not taken for its own."""
    return folder.parents[2] / "photos"


@advises("none of the N images ... is there")
def images_in_another_place(tmp_path, monkeypatch):
    folder = write_nerfstudio(tmp_path / "all" / "scenes" / "scene")
    elsewhere = shutil.move(folder / "images", far_from(folder))
    yield folder
    (place,) = re.findall(r"put them into (\S+)$", sentence(folder))
    for path in sorted(Path(elsewhere).iterdir()):
        shutil.move(path, place)
    yield folder


@advises("leads out of ..., and no image below it has this name")
def names_of_another_place(tmp_path, monkeypatch):
    folder = write_nerfstudio(tmp_path / "all" / "scenes" / "scene")
    outside = shutil.move(folder / "images", far_from(folder))
    rename_in_file(folder, '"images/', '"../../photos/')
    yield folder
    shutil.copytree(outside, folder / "photos")
    yield folder


@advises("is a symbolic link to ...")
def linked_images(tmp_path, monkeypatch):
    folder = write_nerfstudio(tmp_path / "scene")
    outside = shutil.move(folder / "images", tmp_path / "photos")
    (folder / "images").symlink_to(outside)
    yield folder
    assert load_folder(folder, inspect_options(follow_links=True)).capture.num_views == 6
    (folder / "images").unlink()
    shutil.copytree(outside, folder / "images")
    yield folder


def inspect_options(**given):
    """The options of `nerf.inspect` with some flags."""
    inspect.FLAGS.unparse_flags()
    flags = [f"--{name}={str(value).lower()}" for name, value in given.items()]
    parser_of("nerf.inspect")(["nerf.inspect", *flags])
    return inspect.capture_options()


@advises("may be each of ...")
def several_images_of_a_name(tmp_path, monkeypatch):
    folder = write_nerfstudio(tmp_path)
    shutil.copytree(folder / "images", folder / "left")
    (folder / "images").rename(folder / "right")
    rename_in_file(folder, '"images/', '"/data/')
    yield folder
    shutil.copytree(folder, tmp_path / "moved")
    shutil.rmtree(tmp_path / "moved" / "left")
    assert load_folder(tmp_path / "moved").capture.num_views == 6
    shutil.rmtree(tmp_path / "moved")
    rename_in_file(folder, '"/data/', '"right/')
    yield folder


@advises("may be ..., but so may ...")
def two_names_of_an_image(tmp_path, monkeypatch):
    def change(content):
        content["frames"][0]["file_path"] = "/a/view_1.png"
        content["frames"][1]["file_path"] = "/b/view_1.png"

    folder = write_nerfstudio(tmp_path, change=change)
    shutil.rmtree(folder / "images")
    write_images(folder, [f"all/view_{i}.png" for i in range(1, 6)])
    yield folder
    write_images(folder, ["other/view_1.png"])
    rename_in_file(folder, "/a/view_1", "other/view_1")
    rename_in_file(folder, "/b/view_1", "all/view_1")
    yield folder


@advises("found under other names")
def names_that_differ(tmp_path, monkeypatch):
    """There is nothing to do if the pair is right; with the right names nothing is said."""
    folder = write_nerfstudio(tmp_path)
    right = [image.copy() for image in load_folder(folder).scene.images]
    rename_in_file(folder, '"images/', '"C:\\\\photos\\\\')
    yield folder
    for image, expected in zip(load_folder(folder).scene.images, right, strict=True):
        np.testing.assert_array_equal(image, expected)
    rename_in_file(folder, '"C:\\\\photos\\\\', '"images/')
    yield folder


@advises("the cache folder ... cannot be written")
def a_cache_folder_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("NERF_CACHE_DIR", str(tmp_path / "file" / "cache"))
    before = jax.config.jax_compilation_cache_dir

    def enable():
        jax.config.update("jax_compilation_cache_dir", None)
        try:
            return [note for note in [compile_cache.enable()] if note]
        finally:
            jax.config.update("jax_compilation_cache_dir", before)

    yield enable
    monkeypatch.setenv("NERF_CACHE_DIR", str(tmp_path / "cache"))
    yield enable


@advises("N poses have no image")
def poses_without_images(tmp_path, monkeypatch):
    folder = convert(write_nerfstudio(tmp_path / "seed"), "colmap", tmp_path / "scene")
    for path in images_of(folder)[:2]:
        path.rename(tmp_path / path.name)
    write_images(folder, ["images/new_1.png", "images/new_2.png"])
    yield folder
    for path in sorted(tmp_path.glob("*.png")):
        path.rename(folder / "images" / path.name)
    for path in (folder / "images").glob("new_*"):
        path.unlink()
    yield folder


@advises("COLMAP made N models")
def several_models(tmp_path, monkeypatch):
    folder = convert(write_nerfstudio(tmp_path / "seed"), "colmap", tmp_path / "scene")
    shutil.copytree(folder / "sparse" / "0", folder / "sparse" / "1")
    yield folder
    shutil.rmtree(folder / "sparse" / "1")  # COLMAP has joined all
    yield folder


@advises("does not have the aspect ratio of its camera")
def images_that_were_cropped(tmp_path, monkeypatch):
    folder = write_nerfstudio(tmp_path / "scene")
    shutil.copytree(folder / "images", tmp_path / "originals")
    for path in images_of(folder)[:3]:
        with Image.open(path) as image:
            image.crop((0, 0, HEIGHT, HEIGHT)).save(path)
    yield folder
    shutil.copytree(tmp_path / "originals", folder / "images", dirs_exist_ok=True)
    yield folder


@advises("LLFF has one image size")
def sizes_that_llff_cannot_express(tmp_path, monkeypatch):
    def change(content):
        for frame in content["frames"]:
            frame |= {"near": 1.0, "far": 5.0}
        content["frames"][0] |= {"w": 2 * WIDTH, "h": HEIGHT}

    folder = write_nerfstudio(tmp_path / "scene", change=change)
    write_images(folder, ["images/view_0.png"], size=(2 * WIDTH, HEIGHT))
    yield lambda: [str(convert(folder, "llff", tmp_path / "llff"))]
    yield convert(folder, "nerfstudio", tmp_path / "nerfstudio")


@advises("billion pixels")
def too_many_pixels(tmp_path, monkeypatch):
    folder = write_nerfstudio(tmp_path)
    write_images(folder, [f"images/view_{i}.png" for i in range(6)], size=(96, 64))
    monkeypatch.setattr(image_sizes, "MAX_PIXELS", 6 * 48 * 32)
    yield folder
    assert load_folder(folder, inspect_options(max_size=48)).scene.images.stack().shape[2] == 48
    yield folder, {"factor": 2}


def gifs(folder):
    """Images of a kind that is not read, under the names of others."""
    for path in images_of(folder):
        with Image.open(path) as image:
            image.save(path, format="GIF")


@advises("cannot read the image")
def images_that_are_not_read(tmp_path, monkeypatch):
    one = write_nerfstudio(tmp_path / "one")
    (one / "images" / "view_3.png").write_bytes(b"")
    yield one  # copy it again
    write_images(one, ["images/view_3.png"])
    assert load_folder(one).notes == ()
    named = write_nerfstudio(tmp_path / "named")
    gifs(named)
    for path in images_of(named):
        path.rename(path.with_suffix(".heic"))  # what is there counts, not the name
    rename_in_file(named, ".png", ".heic")
    yield named
    run_command_of(sentence(named), tmp_path)
    assert load_folder(named).notes == ()
    folder = write_nerfstudio(tmp_path / "my scene")
    gifs(folder)
    yield folder
    run_command_of(sentence(folder), tmp_path)
    yield folder


@advises("larger than ... pixels")
def images_that_are_too_large(tmp_path, monkeypatch):
    folder = write_nerfstudio(tmp_path, w=96, h=64)
    write_images(folder, [f"images/view_{i}.png" for i in range(6)], size=(96, 64))
    for module in (image_files, image_decoding, image_choice):
        monkeypatch.setattr(module, "LARGE", 96 * 64 - 1, raising=False)
    monkeypatch.setattr(image_decoding, "MAX_PIXELS", 96 * 64 - 1)
    yield folder
    run_command_of(sentence(folder), folder)
    yield folder


@advises("come without a lens")
def poses_without_a_lens(tmp_path, monkeypatch):
    capture = read_capture(write_nerfstudio(tmp_path / "seed"))
    folder = write_csv(capture, tmp_path / "scene")
    (folder / "intrinsics.json").unlink()
    yield folder
    form, name = re.search(r"(\{.*\}).* or (\S+\.txt)", sentence(folder)).groups()
    values = [10.0, 10.0, 6.0, 4.0, WIDTH, HEIGHT]
    keys = json.loads(form.replace("...", "0"))
    (folder / "intrinsics.json").write_text(json.dumps(dict(zip(keys, values, strict=True))))
    assert load_folder(folder).capture.num_views == 6
    (folder / "intrinsics.json").unlink()
    (folder / name).write_text("10 10 5.5 3.5")
    yield folder


def inspected(folder):
    """`nerf.inspect`, in this process; a fault is raised as the error that it prints."""

    def run():
        inspect.FLAGS.unparse_flags()
        inspect._run(parser_of("nerf.inspect")(["nerf.inspect", str(folder)]))
        return []

    return run


@advises("one view is too few")
def too_few_views(tmp_path, monkeypatch):
    poses = orbit_poses()
    one = write_nerfstudio(tmp_path / "one", poses=poses[:1])
    yield inspected(one)

    def train(folder):
        scene = load_folder(folder, inspect_options(near=1.0, far=9.0)).scene
        config = fit_to_scene(preset("planes"), scene, ())
        new_field(scene, config, "flax", "planes", None, "float32")
        return []

    yield lambda: train(one)
    yield lambda: train(write_nerfstudio(tmp_path / "more", poses=poses))
