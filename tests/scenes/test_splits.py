"""Which views are held out: none, by names, the files' own, every N-th."""

import pytest

from nerf.captures.capture import Split
from nerf.errors import UserError
from nerf.scenes.splits import Holdout, describe_rule, find_name, make_split

NAMES = ("left/001", "left/002", "right/001", "IMG_3")
GIVEN = Split((0, 1), (2, 3))


@pytest.mark.parametrize(
    ("given", "holdout", "test", "rule"),
    [
        (None, Holdout(2), (0, 2), "every 2nd from 0 on"),
        (None, Holdout(16), (0,), "every 16th from 0 on"),
        (None, Holdout(0), (), "all are for training"),
        (GIVEN, Holdout(2), (2, 3), "from the files"),
        (GIVEN, Holdout(2, use_file_split=False), (0, 2), "every 2nd from 0 on"),
        (GIVEN, Holdout(0, use_file_split=False), (), "all are for training"),
        (GIVEN, Holdout(2, ("IMG_3", "left/001")), (0, 3), "by name"),
        (None, Holdout(0, ("IMG_3", "IMG_3.jpg")), (3,), "by name"),
    ],
)
def test_names_come_first_then_the_files_then_every_nth(given, holdout, test, rule):
    split = make_split(NAMES, given, holdout)
    assert split.test == test
    assert sorted(split.train + split.test) == [0, 1, 2, 3]
    assert describe_rule(given, holdout) == rule


@pytest.mark.parametrize(
    ("num_train", "train"),
    [
        (0, (1, 2, 3, 5, 6)),
        (1, (1,)),
        (2, (1, 6)),
        (3, (1, 3, 6)),
        (5, (1, 2, 3, 5, 6)),
        (9, (1, 2, 3, 5, 6)),
    ],
)
def test_few_training_views_are_an_even_choice_and_leave_the_held_out_ones(num_train, train):
    split = make_split(tuple("abcdefg"), None, Holdout(4, num_train=num_train))
    assert split == Split(train, (0, 4))


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("left/002", 1),
        ("002", 1),
        ("002.JPG", 1),
        ("images/left/001.png", 0),
        ("right\\001.jpg", 2),
        ("./IMG_3.jpeg", 3),
        ("img_3", 3),
    ],
)
def test_a_view_is_found_by_the_name_or_the_file_of_its_image(name, index):
    assert find_name(NAMES, name) == index


def test_an_exact_name_comes_before_an_ending():
    assert find_name(("a/1", "1"), "1") == 1
    assert find_name(("IMG", "img"), "img") == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("001", ["'001' may be views 0 (left/001), 2 (right/001)", "more of its path"]),
        ("IMG_4", ["no view is called 'IMG_4'", "similar names are IMG_3"]),
        ("zzz", ["no view is called 'zzz'", "there are left/001, left/002"]),
        ("", ["no view is called ''"]),
    ],
)
def test_a_name_of_no_view_or_of_several_is_refused(name, words):
    with pytest.raises(UserError) as caught:
        find_name(NAMES, name)
    assert all(word in str(caught.value) for word in ["`holdout_views`", *words])
