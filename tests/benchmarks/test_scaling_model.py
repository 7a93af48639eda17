"""The model of scaling: what it must be in the limits, and that it finds its own numbers again."""

import doctest
import itertools

import pytest

from benchmarks import scaling_jobs, scaling_model
from benchmarks.scaling_model import Link, StepCost

COST = StepCost(seconds_per_ray=1e-3, own_seconds=0.02, num_bytes=4_000_000)
LINK = Link("wire", 1e9, 1e-4, "")
AT_ONCE = Link("at once", 1e30, 0.0, "")


def efficiency(work, number, link, reduction, num_rays=512):
    found = scaling_model.step_seconds(
        COST, work * num_rays, number, reduction(COST.num_bytes, number, link)
    )
    return scaling_model.efficiency(COST.seconds(num_rays), found, work, number)


def test_a_ring_sends_twice_the_bytes_and_pairs_send_them_each_time():
    assert scaling_model.ring_bytes(100, 2) == scaling_model.doubling_bytes(100, 2) == 100
    assert scaling_model.ring_bytes(100, 1024) == pytest.approx(200, rel=1e-3)
    assert scaling_model.doubling_bytes(100, 1024) == 1000


@pytest.mark.parametrize("number", [2, 8, 1024])
def test_a_sum_takes_the_time_of_its_bytes_and_of_its_messages(number):
    free = LINK._replace(seconds=0.0)
    for seconds, num_bytes, messages in (
        (scaling_model.ring_seconds, scaling_model.ring_bytes, 2 * (number - 1)),
        (scaling_model.doubling_seconds, scaling_model.doubling_bytes, number.bit_length() - 1),
    ):
        of_bytes = seconds(COST.num_bytes, number, free)
        assert of_bytes == pytest.approx(num_bytes(COST.num_bytes, number) / 1e9)
        whole = seconds(COST.num_bytes, number, LINK)
        assert whole - of_bytes == pytest.approx(messages * LINK.seconds)


@pytest.mark.parametrize("reduction", [scaling_model.ring_seconds, scaling_model.doubling_seconds])
def test_a_link_that_takes_no_time_leaves_amdahls_law(reduction):
    share = COST.own_seconds / COST.seconds(512)
    for number in (2, 8, 64):
        strong = efficiency(1, number, AT_ONCE, reduction)
        assert strong == pytest.approx(1.0 / (1.0 + share * (number - 1)))
        assert efficiency(number, number, AT_ONCE, reduction) == pytest.approx(1.0)


@pytest.mark.parametrize("reduction", [scaling_model.ring_seconds, scaling_model.doubling_seconds])
def test_efficiency_falls_with_the_number_and_is_lower_where_the_rays_are_shared(reduction):
    found = [
        (efficiency(1, n, LINK, reduction), efficiency(n, n, LINK, reduction))
        for n in (2, 8, 64, 1024)
    ]
    assert all(0 < strong < weak < 1 for strong, weak in found)
    for before, after in itertools.pairwise(found):
        assert all(a > b for a, b in zip(before, after, strict=True))


def test_processes_that_share_cores_lose_only_what_each_spends_on_its_own():
    alone = COST.seconds(512)
    crowded = scaling_model.step_seconds(COST, 512, 4, 0.0, num_cores=2)
    assert crowded == pytest.approx(512e-3 / 2 + 2 * COST.own_seconds)
    assert scaling_model.efficiency(alone, crowded, 1, 4, num_cores=2) < 1
    free = COST._replace(own_seconds=0.0)
    crowded = scaling_model.step_seconds(free, 512, 4, 0.0, num_cores=2)
    assert scaling_model.efficiency(free.seconds(512), crowded, 1, 4, 2) == pytest.approx(1.0)


def test_measurements_that_follow_the_model_give_its_numbers():
    few, many = ((rays, COST.seconds(rays)) for rays in (256, 512))
    assert scaling_model.fitted_cost(few, many, COST.num_bytes) == pytest.approx(COST)
    small, large = ((size, LINK.message(size)) for size in (4096, COST.num_bytes))
    found = scaling_model.fitted_link("wire", small, large)
    assert found[1:3] == pytest.approx(LINK[1:3])


def test_a_gpu_takes_the_assumed_rays_a_second():
    cost = scaling_model.gpu_cost(147e3, 1024, 2_400_000)
    assert 1024 / cost.seconds(1024) == pytest.approx(147e3)
    assert 0 < cost.own_seconds < 1e-5


def test_predictions_say_what_the_functions_say():
    cost = scaling_model.gpu_cost(5e6, 1024, 30_000_000)
    for link in scaling_model.LINKS:
        found = scaling_model.predict(cost, 1024, link, 8)
        assert found.ring_seconds == scaling_model.ring_seconds(cost.num_bytes, 8, link)
        step = cost.seconds(1024) + found.ring_seconds
        assert found.weak == pytest.approx(cost.seconds(1024) / step)
        assert 0 < found.strong < found.weak < 1
        again = scaling_model.predict(cost, round(found.rays_for_90_percent), link, 8)
        assert again.weak_in_pairs == pytest.approx(0.9, rel=1e-3)
        assert link.source


@pytest.mark.parametrize("module", [scaling_model, scaling_jobs])
def test_examples(module):
    failed, attempted = doctest.testmod(module)
    assert attempted > 0
    assert failed == 0
