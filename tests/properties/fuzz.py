"""Compiled = interpreted (`compiled.check`) on as many random graphs as you like.

    python tests/properties/fuzz.py --count 20000              # on all cores, about 20 minutes on 2
    python tests/properties/fuzz.py --first 1234 --count 1     # that one again

It stops at the first graph that is computed wrongly, or that touches memory outside its buffers
(which ends the worker with a signal), and says its seed.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import subprocess
import sys
import threading
import time


def main() -> int:
    """Deal the seeds out among worker processes; 1 if one of them failed."""
    parser = argparse.ArgumentParser(description="Random graphs, compiled and interpreted.")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--count", type=int, default=20_000, help="how many (default 20000)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="worker processes")
    parser.add_argument("--target", default="host", help="avx512, avx2, sse2 (default: host)")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker is not None:
        seeds = range(options.first + options.worker, options.first + options.count, options.jobs)
        return work(seeds, options.target)
    jobs = max(1, min(options.jobs, options.count))
    return Deal(options.first, options.count, jobs, options.target).run()


def work(seeds: range, target: str) -> int:
    """Check these seeds; each is said before it is begun."""
    from compiled import check  # here, so that who deals the seeds out starts at once

    from chainrule.backends.cpu.machine.target import preset

    faulthandler.enable()
    for seed in seeds:
        print(seed, flush=True)
        check(seed, preset(target))
    print("done", flush=True)
    return 0


class Deal:
    """The worker processes and what they have said."""

    def __init__(self, first: int, count: int, jobs: int, target: str) -> None:
        self.count, self.done, self.start = count, 0, time.monotonic()
        self.shown = self.start
        own = [sys.executable, __file__, "--first", str(first), "--count", str(count)]
        own += ["--target", target]
        self.workers = [
            subprocess.Popen(
                [*own, "--jobs", str(jobs), "--worker", str(i)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for i in range(jobs)
        ]
        self.at = [""] * jobs
        self.said = [""] * jobs

    def run(self) -> int:
        """Until all are done or one has failed: then 1."""
        listeners = [
            threading.Thread(target=listen, args=(i,))
            for i in range(len(self.workers))
            for listen in (self.listen, self.keep)
        ]
        for listener in listeners:
            listener.start()
        try:
            while any(w.poll() is None for w in self.workers):
                if any(w.poll() for w in self.workers):
                    break
                time.sleep(0.2)
                self.show()
        finally:
            failed = [i for i, w in enumerate(self.workers) if w.poll()]
            for w in self.workers:
                w.terminate()
            for listener in listeners:
                listener.join()
        self.show(last=True)
        for i in failed:
            code = self.workers[i].returncode
            print(f"{self.said[i]}\nseed {self.at[i]} fails (its process ended with {code})")
        return bool(failed)

    def listen(self, i: int) -> None:
        """Where worker i is."""
        for line in self.workers[i].stdout or ():
            self.done += bool(self.at[i])
            self.at[i] = line.strip()

    def keep(self, i: int) -> None:
        """What worker i complains about."""
        for line in self.workers[i].stderr or ():
            self.said[i] += line

    def show(self, last: bool = False) -> None:
        """A line of progress: twice a second on a terminal, twice a minute elsewhere."""
        now, terminal = time.monotonic(), sys.stdout.isatty()
        if now - self.shown < (0.5 if terminal else 30.0) and not last:
            return
        self.shown = now
        rate = self.done / (now - self.start)
        left = f"{(self.count - self.done) / rate / 60:.0f} min" if rate else "?"
        text = f"{self.done} of {self.count} graphs, {rate:.1f} a second, {left} left"
        print(f"\r{text:60}" if terminal else text, end="" if terminal and not last else "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
