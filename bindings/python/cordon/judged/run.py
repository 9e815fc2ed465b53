"""Running the machine: examples by number or by time, from a seed."""
import time

from hypothesis import HealthCheck, Phase, seed as seeded, settings
from hypothesis.stateful import run_state_machine_as_test

from .machine import machine_of

BATCH, STEPS, EVERY_S = 100, 40, 10.0


class Failure(AssertionError):
    """A program that fails, and why. `program` is its text, `found_at` the step that first failed."""

    def __init__(self, machine, error, seed):
        self.error, self.found_at = error, getattr(machine, "found_at", None)
        self.program = "(none: it could not begin)" if machine.latest is None else machine.latest.program
        super().__init__(f"{machine.backend}/{machine.variant}, seed {seed}: failed at step {self.found_at}\n"
                         f"{type(error).__name__}: {getattr(error, 'text', error)}\n"
                         f"---- the program:\n{self.program}")


class TimeIsUp(BaseException):
    """Past what Hypothesis takes for a failure."""


def timed(machine, deadline, tell):
    """MACHINE with `found_at`, the number of the step that failed first. Once the DEADLINE has passed no
    further example begins, unless one has failed: shorter programs may take their time."""
    class Timed(machine):
        found_at, started, said, over = None, time.monotonic(), time.monotonic(), False

        def __init__(self):
            late = deadline is not None and time.monotonic() > deadline
            if late and self.examples and self.found_at is None:
                type(self).over = True
                raise TimeIsUp
            super().__init__()

        def _step(self, name, **drawn):
            cls, now = type(self), time.monotonic()
            if tell and now - cls.said > EVERY_S:
                cls.said = now
                tell(f"  {self.backend}/{self.variant}: {now - cls.started:5.0f} s, {cls.examples} examples, "
                     f"{cls.steps} steps" + (" (making it shorter)" if cls.found_at else ""))
            try:
                super()._step(name, **drawn)
            except BaseException as error:
                if tell and cls.found_at is None:
                    tell(f"  step {cls.steps} fails: {getattr(error, 'text', error)}"[:600])
                cls.found_at = cls.found_at or cls.steps
                raise

        def teardown(self):
            try:
                super().teardown()
            except BaseException:
                type(self).found_at = self.found_at or self.steps
                raise
    Timed.__name__ = machine.__name__
    return Timed


def run_examples(machine, seed, count, steps=STEPS, shrink=True):
    """COUNT examples of MACHINE from SEED; Failure."""
    chosen = settings(max_examples=count, stateful_step_count=steps, deadline=None, database=None,
                      suppress_health_check=list(HealthCheck), print_blob=False, report_multiple_bugs=False,
                      phases=(Phase.generate, Phase.shrink)[:1 + shrink])
    try:
        run_state_machine_as_test(seeded(seed)(machine), settings=chosen)
    except (Exception, TimeIsUp) as error:
        if not getattr(machine, "over", False):  # else Hypothesis takes the end for a flaky test
            raise Failure(machine, error, seed) from error


def run(backend, variant, seed, seconds, tell=None, shrink=True, **world):
    """Examples for so many seconds; a line that says how much it was. Failure."""
    start = time.monotonic()
    deadline = start + seconds
    machine, batch = timed(machine_of(backend, variant, **world), deadline, tell), 0
    while batch == 0 or time.monotonic() < deadline:
        run_examples(machine, seed + batch, BATCH, shrink=shrink)
        batch += 1
    order = "with" if machine.latest.context.order is not None else "without"
    told = f"; excused: {', '.join(sorted(machine.excuses))}" if machine.excuses else ""
    return (f"{backend}/{variant}: {machine.examples} examples, {machine.steps} steps in "
            f"{time.monotonic() - start:.0f} s, {order} the order checker: no difference{told}")


__all__ = ["Failure", "run", "run_examples", "timed"]
