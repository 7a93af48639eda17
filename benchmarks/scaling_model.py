"""How long a step takes on several processes, from what one process and one link show.

A step computes the gradient of its share of the rays, adds one buffer over all processes, and
updates all parameters. The model assumes:

* the first part takes time in proportion to the rays of a process (a GPU with too few rays to be
  busy takes longer);
* drawing the batch, the optimiser and the launch of programs take each process the same time,
  however many there are, since each has the whole state;
* the buffer is added once the whole gradient is there, so that no computation hides it, and every
  process is ready at the same time: none is slower than another;
* each process has a link of its own; a message takes a constant time and its bytes over the
  bandwidth of the link, and adding what has arrived takes no time;
* processes that share a core take turns without loss.
"""

import math
from typing import NamedTuple


class Link(NamedTuple):
    """What connects two neighbours.

    Attributes:
      name: for tables.
      bytes_per_second: in one direction.
      seconds: that a message takes beside its bytes.
      source: of both.
    """

    name: str
    bytes_per_second: float
    seconds: float
    source: str

    def message(self, num_bytes: float) -> float:
        """Seconds of one message.

        >>> Link("", 1e9, 1e-6, "").message(1e6)
        0.001001
        """
        return self.seconds + num_bytes / self.bytes_per_second


# Nominal rates, of which programs reach some nine tenths. The seconds of a message are assumed: the
# order of what NCCL needs for a hop by NVLink and by InfiniBand, and of TCP in one building.
LINKS = (
    Link(
        "NVLink",
        450e9,
        2e-6,
        "H200: 900 GB/s, both directions of a GPU together (mlcommons/inference_results_v4.1, "
        "closed/NVIDIA/systems/H200-SXM-141GBx8_TRT_MaxQ.json); the time is assumed",
    ),
    Link(
        "InfiniBand",
        50e9,
        5e-6,
        "ConnectX-7: NDR, 400 Gb/s a port (docs.nvidia.com/networking/display/mms4x00ns400); one "
        "port for each GPU and the time are assumed",
    ),
    Link(
        "10 GbE",
        1.25e9,
        50e-6,
        "IEEE 802.3ae: 10 Gb/s; one GPU in each machine and the time are assumed",
    ),
)
NUM_GPUS = (8, 64, 1024)
# No GPU has been measured yet, so the rays of a second are assumed. `notebook`: 0.68 GFLOP of
# matrix products a ray at 100 TFLOP/s; `planes`: the goal of this project for one GPU.
ASSUMED_RAYS_PER_SECOND = {"notebook": 147e3, "planes": 5e6}
GPU_MEMORY_BYTES_PER_SECOND = 4.8e12  # of an H200
_PASSES_OF_ADAM = 7  # parameter, gradient and two moments are read, all but the gradient written


class StepCost(NamedTuple):
    """What one process alone needs for a step.

    Attributes:
      seconds_per_ray: that the processes share.
      own_seconds: that each spends, however many there are.
      num_bytes: of the buffer that is added over the processes.
    """

    seconds_per_ray: float
    own_seconds: float
    num_bytes: int

    def seconds(self, num_rays: float) -> float:
        """Of a step of one process alone."""
        return self.own_seconds + self.seconds_per_ray * num_rays


def fitted_cost(few: tuple[int, float], many: tuple[int, float], num_bytes: int) -> StepCost:
    """The cost that explains two measurements of one process alone.

    Where more rays took less time, by chance, the rays cost nothing.

    Args:
      few: a number of rays, and seconds a step.
      many: the same for more rays.
      num_bytes: of the buffer.

    >>> fitted_cost((100, 3.0), (200, 5.0), 8)
    StepCost(seconds_per_ray=0.02, own_seconds=1.0, num_bytes=8)
    >>> fitted_cost((100, 3.0), (200, 2.0), 8)
    StepCost(seconds_per_ray=0.0, own_seconds=3.0, num_bytes=8)
    """
    (few_rays, few_seconds), (many_rays, many_seconds) = few, many
    per_ray = max(0.0, (many_seconds - few_seconds) / (many_rays - few_rays))
    own = max(0.0, few_seconds - per_ray * few_rays)
    return StepCost(per_ray, own, num_bytes)


def fitted_link(name: str, small: tuple[int, float], large: tuple[int, float]) -> Link:
    """The link that explains two measurements of a sum over two processes, each one message.

    Args:
      name: of the link.
      small: bytes of a small buffer, and the seconds of its sum.
      large: the same for a large one.
    """
    (few, few_seconds), (many, many_seconds) = small, large
    rate = (many - few) / max(many_seconds - few_seconds, 1e-9)
    return Link(name, rate, max(0.0, few_seconds - few / rate), "measured")


def ring_seconds(num_bytes: int, num_processes: int, link: Link) -> float:
    """A sum by a ring: all processes have it after 2 (n - 1) messages of bytes / n.

    P. Patarasuk and X. Yuan, Bandwidth optimal all-reduce algorithms for clusters of workstations,
    Journal of Parallel and Distributed Computing 69 (2009).

    >>> ring_seconds(4_000_000, 2, Link("", 1e9, 0.0, ""))
    0.004
    """
    n = num_processes
    return 2 * (n - 1) * link.message(num_bytes / n)


def doubling_seconds(num_bytes: int, num_processes: int, link: Link) -> float:
    """A sum in pairs, pairs of pairs and so on: log2(n) messages of the whole buffer.

    This is what `nerf.runtime.fixed_order` does, so that the result does not depend on the number
    of processes.

    >>> doubling_seconds(4_000_000, 8, Link("", 1e9, 0.0, ""))
    0.012
    """
    return math.log2(num_processes) * link.message(num_bytes)


def ring_bytes(num_bytes: int, num_processes: int) -> float:
    """That one process sends in a ring."""
    return 2 * (num_processes - 1) / num_processes * num_bytes


def doubling_bytes(num_bytes: int, num_processes: int) -> float:
    """That one process sends in pairs, pairs of pairs and so on."""
    return math.log2(num_processes) * num_bytes


def step_seconds(
    cost: StepCost,
    num_rays: float,
    num_processes: int,
    reduction: float,
    num_cores: int | None = None,
) -> float:
    """A step on several processes.

    Args:
      cost: of one process alone.
      num_rays: of all processes together.
      num_processes: that share them.
      reduction: seconds of the sum of the buffer.
      num_cores: that the processes share; None for one each.
    """
    each = cost.seconds(num_rays / num_processes)
    return each * num_processes / _busy(num_processes, num_cores) + reduction


def efficiency(
    one: float, several: float, work: float, num_processes: int, num_cores: int | None = None
) -> float:
    """How much of the time of all cores goes into work that one process would do as well.

    Args:
      one: seconds of a step of one process alone.
      several: seconds of a step of all processes.
      work: rays of that step by those of the step of one process: 1 where the same rays are shared
        (strong scaling), the number of processes where each has as many (weak scaling).
      num_processes: how many there are.
      num_cores: that they share; None for one each.

    >>> (
    ...     efficiency(8.0, 2.0, 1, 4),
    ...     efficiency(8.0, 10.0, 4, 4),
    ...     efficiency(8.0, 4.0, 1, 4, 2),
    ... )
    (1.0, 0.8, 1.0)
    """
    return work * one / (_busy(num_processes, num_cores) * several)


def _busy(num_processes: int, num_cores: int | None) -> int:
    """The cores that have something to do."""
    return num_processes if num_cores is None else min(num_processes, num_cores)


class Prediction(NamedTuple):
    """Of a number of GPUs with one kind of link.

    Attributes:
      link, num_gpus: what is predicted.
      ring_seconds: of the sum by a ring.
      doubling_seconds: of the sum in pairs.
      strong: efficiency where all GPUs share the rays of one step, by a ring.
      weak: efficiency where each GPU has as many rays, by a ring.
      strong_in_pairs, weak_in_pairs: the same with the sum in pairs.
      rays_for_90_percent: of each GPU, for a weak efficiency of 90 % with the sum in pairs.
    """

    link: str
    num_gpus: int
    ring_seconds: float
    doubling_seconds: float
    strong: float
    weak: float
    strong_in_pairs: float
    weak_in_pairs: float
    rays_for_90_percent: float


def gpu_cost(rays_per_second: float, num_rays: int, num_bytes: int) -> StepCost:
    """The cost of a step on a GPU of a given speed, in rays a second, with `num_rays` a step.

    What each GPU spends is the time in which its memory moves the arrays of Adam.
    """
    own = min(_PASSES_OF_ADAM * num_bytes / GPU_MEMORY_BYTES_PER_SECOND, num_rays / rays_per_second)
    return StepCost((num_rays / rays_per_second - own) / num_rays, own, num_bytes)


def predict(cost: StepCost, num_rays: int, link: Link, num_gpus: int) -> Prediction:
    """The efficiency of many GPUs.

    Args:
      cost: of one GPU.
      num_rays: of a step of one GPU; with strong scaling all share them.
      link: of each GPU.
      num_gpus: how many.
    """
    one = cost.seconds(num_rays)

    def found(work: int, reduction: float) -> float:
        several = step_seconds(cost, work * num_rays, num_gpus, reduction)
        return efficiency(one, several, work, num_gpus)

    ring = ring_seconds(cost.num_bytes, num_gpus, link)
    pairs = doubling_seconds(cost.num_bytes, num_gpus, link)
    return Prediction(
        link.name,
        num_gpus,
        ring,
        pairs,
        strong=found(1, ring),
        weak=found(num_gpus, ring),
        strong_in_pairs=found(1, pairs),
        weak_in_pairs=found(num_gpus, pairs),
        rays_for_90_percent=max(0.0, 9.0 * pairs - cost.own_seconds) / cost.seconds_per_ray,
    )
