"""Normal numbers by key."""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Stream(IntEnum):
    """What numbers are drawn for; each has keys of its own. Those of bridges have one more a level."""

    INCREMENTS = 0
    AREAS = 1
    BRIDGES = 2


_WORD = 1 << 64
_DOUBLE = np.dtype(np.float64)


class KeyedNormals:
    """Independent standard normal numbers, the same for the same key, whatever was drawn before.

    Source: Salmon et al. 2011, *Parallel random numbers: as easy as 1, 2, 3* (the generator Philox, in NumPy).

    Arguments:
        seed: any non-negative whole number.
    """

    def __init__(self, seed: int) -> None:
        self._key = np.random.SeedSequence(seed).generate_state(2, np.uint64)

    def __call__(self, stream: int, index: int, shape: tuple[int, ...], dtype: np.dtype = _DOUBLE) -> NDArray:
        """Numbers of a shape, float32 or float64, for the key `(stream, index)`."""
        # the generator itself counts in the first two words
        counter = np.array([0, 0, index % _WORD, stream], dtype=np.uint64)
        generator = np.random.Generator(np.random.Philox(key=self._key, counter=counter))
        kind = np.float32 if dtype == np.float32 else np.float64
        return np.asarray(generator.standard_normal(shape, dtype=kind))
