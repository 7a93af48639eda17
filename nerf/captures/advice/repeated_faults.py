"""The same fault in many frames or images: one sentence, with a count and the first three."""

import re
from collections.abc import Iterable

from nerf.errors import listed_shortly

_VALUE = re.compile(r"'[^']*'|\"[^\"]*\"|-?[0-9][0-9.e+-]*")


def merge_faults(faults: Iterable[tuple[str, str]], what: str = "frames") -> list[str]:
    """Merges sentences that report the same fault of several frames.

    Args:
      faults: pairs of what is at fault, e.g. `frame 3`, and a sentence on it. Sentences are the
        same if they differ in its name, in quoted words and in numbers alone.
      what: what is at fault, in the plural.

    Returns:
      The first sentence of each kind, with a count if there are several.

    >>> merge_faults([(f"frame {i}", f"frame {i} has no pose") for i in range(5)])
    ['frame 0 has no pose (5 frames have this fault: frame 0, frame 1, frame 2, and 2 more)']
    """
    kinds: dict[str, tuple[str, dict[str, None]]] = {}
    for label, sentence in faults:
        kind = _VALUE.sub("#", sentence)
        kind = kind.replace(_VALUE.sub("#", label), "#") if label else kind
        kinds.setdefault(kind, (sentence, {}))[1][label] = None
    return [
        sentence
        if len(labels) == 1
        else f"{sentence} ({len(labels):,} {what} have this fault: {listed_shortly(labels)})"
        for sentence, labels in kinds.values()
    ]
