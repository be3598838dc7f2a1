"""What a person sees while something takes long: movement, and how much longer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

Tick = Callable[[float], None]

# A pace needs some seconds to be one; what is over soon needs no estimate.
SECONDS_TO_LEARN = 2.0
SECONDS_WORTH_A_WORD = 10.0
SECONDS_BETWEEN_LINES = 30.0


class Pace:
    """The speed of a piece of work, and an estimate of the remaining time.

    Args:
        total: units of work, such as videos.
        clock: seconds that never go back.
    """

    def __init__(self, total: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self.done = 0.0
        self._clock = clock
        self._start: tuple[float, float] | None = None

    def advance(self, count: float) -> None:
        """So much more is done; the first call says what an earlier run had done, or 0."""
        self.done += count
        if self._start is None:
            self._start = (self.done, self._clock())

    def seconds_left(self) -> float | None:
        """At the pace until now; None where there is none yet."""
        if self._start is None:
            return None
        before, started = self._start
        passed = self._clock() - started
        if passed < SECONDS_TO_LEARN or self.done <= before:
            return None
        return (self.total - self.done) * passed / (self.done - before)


class Report:
    """A line when it is first known how long the work will take, and, if wanted, now and then.

    Args:
        description: of the work, such as "evaluating".
        unit: what is counted, in the plural.
        say: takes a line.
        often: lines after the first one, for what shows no bar.
    """

    def __init__(
        self,
        description: str,
        total: float,
        unit: str,
        say: Callable[[str], None],
        *,
        often: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pace = Pace(total, clock)
        self._description, self._unit, self._say = description, unit, say
        self._often, self._clock = often, clock
        self._said: float | None = None

    def advance(self, count: float) -> None:
        """So much more is done; see `Pace.advance`."""
        self.pace.advance(count)
        left = self.pace.seconds_left()
        if left is None or self.pace.done >= self.pace.total:
            return
        if self._said is None:
            if left >= SECONDS_WORTH_A_WORD:
                rest = self.pace.total - self.pace.done
                self._tell(f"about {in_words(left)} for {rest:.0f} {self._unit}")
        elif self._often and self._clock() - self._said >= SECONDS_BETWEEN_LINES:
            done, total = int(self.pace.done), self.pace.total
            self._tell(f"{done} of {total:.0f} {self._unit}, about {in_words(left)} left")

    def _tell(self, words: str) -> None:
        self._said = self._clock()
        self._say(f"{self._description}: {words}")


def in_words(seconds: float) -> str:
    """A time as a person says it.

    >>> in_words(41.2), in_words(700), in_words(8000)
    ('41 s', '12 min', '2 h 13 min')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


@contextmanager
def waiting(description: str, total: float, unit: str, *, progress: bool) -> Iterator[Tick]:
    """Print progress to standard error: a bar in a terminal, elsewhere a line now and then.

    Args:
        description: a word for the work.
        total: units of work.
        unit: what they are, in the plural.
        progress: False shows nothing.

    Yields:
        what to call with the units, or parts of one, that were done since the call before. The
        first call says what was done already: 0 where nothing was.
    """
    if not progress:
        yield lambda count: None
        return
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        # One video may take minutes: a pace over few seconds would be none.
        TimeRemainingColumn(),
        console=console,
        transient=True,
        speed_estimate_period=600,
        disable=not console.is_terminal,
    )
    say = bar.console.print
    report = Report(
        description, total, unit, lambda line: say(line, markup=False), often=bar.disable
    )
    with bar:
        task = bar.add_task(description, total=total)

        def tick(count: float) -> None:
            bar.advance(task, count)
            report.advance(count)

        yield tick
