"""What the programs of Python share: the workers, their random choices and the report. ../README.md says
what each operation does."""

import asyncio
import os
import random
import sys
import threading
import time
import traceback

SECONDS = float(os.environ["WEIR_SECONDS"])
SEED = int(os.environ["WEIR_SEED"])
CONNECTIONS = int(os.environ["WEIR_CONNECTIONS"])
MIX = {kind: int(weight) for kind, weight in (word.split("=") for word in os.environ["WEIR_MIX"].split(" "))}
GRACE = 20


class Worker:
    """Without operations of its own; `kinds` are those that it has."""

    def __init__(self, number, kinds):
        self.number = number
        self.sequence = 0
        self.schema = f"s{number % 4}"
        self.is_pooled = number >= CONNECTIONS // 2
        if self.is_pooled:
            self.schema = "s0"
        self.doing = None
        self.random = random.Random(SEED * 1000 + number)
        self._kinds = kinds
        self._todo = [kinds[(index + number) % len(kinds)] for index in range(len(kinds))]
        self._weights = [MIX[kind] for kind in kinds]

    def next(self):
        self.sequence += 1
        return self.sequence

    def kind(self):
        """Each once, then at random."""
        return self._todo.pop() if self._todo else self.random.choices(self._kinds, self._weights)[0]


class Report:
    """Any thread; who adds to it waits for nobody."""

    def __init__(self, kinds):
        self.counts = dict.fromkeys(kinds, 0)
        self.unexpected = []
        self.workers = [Worker(number, kinds) for number in range(CONNECTIONS)]
        self.deadline = time.monotonic() + SECONDS
        self._lock = threading.Lock()
        watchdog = threading.Timer(SECONDS + GRACE, self._stuck)
        watchdog.daemon = True
        watchdog.start()

    def done(self, kind):
        with self._lock:
            self.counts[kind] += 1

    def failed(self, worker):
        self.unexpected.append(f"connection {worker.number}, {worker.doing}: {traceback.format_exc()}")

    def _stuck(self):
        self.unexpected += [f"connection {worker.number} is stuck in {worker.doing}"
                            for worker in self.workers if worker.doing]
        self.tell()
        sys.stdout.flush()
        os._exit(1)

    def tell(self):
        for kind, count in self.counts.items():
            print(kind, count)
        for text in self.unexpected:
            print("unexpected:", text)
        return 1 if self.unexpected else 0


def run_threads(operations, begin, end):
    """`operations` is {kind: function(worker)}; begin(worker) and end(worker) are around them."""
    report = Report(list(operations))

    def work(worker):
        try:
            worker.doing = "begin"
            begin(worker)
            while time.monotonic() < report.deadline:
                worker.doing = worker.kind()
                operations[worker.doing](worker)
                report.done(worker.doing)
            worker.doing = "end"
            end(worker)
        except Exception:  # whatever it is, it was not expected
            report.failed(worker)
        worker.doing = None

    threads = [threading.Thread(target=work, args=(worker,)) for worker in report.workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return report.tell()


async def run_tasks(operations, begin, end):
    """The same with coroutines."""
    report = Report(list(operations))

    async def work(worker):
        try:
            worker.doing = "begin"
            await begin(worker)
            while time.monotonic() < report.deadline:
                worker.doing = worker.kind()
                await operations[worker.doing](worker)
                report.done(worker.doing)
            worker.doing = "end"
            await end(worker)
        except Exception:  # whatever it is, it was not expected
            report.failed(worker)
        worker.doing = None

    await asyncio.gather(*(work(worker) for worker in report.workers))
    return report.tell()


def equal(found, wanted):
    if found != wanted:
        raise AssertionError(f"{found!r:.500} came instead of {wanted!r:.500}")
