"""Clients that come, work, break off and are killed, servers that are terminated, all at random: every
transaction that was answered counts exactly once, and nothing is left over at the end.

WEIR_SEED gives the seed, which is printed.
"""

import os
import random
import threading
import time
import unittest

from postgres import Postgres
from process import wait_until
from relay import SOAK, Relay, ask
from wire import COPY_DONE, FLUSH, SYNC, TERMINATE, batch, copy_data, query

SEED = int(os.environ.get("WEIR_SEED", "1"))
SECONDS = 60 if SOAK else 4
N_CLIENTS = 16
POOL_SIZE = 3
ENDED_BY_OTHERS = ("57P01", "57014", "08006")  # terminated, cancelled, lost


class Worker:
    """One client after the other, each adding rows with this worker's number."""

    def __init__(self, weir, number):
        self.weir = weir
        self.number = number
        self.random = random.Random(f"{SEED} {number}")
        self.n_certain = 0  # rows whose transactions were answered
        self.n_perhaps = 0  # further rows that may be there: the answer was cut off
        self.insert = f"insert into t values ({number})"
        self.failure = None

    def run(self, deadline):
        try:
            while time.monotonic() < deadline:
                with self.weir.client() as client:
                    self.use(client)
        except BaseException as failure:  # told to the main thread
            self.failure = failure

    def use(self, client):
        """Works until this client is at its end."""
        actions = (self.transaction, self.rollback, self.one, self.pipeline, self.copy, self.error,
                   self.goodbye, self.break_off, self.break_off_batch, self.break_off_copy, self.cancelled)
        while self.random.choice(actions)(client):
            pass

    def count(self, answer, n):
        """Whether the client lives on; n rows are there if the last answer says so."""
        if answer.status == "I" and not answer.errors:
            self.n_certain += n
            return True
        if answer.status is None:  # a server that has died with it
            self.n_perhaps += n
        if answer.errors and answer.sqlstate not in ENDED_BY_OTHERS:
            raise answer.errors[0]
        return answer.status == "I"

    def transaction(self, client):
        n = self.random.randrange(1, 4)
        for sql in ["begin"] + [self.insert] * n:
            answer = client.query(sql)
            if answer.status != "T":
                return self.give_up(client, answer)
        answer = client.query("commit")
        return self.count(answer, n)

    def give_up(self, client, answer):
        """A transaction that has been cut off before its end."""
        if answer.sqlstate not in ENDED_BY_OTHERS:
            raise answer.errors[0] if answer.errors else AssertionError(f"status {answer.status}")
        return answer.status == "E" and client.query("rollback").status == "I"

    def rollback(self, client):
        return self.count(client.query(f"begin; {self.insert}; rollback"), 0)

    def one(self, client):
        return self.count(client.query(self.insert), 1)

    def pipeline(self, client):
        n = self.random.randrange(2, 20)
        client.send((batch(self.insert) + SYNC) * n)
        return all([self.count(client.answer(), 1) for _ in range(n)])

    def copy(self, client):
        client.send(query("copy t from stdin"), copy_data(f"{self.number}\n") * 5, COPY_DONE)
        return self.count(client.answer(), 5)

    def error(self, client):
        answer = client.query(f"{self.insert}; select 1/0")
        if answer.sqlstate not in ("22012", *ENDED_BY_OTHERS):
            raise AssertionError(f"no error: {answer.sqlstate}")
        return answer.status == "I"

    def goodbye(self, client):
        """What was asked for before is carried out, unless its server is terminated."""
        client.send(query(self.insert), TERMINATE)
        answer = client.answer()
        self.count(answer, 1)
        return False

    def break_off(self, client):
        client.query(f"begin; {self.insert}")
        self.random.choice((client.close, client.reset))()
        return False

    def break_off_batch(self, client):
        client.send(batch(self.insert), FLUSH if self.random.random() < 0.5 else b"")
        client.close()
        return False

    def break_off_copy(self, client):
        client.send(query("copy t from stdin"), copy_data(f"{self.number}\n")[:self.random.choice((4, 7))])
        client.close()
        return False

    def cancelled(self, client):
        client.send(query("select pg_sleep(1)"))
        client.cancel()
        answer = client.answer()
        if answer.sqlstate not in (None, *ENDED_BY_OTHERS):
            raise answer.errors[0]
        return answer.status == "I"


class ChaosTest(unittest.TestCase):
    def test_every_answer_is_true(self):
        print(f"seed {SEED}", flush=True)
        with Postgres() as postgres, Relay(postgres, POOL_SIZE, log_disconnections=False,
                                           log_connections=False) as weir:
            postgres.psql("create table t (a int)")
            self.play(postgres, weir)

    def play(self, postgres, weir):
        deadline = time.monotonic() + SECONDS
        workers = [Worker(weir, number) for number in range(N_CLIENTS)]
        threads = [threading.Thread(target=worker.run, args=(deadline,)) for worker in workers]
        for thread in threads:
            thread.start()
        self.terminate_some(postgres, deadline)
        for thread in threads:
            thread.join()
        for worker in workers:
            if worker.failure is not None:
                raise worker.failure
        self.assert_counts(postgres, workers)
        wait_until(lambda: not ask(postgres, "select 1 from pg_stat_activity"
                                   " where usename = 'app' and state <> 'idle'"))
        n_backends = len(ask(postgres, "select 1 from pg_stat_activity where usename = 'app'"))
        self.assertLessEqual(n_backends, POOL_SIZE)
        wait_until(lambda: [weir.show("pools")[0][name] for name in ("sv_active", "cl_waiting")] == ["0", "0"])

    def terminate_some(self, postgres, deadline):
        chance = random.Random(SEED)
        while time.monotonic() < deadline:
            ask(postgres, "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'"
                f" order by pid limit {chance.randrange(2)}")
            threading.Event().wait(chance.random() / 5)

    def assert_counts(self, postgres, workers):
        rows = postgres.psql("select a, count(*) from t group by a").split()
        found = dict(map(int, row.split("|")) for row in rows)
        for worker in workers:
            n = found.get(worker.number, 0)
            self.assertGreaterEqual(n, worker.n_certain, f"worker {worker.number} has lost rows")
            self.assertLessEqual(n, worker.n_certain + worker.n_perhaps, f"worker {worker.number}")
        self.assertGreater(sum(worker.n_certain for worker in workers), 100)
        self.assertLess(sum(worker.n_perhaps for worker in workers), 100)


if __name__ == "__main__":
    unittest.main()
