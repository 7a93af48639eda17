"""Laws of scenes whose views differ in size: every pixel keeps its ray and its colour."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.config.presets import NOTEBOOK
from nerf.errors import UserError
from nerf.geometry.cameras import pinhole_rays
from nerf.geometry.lenses import fraction_without_ray
from nerf.jobs.renderers import compared_pixels
from nerf.jobs.training_run.scene_box import scene_box
from nerf.jobs.training_run.views import training_views
from nerf.scenes.describe import describe_scene
from nerf.scenes.loading import load_folder
from nerf.scenes.options import CaptureOptions
from nerf.scenes.record import SceneRecord
from nerf.training.batch import sample_batch
from tests.support.cameras import rays_of_pixels
from tests.support.captures import (
    assert_same,
    convert,
    forward_poses,
    refusal,
    write_images,
    write_nerfstudio,
)
from tests.support.mixed_sizes import KINDS, boxes, part, write_mixed, write_uniform

pytestmark = pytest.mark.slow

CONFIG = NOTEBOOK.render
SCENES = ["flower", "table", "courtyard"]  # NDC, a box, contracted space
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Captures of one size by their names, and of several sizes by names and kinds."""
    home = tmp_path_factory.mktemp("sizes")
    found = {name: write_uniform(home, name) for name in SCENES}
    mixed = {
        (name, kind): write_mixed(found[name], home / f"{name}-{kind}", kind)
        for name in SCENES
        for kind in KINDS
    }
    return found | mixed


def load(folder, **options):
    return load_folder(folder, CaptureOptions(**options)).scene


def rays_of(scene, index):
    """Origins and directions of all pixels of a view in the capture's coordinates, `[h, w, 3]`."""
    origins, directions = rays_of_pixels(scene.view(index).camera)
    back = np.linalg.inv(scene.capture_to_scene)
    turned = directions @ (back[:3, :3] / np.cbrt(np.linalg.det(back[:3, :3]))).T
    return origins @ back[:3, :3].T + back[:3, 3], turned


@every_kind
@pytest.mark.parametrize("name", SCENES)
def test_every_pixel_has_the_ray_and_the_colour_of_the_same_place(folders, name, kind):
    whole, mixed = load(folders[name]), load(folders[name, kind])
    assert mixed.space.name == whole.space.name
    assert mixed.cameras.sizes is not None
    for index, box in enumerate(boxes(whole, kind)):
        camera, image = mixed.view(index).camera, mixed.view(index).image
        expected = box.height // box.factor, box.width // box.factor
        assert (camera.height, camera.width) == image.shape[:2] == expected
        np.testing.assert_allclose(image, part(whole.images[index], box), atol=1.01 / 255)
        for found, expected_image in zip(rays_of(mixed, index), rays_of(whole, index), strict=True):
            np.testing.assert_allclose(found, part(expected_image, box), atol=5e-6)


@every_kind
def test_a_batch_has_the_rays_and_colours_of_pixels_that_there_are(folders, kind, key):
    scene = load(folders["flower", kind])
    record = SceneRecord.of(scene, 16)
    views = training_views(scene, record.split.train)
    num_pixels = scene.images.heights * scene.images.widths
    assert views.num_rays == num_pixels[list(record.split.train)].sum()
    batch = sample_batch(key, views, num_rays=400, space=scene.space, config=CONFIG)
    found = np.concatenate([batch.rays.origins, batch.rays.directions, batch.rgb], axis=-1)

    def warped(columns, rows, cameras):
        near, far = jnp.asarray(cameras.bounds).T
        rays = scene.space.warp(*pinhole_rays(columns, rows, cameras), near, far)
        return rays.origins, rays.directions

    there = []
    for index in record.split.train:
        each = [*rays_of_pixels(scene.view(index).camera, warped), scene.images[index]]
        there.append(np.concatenate([np.asarray(x).reshape(-1, 3) for x in each], axis=-1))
    distance = np.abs(found[:, None] - np.concatenate(there)[None]).max(axis=-1)
    assert distance.min(axis=1).max() < 1e-5


@every_kind
@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("to", ["nerfstudio", "blender", "colmap"])
def test_sizes_survive_in_every_format_that_can_express_them(folders, tmp_path, name, kind, to):
    assert_same(folders[name, kind], convert(folders[name, kind], to, tmp_path / to))


@every_kind
def test_llff_refuses_them(folders, tmp_path, kind):
    with pytest.raises(
        UserError, match=r"LLFF has one image size.*choose `export_format="
    ) as caught:
        convert(folders["flower", kind], "llff", tmp_path / "out")
    assert " of 16x" in str(caught.value)
    assert not (tmp_path / "out").exists()


@every_kind
def test_the_record_of_a_scene_has_the_size_of_each_view(folders, kind):
    scene = load(folders["courtyard", kind])
    record = SceneRecord.of(scene, 16)
    again = SceneRecord.from_json(json.loads(json.dumps(record.to_json())))
    jax.tree.map(np.testing.assert_array_equal, again.cameras, record.cameras)
    for index in range(scene.num_views):
        camera, image = again.view(index).camera, scene.view(index).image
        assert (camera.height, camera.width) == image.shape[:2]


def test_the_record_of_a_scene_of_one_size_is_as_ever(folders):
    values = SceneRecord.of(load(folders["courtyard"]), 16).to_json()
    assert (values["height"], values["width"]) == (12, 16)
    assert set(values["views"][0]) == {"name", "camtoworld", "focal", "bounds", "lens"}


@every_kind
def test_the_box_of_what_is_seen_holds_the_box_of_every_view(folders, kind):
    scene = load(folders["flower", kind])
    low, high = scene_box(scene.space, CONFIG, scene.cameras)
    each = [
        scene_box(scene.space, CONFIG, scene.cameras[index][None])
        for index in range(scene.num_views)
    ]
    np.testing.assert_allclose(low, np.min([box[0] for box in each], axis=0), rtol=2e-2)
    np.testing.assert_allclose(high, np.max([box[1] for box in each], axis=0), rtol=2e-2)


@every_kind
def test_compared_pixels_are_those_of_the_views(folders, kind):
    scene = load(folders["flower", kind])
    record = SceneRecord.of(scene, 3)
    pixels, truth = compared_pixels(record, scene)
    shown = []
    for (camera, index), view in zip(pixels, record.split.test, strict=True):
        assert index.max() < camera.height * camera.width
        shown.append(scene.images[view].reshape(-1, 3)[index])
    np.testing.assert_array_equal(np.concatenate(shown), truth)
    shares = np.array([len(index) for _, index in pixels]) / len(truth)
    num_pixels = np.array([camera.height * camera.width for camera, _ in pixels])
    np.testing.assert_allclose(shares, num_pixels / num_pixels.sum(), atol=0.05)


@every_kind
def test_ndc_reaches_to_the_sides_of_the_widest_view(folders, kind):
    scene = load(folders["flower", kind])
    slopes = 0.5 * scene.cameras.image_sizes[:, ::-1] / scene.cameras.lens.focal
    np.testing.assert_allclose((slopes * scene.space.scale).max(axis=0), [1.0, 1.0], rtol=1e-6)


def test_the_box_around_an_object_does_not_depend_on_the_number_of_pixels(tmp_path):
    folder = write_nerfstudio(tmp_path, channels=4)
    whole = load(folder)
    write_images(folder, ["images/view_2.png"], size=(6, 4), channels=4)
    mixed = load(folder)
    assert (mixed.space.name, mixed.view(2).image.shape) == ("world", (4, 6, 3))
    np.testing.assert_array_equal(mixed.capture_to_scene, whole.capture_to_scene)


def test_the_rays_of_each_view_are_checked_at_its_own_size(tmp_path):
    """Distortion that folds the corners of a large image, and parts from the middle of others."""

    def change(content):
        content["frames"][0] |= {"w": 12, "h": 8, "cx": 6, "cy": 4}

    folder = write_nerfstudio(tmp_path, change=change, k1=-1.0, w=6, h=4, cx=3, cy=2)
    write_images(folder, [f"images/view_{i}.png" for i in range(1, 6)], size=(6, 4))
    loaded = load_folder(folder)
    (note,) = (note for note in loaded.notes if "wrong ray" in note)
    fraction = fraction_without_ray(loaded.scene.view(0).camera.lens, 8, 12)
    assert note.startswith(f"{fraction:.0%} of the pixels of view 0 (view_0)")


def test_the_sizes_are_counted(folders):
    scene = load(folders["flower", "portrait_and_landscape"])
    assert "images:      7 of 16x6, 2 of 8x12" in list(describe_scene(scene, 16))


# Scaling.


def test_every_image_is_scaled_on_its_own(folders, tmp_path):
    folder = folders["courtyard", "two_cameras"]
    loaded = load_folder(folder, CaptureOptions(max_size=8), cache_dir=tmp_path)
    assert loaded.scene.cameras.sizes is None  # the small ones stay, the large ones are as small
    assert loaded.scene.images.stack().shape[1:3] == (6, 8)
    assert any("images are scaled: 12 of 16x12 to 8x6" in note for note in loaded.notes)
    assert any("`max_size`" in note for note in loaded.notes)
    whole = load_folder(folders["courtyard"], CaptureOptions(max_size=8), cache_dir=tmp_path).scene
    for index in range(whole.num_views):
        for found, expected_image in zip(
            rays_of(loaded.scene, index), rays_of(whole, index), strict=True
        ):
            np.testing.assert_allclose(found, expected_image, atol=5e-6)


def test_a_factor_divides_every_size(folders, tmp_path):
    folder = folders["courtyard", "portrait_and_landscape"]
    loaded = load_folder(folder, CaptureOptions(factor=2), cache_dir=tmp_path)
    sizes = {tuple(size) for size in loaded.scene.cameras.image_sizes.tolist()}
    assert sizes == {(3, 8), (6, 4)}
    (note,) = (note for note in loaded.notes if "scaled" in note)
    assert note == "images are scaled: 14 of 16x6 to 8x3, 4 of 8x12 to 4x6"


def test_mapped_images_of_several_sizes_are_the_same(folders, tmp_path):
    folder = folders["flower", "few_pixels_apart"]
    mapped = load_folder(folder, CaptureOptions(image_memory=0.0), cache_dir=tmp_path).scene.images
    assert isinstance(mapped.pixels, np.memmap)
    for found, expected_image in zip(mapped, load(folder).images, strict=True):
        np.testing.assert_array_equal(found, expected_image)


def test_too_many_pixels_are_refused_whatever_their_sizes(folders, monkeypatch):
    monkeypatch.setattr("nerf.captures.images.sizes.MAX_PIXELS", 500)
    message = refusal(folders["flower", "portrait_and_landscape"])
    assert "9 images of up to " in message
    assert "`max_size`" in message


# A lens that all have in common, but images of several sizes.


def test_smaller_copies_of_some_images_are_read_at_their_size(tmp_path):
    """One lens for 12 x 8, and two images that are half as large."""
    folder = write_nerfstudio(tmp_path, poses=forward_poses())
    whole = load(folder)
    write_images(folder, ["images/view_1.png", "images/view_3.png"], size=(6, 4))
    mixed = load(folder)
    assert mixed.cameras.image_sizes.tolist() == [[8, 12], [4, 6], [8, 12], [4, 6], [8, 12]]
    for index in range(5):
        block = 2 if index % 2 else 1
        _, expected = rays_of(whole, index)
        expected = expected.reshape(8 // block, block, 12 // block, block, 3).mean(axis=(1, 3))
        np.testing.assert_allclose(rays_of(mixed, index)[1], expected, atol=5e-6)
