"""What a run prints: lines with the time since its start, indented by what they belong to."""

import contextlib
import time


class Log:
    """A log of nested steps. `info`, `warning` and `error` are the names that test scripts know."""

    def __init__(self):
        self._start = time.monotonic()
        self._depth = 0

    def log(self, message, attributes=None):
        machine = f"{attributes['machine']}: " if attributes and "machine" in attributes else ""
        print(f"[{self.elapsed():7.2f}] {'  ' * self._depth}{machine}{message}", flush=True)

    info = warning = error = log

    def elapsed(self):
        """Seconds since the run began."""
        return time.monotonic() - self._start

    @contextlib.contextmanager
    def nested(self, message, attributes=None):
        """Prints a step, indents what is printed inside it, and says how long it took."""
        self.log(message, attributes)
        started = time.monotonic()
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            self.log(f"(finished: {message}, in {time.monotonic() - started:.2f} seconds)", attributes)


log = Log()
