"""Which images are compared with each other: all pairs, or neighbours in the order of names."""

_NEIGHBOURS = 10  # on each side of an image
_NUM_LANDMARKS = 30  # images, evenly spaced, that are compared with each other
_MAX_EXHAUSTIVE = 100  # images; more would take hours on a CPU
_MAX_EXHAUSTIVE_FRAMES = 40  # of a video, whose order is known


def chosen_matcher(matcher: str, num_images: int, *, is_video: bool) -> str:
    """`exhaustive` or `sequential`; `auto` compares all pairs where that does not take long.

    >>> (
    ...     chosen_matcher("auto", 100, is_video=False),
    ...     chosen_matcher("auto", 100, is_video=True),
    ... )
    ('exhaustive', 'sequential')
    """
    if matcher != "auto":
        return matcher
    most = _MAX_EXHAUSTIVE_FRAMES if is_video else _MAX_EXHAUSTIVE
    return "exhaustive" if num_images <= most else "sequential"


def image_pairs(num_images: int, matcher: str) -> list[tuple[int, int]]:
    """The pairs of images to compare.

    `sequential` compares each image with the next ten, with those 16, 32, 64 ... further on, and
    some evenly spaced images with each other. So a path that returns to its start is closed.

    Args:
      num_images: the number of images, which are in the order in which they were taken.
      matcher: `exhaustive` or `sequential`.

    Returns:
      Indices `(i, j)` with i < j, in order, each once.

    >>> image_pairs(3, "exhaustive")
    [(0, 1), (0, 2), (1, 2)]
    """
    everything = range(num_images)
    if matcher == "exhaustive":
        return [(i, j) for i in everything for j in range(i + 1, num_images)]
    distances = {*range(1, _NEIGHBOURS + 1), *(2**k for k in range(4, 20))}
    step = max(1, -(-num_images // _NUM_LANDMARKS))
    landmarks = range(0, num_images, step)
    pairs = {(i, i + d) for i in everything for d in distances if i + d < num_images}
    return sorted(pairs | {(i, j) for i in landmarks for j in landmarks if i < j})
