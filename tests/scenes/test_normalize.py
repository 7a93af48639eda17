"""Laws of normalisation: the transform from a capture's coordinates to scene units."""

import numpy as np
import pytest

from nerf.captures.export import EXPORT_FORMATS
from nerf.scenes.loading import load_folder
from nerf.scenes.options import CaptureOptions
from tests.support.captures import convert, write_nerfstudio, write_procedural

SPACES = {"flower": "ndc", "table": "world", "courtyard": "contracted"}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    home = tmp_path_factory.mktemp("captures")
    return {name: write_procedural(home / name, name) for name in SPACES}


def assert_leads_to_the_scene(loaded):
    """The transform takes poses to the scene's cameras, and what they see to what those see."""
    scene, capture = loaded.scene, loaded.capture
    transform, scale = scene.capture_to_scene, scene.unit_scale
    assert transform.dtype == np.float64
    np.testing.assert_array_equal(transform[3], [0, 0, 0, 1])
    turn = transform[:3, :3] / scale
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(turn), 1.0)

    poses, cameras = capture.camtoworlds, scene.cameras.camtoworlds
    positions = np.concatenate([poses[:, :, 3], np.ones((len(poses), 1))], axis=-1)
    np.testing.assert_allclose(cameras[:, :, 3], (positions @ transform.T)[:, :3], atol=1e-5)
    np.testing.assert_allclose(cameras[:, :, :3], turn @ poses[:, :, :3], atol=1e-6)

    point = np.random.default_rng(0).normal(size=3) * np.abs(poses[:, :, 3]).max()
    moved = (transform @ [*point, 1.0])[:3]
    before = np.einsum("vij,vi->vj", poses[:, :, :3], point - poses[:, :, 3])
    after = np.einsum("vij,vi->vj", cameras[:, :, :3], moved - cameras[:, :, 3])
    np.testing.assert_allclose(after, scale * before, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("to", EXPORT_FORMATS)
def test_the_transform_leads_from_the_capture_to_the_scene(sources, tmp_path, name, to):
    loaded = load_folder(convert(sources[name], to, tmp_path / to))
    assert loaded.scene.space.name == SPACES[name]
    assert_leads_to_the_scene(loaded)


@pytest.mark.parametrize("space", ["world", "contracted"])
def test_it_does_in_a_space_that_was_asked_for(tmp_path, space):
    options = CaptureOptions(space=space)
    loaded = load_folder(write_nerfstudio(tmp_path, k1=0.03, cx=5.0), options)
    assert loaded.scene.space.name == space
    assert_leads_to_the_scene(loaded)


def test_it_does_for_photographs(flower_dir):
    assert_leads_to_the_scene(load_folder(flower_dir))


def test_ndc_is_that_of_the_scenes_own_views(sources):
    scene = load_folder(sources["flower"]).scene
    focal = scene.cameras.focal[0]
    scale = (2 * focal / scene.cameras.width, 2 * focal / scene.cameras.height)
    np.testing.assert_allclose(scene.space.scale, scale, rtol=1e-6)
    assert scene.cameras.focal.shape == (scene.num_views,)
