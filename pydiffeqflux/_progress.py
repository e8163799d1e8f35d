"""A progress bar over the time span."""

from types import TracebackType
from typing import Any


class ProgressBar:
    """Shows how far a solve has come, as a context. It is made with tqdm, which is imported only where it is shown.

    Arguments:
        tspan: start and end time.
        shown: whether there is a bar at all.
    """

    def __init__(self, tspan: tuple[float, float], *, shown: bool) -> None:
        self.shown = shown
        self._t0 = tspan[0]
        self._span = abs(tspan[1] - tspan[0])
        self._bar: Any = None

    def __enter__(self) -> "ProgressBar":
        if self.shown:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=100.0, desc="solve", unit="%", bar_format="{l_bar}{bar}|{postfix}", leave=True)
        return self

    def move_to(self, t: float) -> None:
        """Show that the solve has reached `t`."""
        if self._bar is not None:
            self._bar.set_postfix_str(f"t = {t:.4g}", refresh=False)
            self._bar.update(100.0 * abs(t - self._t0) / self._span - self._bar.n)

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()
