"""A progress bar over the time span."""

from collections.abc import Callable
from types import TracebackType
from typing import Any


class ProgressBar:
    """Wraps the function called after every step so that it also moves a bar.

    The bar is made with tqdm, which is imported only where it is shown.
    """

    def __init__(self, observe: Callable[[Any], None], tspan: tuple[float, float], *, shown: bool) -> None:
        self._observe = observe
        self._t0 = tspan[0]
        self._span = abs(tspan[1] - tspan[0])
        self._bar: Any = None
        if shown:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=100.0, desc="solve", unit="%", bar_format="{l_bar}{bar}|{postfix}", leave=True)

    def __enter__(self) -> Callable[[Any], None]:
        return self._observe if self._bar is None else self._move

    def _move(self, step: Any) -> None:
        self._observe(step)
        t = step.end
        self._bar.set_postfix_str(f"t = {t:.4g}", refresh=False)
        self._bar.update(100.0 * abs(t - self._t0) / self._span - self._bar.n)

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()
