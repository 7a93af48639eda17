"""Scores of one view, and their means in `eval.json`."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

from nerf.errors import UserError
from nerf.jobs.evaluate import _remove_other_views, _views_with_pixels, even_choice
from nerf.jobs.scoring.scores import Scores, ViewScore, score_view
from nerf.render.flip import flip
from nerf.render.image_metrics import psnr, ssim
from nerf.render.images import RenderedImage
from nerf.render.multiscale_ssim import ms_ssim
from nerf.runs.run_folder import write_json
from nerf.runtime.events import ssim_text
from nerf.scenes.scene import Split, View


def scores_of(*views):
    return Scores(views, Split((), tuple(view.index for view in views)), (5, 5), "exact")


def test_a_score_is_all_measures_of_its_view():
    rng = np.random.default_rng(0)
    image, truth = rng.uniform(size=(2, 14, 17, 3)).astype(np.float32)
    depth = np.full(image.shape[:2], 3.0, np.float32)
    rendered = RenderedImage(image, depth, np.ones_like(depth))
    view = View(1, "b", None, truth)
    scene = SimpleNamespace(depth=None, cameras=SimpleNamespace(sizes=None))
    assert score_view(scene, view, rendered) == ViewScore(
        1, "b", psnr(image, truth), ssim(image, truth), flip=flip(image, truth)
    )
    scene.depth = np.stack([depth, np.full_like(depth, 4.0)])
    assert score_view(scene, view, rendered).depth_error == 0.25
    scene.cameras.sizes = np.array([image.shape[:2], [9, 9]])
    assert score_view(scene, view, rendered).resolution == image.shape[:2]


def test_the_mean_error_of_the_depth_is_there_where_it_is_known():
    result = scores_of(ViewScore(0, "a", 20.0, 0.5, 0.25), ViewScore(16, "b", 23.0, 0.375, 0.75))
    assert result.depth_error == 0.5
    assert [view["depth_error"] for view in result.to_json()["views"]] == [0.25, 0.75]


def test_further_scores_stand_beside_and_their_means_need_all_views():
    views = [
        ViewScore(index, "a", 20.0, 0.5, ms_ssim=0.5 + index / 4, flip=0.25, depth_range=(1.0, 4.0))
        for index in (0, 1)
    ]
    values = scores_of(*views).to_json()
    assert (values["ms_ssim"], values["flip"]) == (0.625, 0.25)
    assert [view["ms_ssim"] for view in values["views"]] == [0.5, 0.75]
    assert values["views"][0]["depth_range"] == (1.0, 4.0)
    small = scores_of(views[0], ViewScore(1, "b", 20.0, 0.5, flip=0.75)).to_json()
    assert "ms_ssim" not in small
    assert small["flip"] == 0.5


def test_a_large_image_has_an_ms_ssim_over_what_is_not_masked():
    rng = np.random.default_rng(0)
    image, truth = rng.uniform(size=(2, 161, 161, 3)).astype(np.float32)
    used = np.ones((161, 161), bool)
    used[:40] = False
    depth = np.ones((161, 161), np.float32)
    for mask in (None, used):
        score = score_view(
            SimpleNamespace(depth=None, cameras=SimpleNamespace(sizes=None)),
            View(0, "a", None, truth, mask),
            RenderedImage(image, depth, depth),
        )
        assert score.ms_ssim == ms_ssim(image, truth, mask)
        assert score.flip == flip(image, truth, mask)


def test_the_json_form_holds_means_views_split_and_labels():
    views = (
        ViewScore(0, "a", 20.0, 0.5),
        ViewScore(16, "b", 23.0, 0.375),
        ViewScore(32, "c", 29.0, 1.0),
    )
    split = Split(train=(1, 2), test=(0, 16, 32))
    labels = {"scene": "flower", "source": "photographs", "step": None}
    result = Scores(views, split, (94, 126), "fast").to_json(**labels)
    assert result == {
        "psnr": 24.0,
        "ssim": 0.625,
        "views": [
            {"index": 0, "name": "a", "psnr": 20.0, "ssim": 0.5},
            {"index": 16, "name": "b", "psnr": 23.0, "ssim": 0.375},
            {"index": 32, "name": "c", "psnr": 29.0, "ssim": 1.0},
        ],
        "split": {"train": [1, 2], "test": [0, 16, 32]},
        "resolution": [94, 126],
        **labels,
        "renderer": "fast",
    }
    assert json.loads(json.dumps(result)) == result


def test_views_that_differ_in_size_say_theirs():
    views = ViewScore(0, "a", 20.0, 0.5, resolution=(48, 64)), ViewScore(1, "b", 20.0, 0.5)
    one, other = scores_of(*views).to_json()["views"]
    assert one["resolution"] == (48, 64)
    assert "resolution" not in other


def test_an_unknown_ssim_leaves_the_mean_unknown_and_the_psnr_known():
    result = scores_of(ViewScore(0, "a", 20.0, math.nan), ViewScore(1, "b", 30.0, 0.5))
    assert result.psnr == pytest.approx(25.0)
    assert math.isnan(result.ssim)


def test_an_ssim_that_is_not_defined_is_null_in_the_file(tmp_path):
    result = scores_of(ViewScore(0, "a", 20.0, math.nan))
    write_json(tmp_path / "eval.json", result.to_json())
    content = json.loads((tmp_path / "eval.json").read_text(), parse_constant=pytest.fail)
    assert (content["ssim"], content["views"][0]["ssim"]) == (None, None)
    assert ssim_text(result.ssim) == "SSIM not defined (a side is below 11 pixels)"


def test_a_part_of_the_held_out_views_says_so():
    view = ViewScore(8, "b", 20.0, 0.5)
    part = Scores((view,), Split((1, 2), (0, 8, 16)), (5, 5), "exact")
    assert part.views_scored == "1 of 3"
    assert part.to_json()["views_scored"] == "1 of 3"
    assert part.to_json()["split"]["test"] == [0, 8, 16]
    assert scores_of(view).views_scored == "1"


@pytest.mark.parametrize("num", range(1, 9))
def test_the_choice_of_views_is_even(num):
    held_out = tuple(range(0, 96, 12))
    chosen = even_choice(held_out, num)
    assert len(chosen) == len(set(chosen)) == num
    assert set(chosen) <= set(held_out)
    gaps = np.diff(chosen)
    assert num == 1 or max(gaps) - min(gaps) <= 12
    mirrored = sorted(84 - index for index in chosen)
    assert np.abs(np.subtract(mirrored, chosen)).max() <= 12  # neither end is preferred


def test_all_views_are_scored_unless_fewer_are_asked_for():
    assert even_choice((0, 8, 16), None) == even_choice((0, 8, 16), 7) == (0, 8, 16)
    with pytest.raises(UserError, match="`eval_views` must be at least 1"):
        even_choice((0, 8), 0)


def test_without_held_out_views_there_are_no_scores_and_the_json_form_says_null():
    none = Scores((), Split((0, 1), ()), (5, 5), "exact", ("a", "b"))
    assert math.isnan(none.psnr)
    assert math.isnan(none.ssim)
    assert none.depth_error is None
    assert none.to_json()["views"] == []
    assert none.to_json()["split_names"] == {"train": ["a", "b"], "test": []}


def test_the_json_form_names_the_views_of_the_split():
    named = Scores((), Split((1,), (0, 2)), (5, 5), "exact", ("a", "b", "c"))
    assert named.to_json()["split_names"] == {"train": ["b"], "test": ["a", "c"]}


def test_drawn_files_of_views_that_are_not_scored_are_removed_and_no_others(tmp_path):
    endings = (".png", "_truth.png", "_error.png", "_comparison.png", "_depth.png", "_depth.npy")
    own = {f"view_{n:03d}{e}" for n in (0, 100, 1000, 1008, 20160) for e in endings}
    others = {"view_1008_mine.txt", "view_12.png", "view_.png", "view_x.png", "overview_001.png"}
    others |= {"view_001.npy", "view_001_mine.png"}
    for name in own | others:
        (tmp_path / name).touch()
    _remove_other_views(tmp_path, (0, 1008, 20160))
    left = {path.name for path in tmp_path.iterdir()}
    assert left == others | {
        n for n in own if n.split(".")[0].split("_")[1] in ("000", "1008", "20160")
    }


def test_a_masked_view_is_scored_over_what_is_left_and_says_so():
    rng = np.random.default_rng(0)
    image, truth = rng.uniform(size=(2, 14, 17, 3)).astype(np.float32)
    used = np.ones((14, 17), bool)
    used[:7] = False
    depth = np.full(image.shape[:2], 3.0, np.float32)
    score = score_view(
        SimpleNamespace(depth=None, cameras=SimpleNamespace(sizes=None)),
        View(1, "b", None, truth, used),
        RenderedImage(image, depth, np.ones_like(depth)),
    )
    assert score.masked == 0.5
    assert (score.psnr, score.ssim) == (psnr(image, truth, used), ssim(image, truth, used))
    assert scores_of(score).to_json()["views"][0]["masked"] == 0.5


def test_views_of_which_a_mask_leaves_nothing_are_not_scored():
    masks = {0: np.zeros((2, 3), bool), 5: np.ones((2, 3), bool), 7: None}
    images = SimpleNamespace(mask_of=masks.get)
    scene = SimpleNamespace(
        image_names={i: f"v{i}" for i in masks}, cameras=dict.fromkeys(masks), images=images
    )
    messages = []
    views = _views_with_pixels(scene, [0, 5, 7], messages.append)
    assert [view.index for view in views] == [5, 7]
    assert messages[0].text == "not scored, since masks leave no pixel: view 0 (v0)"
