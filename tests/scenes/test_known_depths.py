"""Laws of the depths of a scene: those of the files in scene units, at the pixels of its images."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from nerf import procedural
from nerf.captures.reading import read_capture
from nerf.geometry.poses import look_at
from nerf.scenes.clamped_depths import without_clamped
from nerf.scenes.depth_scale import align, scale_by_views
from nerf.scenes.loading import load_folder
from nerf.scenes.options import CaptureOptions
from tests.support.captures import convert, write_procedural

HEIGHT, WIDTH, NUM_VIEWS = 24, 32, 36


@pytest.fixture(scope="module")
def courtyard(tmp_path_factory):
    """A bundled scene in a transforms.json, and its exact depth in the files' unit."""
    home = tmp_path_factory.mktemp("courtyard")
    llff = write_procedural(home / "llff", "courtyard", HEIGHT, WIDTH)
    views = procedural.render_views("courtyard", HEIGHT, WIDTH, supersample=1)
    return convert(llff, "nerfstudio", home / "ns"), views.depth[:NUM_VIEWS]


def with_depth(courtyard, tmp_path, unit=1e-3, factors=None, **keys):
    """The scene with depth images, each times a factor."""
    folder, depth = courtyard
    content = json.loads((folder / "transforms.json").read_text())
    out = tmp_path / "scene"
    (out / "depth").mkdir(parents=True)
    (out / "images").symlink_to(folder / "images")
    frames = sorted(content["frames"], key=lambda frame: frame["file_path"])[:NUM_VIEWS]
    factors = np.ones(len(frames)) if factors is None else factors
    for index, (frame, image, factor) in enumerate(zip(frames, depth, factors, strict=True)):
        known = np.where(np.isfinite(image), factor * image / unit, 0)
        values = np.clip(np.round(known), 0, 65535).astype(np.uint16)
        Image.fromarray(values).save(out / "depth" / f"{index}.png")
        frame["depth_file_path"] = f"depth/{index}.png"
    (out / "transforms.json").write_text(json.dumps({**content, **keys, "frames": frames}))
    return out


def load(folder, **options):
    return load_folder(folder, CaptureOptions(follow_links=True, **options))


def traced(depth, samples):
    """The exact depth at the nearest pixel of each sample."""
    return depth[
        samples.view, np.round(samples.row).astype(int), np.round(samples.column).astype(int)
    ]


def notes_on_depth(loaded):
    return [note for note in loaded.notes if "depth" in note]


@pytest.mark.slow
def test_depth_images_are_known_in_scene_units_after_normalisation(courtyard, tmp_path):
    loaded = load(with_depth(courtyard, tmp_path))
    samples = loaded.scene.depth_samples
    expected = loaded.scene.unit_scale * traced(courtyard[1], samples)
    np.testing.assert_allclose(samples.depth, expected, rtol=1e-3)
    np.testing.assert_allclose(samples.sigma, 0.01 * samples.depth, rtol=1e-4)
    assert (samples.column == np.round(samples.column)).all()
    (note,) = notes_on_depth(loaded)
    assert note == f"{len(samples):,} depths in 36 views are known from depth images"


@pytest.mark.slow
def test_pixels_at_edges_and_unknown_ones_are_left_out(courtyard, tmp_path):
    samples = load(with_depth(courtyard, tmp_path)).scene.depth_samples
    depth = courtyard[1]
    depth = np.where(depth < 65.5, depth, np.inf)  # what 16 bits hold
    for view in (0, 9):
        own = samples.subset(samples.view == view)
        at = own.row.astype(int), own.column.astype(int)
        x = 1.0 / depth[view]
        between = 0.5 * (x[1:-1, 2:] + x[1:-1, :-2]), 0.5 * (x[2:, 1:-1] + x[:-2, 1:-1])
        is_edge = np.zeros(x.shape, np.bool_)
        for middle in between:
            is_edge[1:-1, 1:-1] |= np.abs(middle - x[1:-1, 1:-1]) > 0.0155 * x[1:-1, 1:-1]
        assert is_edge.any()
        assert not is_edge[at].any()
    assert 0.3 < len(samples) / depth.size < 1.0


@pytest.mark.slow
def test_smaller_images_have_the_same_depths_at_the_scaled_pixels(courtyard, tmp_path):
    folder = with_depth(courtyard, tmp_path)
    whole, half = load(folder).scene, load(folder, max_size=WIDTH // 2).scene
    assert half.cameras.width == WIDTH // 2
    one, other = whole.depth_samples, half.depth_samples
    np.testing.assert_allclose(other.column, (one.column + 0.5) / 2 - 0.5, atol=1e-5)
    np.testing.assert_allclose(other.row, (one.row + 0.5) / 2 - 0.5, atol=1e-5)
    np.testing.assert_allclose(other.depth, one.depth, rtol=1e-6)


@pytest.mark.slow
def test_masks_leave_depths_out(courtyard, tmp_path):
    folder = with_depth(courtyard, tmp_path)
    mask = np.full((HEIGHT, WIDTH), 255, np.uint8)
    mask[:, : WIDTH // 2] = 0
    Image.fromarray(mask).save(folder / "mask.png")
    content = json.loads((folder / "transforms.json").read_text())
    (folder / "transforms.json").write_text(json.dumps({**content, "mask_path": "mask.png"}))
    assert load(folder).scene.depth_samples.column.min() >= WIDTH // 2


# The scale of depth images.


@pytest.mark.slow
@pytest.mark.parametrize("factor", [0.2, 3.7])
def test_a_wrong_scale_is_found_and_said(courtyard, tmp_path, factor):
    factors = np.full(len(courtyard[1]), factor)
    loaded = load(with_depth(courtyard, tmp_path, factors=factors))
    scaled, counted = notes_on_depth(loaded)
    assert "to agree between the views: their scale is not that of the poses" in scaled
    samples = loaded.scene.depth_samples
    expected = loaded.scene.unit_scale * traced(courtyard[1], samples)
    assert abs(np.median(samples.depth / expected) - 1.0) < 0.03
    assert "are known from depth images" in counted


@pytest.mark.slow
def test_depth_of_which_every_image_has_another_scale_is_not_used(courtyard, tmp_path):
    factors = np.exp(np.random.default_rng(0).normal(0.0, 0.7, len(courtyard[1])))
    loaded = load(with_depth(courtyard, tmp_path, factors=factors))
    assert loaded.scene.depth_samples is None
    (note,) = notes_on_depth(loaded)
    assert note.startswith("the depth images are not used: they contradict each other under every")
    assert note.endswith("give depth in the unit of the poses, or train without")


@pytest.mark.slow
@pytest.mark.parametrize("factor", [1.0, 0.2])
def test_distances_from_the_camera_are_read_as_such(courtyard, tmp_path, factor):
    capture = read_capture(courtyard[0])
    (fx, fy), (cx, cy) = np.asarray(capture.lens.focal)[0], np.asarray(capture.lens.centre)[0]
    across, down = (np.arange(WIDTH) - cx) / fx, (np.arange(HEIGHT)[:, None] - cy) / fy
    lengths = np.sqrt(1 + across**2 + down**2)
    loaded = load(with_depth(courtyard, tmp_path, factors=[factor * lengths] * NUM_VIEWS))
    notes = notes_on_depth(loaded)
    assert any("distances from the camera, not depths along its axis" in note for note in notes)
    assert any("scaled by" in note for note in notes) == (factor != 1.0)
    samples = loaded.scene.depth_samples
    expected = loaded.scene.unit_scale * traced(courtyard[1], samples)
    assert abs(np.median(samples.depth / expected) - 1.0) < 0.03
    even = samples.depth / expected / np.median(samples.depth / expected)
    assert np.percentile(np.abs(even - 1.0), 90) < 0.01


def looking(turns):
    """A capture of cameras at places on a line across, each turned about the vertical axis."""
    backs = [np.array([np.sin(turn), 0.0, np.cos(turn)]) for turn in turns]
    places = [np.array([0.3 * number, 0.0, 0.0]) for number in range(len(turns))]
    up = np.array([0.0, 1.0, 0.0])
    poses = np.stack([look_at(b, up, p) for b, p in zip(backs, places, strict=True)])
    return SimpleNamespace(camtoworlds=poses)


@pytest.mark.parametrize(
    ("turns", "share", "is_clamped"),
    [
        ([0.0, 0.2, 0.4], 0.25, True),
        ([0.0, 0.0, 0.0], 0.25, False),  # a wall that faces all cameras
        ([0.0, 0.2, 0.4], 0.0, False),
    ],
)
def test_pixels_at_the_value_of_a_clamp_are_not_used(turns, share, is_clamped):
    rng = np.random.default_rng(0)
    read = {view: rng.uniform(1.0, 9.9, (20, 30)) for view in range(3)}
    for depth in read.values():
        depth[: round(20 * share)] = 10.0
        depth[-1] = 0.0
    read[0][10, 10] = 10.0
    found, notes = without_clamped(read, looking(turns))
    for view, depth in read.items():
        expected = np.where(depth == 10.0, 0.0, depth) if is_clamped else depth
        np.testing.assert_array_equal(found[view], expected)
    message = "26% of the known pixels of the depth images have exactly the greatest depth, 10, as"
    assert [note.startswith(message) for note in notes] == [True] * is_clamped


def test_scale_and_shift_are_found_beside_gross_errors():
    rng = np.random.default_rng(0)
    truth = rng.uniform(1.0, 6.0, 400)
    depths = (truth * (1 + 0.01 * rng.normal(size=400)) - 0.8) / 0.35
    depths[:60] = rng.uniform(1.0, 15.0, 60)
    found = align(depths, truth)
    np.testing.assert_allclose([found.scale, found.shift], [0.35, 0.8], rtol=0.05)
    assert found.is_needed
    assert found.is_good


def test_a_scale_alone_is_preferred_where_it_fits():
    rng = np.random.default_rng(0)
    truth = rng.uniform(1.0, 6.0, 400)
    found = align(0.5 * truth * (1 + 0.02 * rng.normal(size=400)), truth)
    np.testing.assert_allclose(found.scale, 2.0, rtol=0.01)
    assert found.shift == 0.0


def test_depths_in_no_relation_to_the_points_are_no_good():
    rng = np.random.default_rng(0)
    found = align(rng.uniform(1.0, 6.0, 400), rng.uniform(1.0, 6.0, 400))
    assert not found.is_good
    assert align(np.ones(10), np.ones(10)) is None


def test_a_scale_that_no_comparison_shows_is_not_found():
    """All cameras at one place: depths of views agree under every scale."""
    depths = np.linspace(1.0, 5.0, 500)
    assert scale_by_views(lambda scale: (scale * depths, scale * 1.02 * depths), 500) is None
    assert scale_by_views(lambda scale: (depths[:3], depths[:3]), 500) is None
