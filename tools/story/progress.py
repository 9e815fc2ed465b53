"""What is going on, for whoever waits: a line at each step, and time passing in between."""
import threading
import time
from contextlib import contextmanager

QUIET_SECONDS = 2    # shorter steps say nothing of themselves
EVERY_SECONDS = 10   # between lines, where no line can be written over


class Progress:
    """Writes to a rich console OUT. QUIET: nothing at all, for tests."""

    def __init__(self, out, quiet=False):
        self.out, self.quiet = out, quiet
        self.start = time.monotonic()
        self._hint = ""

    def elapsed(self):
        return time.monotonic() - self.start

    def say(self, text):
        if not self.quiet:
            self.out.print(f"[dim]{self.elapsed():6.1f} s[/]  {text}", highlight=False,
                           soft_wrap=True)

    @contextmanager
    def doing(self, text):
        """While the block runs: that TEXT goes on, and for how long already."""
        if self.quiet:
            yield
            return
        done = threading.Event()
        status = self.out.status(text) if self.out.is_terminal else None
        thread = threading.Thread(target=self._tick, args=(text, done, status), daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _tick(self, text, done, status):
        start = time.monotonic()
        if done.wait(QUIET_SECONDS):
            return
        if status:
            with status:
                while not done.wait(1):
                    status.update(f"{text}: {time.monotonic() - start:.0f} s")
            return
        while True:
            self.say(f"  ... {text}: {time.monotonic() - start:.0f} s so far")
            if done.wait(EVERY_SECONDS):
                return
