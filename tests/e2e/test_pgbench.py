"""pgbench through weir: no transaction fails, and the balances are what the transactions made them."""

import re
import subprocess
import unittest

from pooling import PROFILE_6_1, Pooling, database, scaled
from postgres import Postgres
from relay import ENGINE

PROFILES = ["epoll"] if ENGINE == "epoll" else ["io_uring", "epoll", "io_uring of Linux 6.1"]


def setUpModule():
    global postgres
    postgres = unittest.enterModuleContext(Postgres())


def pooling(profile="auto", **keys):
    prefix = ()
    if profile.endswith("6.1"):
        profile, prefix = "io_uring", PROFILE_6_1
    keys = {"engine": ENGINE if profile == "auto" else profile, "auth_type": "scram-sha-256",
            "default_pool_size": 4} | keys
    return Pooling([database(postgres)], secrets={"app": postgres.passwords["app"]}, prefix=prefix, **keys)


def pgbench(weir, *options):
    done = subprocess.run(["pgbench", *map(str, options)], env=weir.environment(postgres),
                          capture_output=True, text=True, check=False, timeout=600)
    if done.returncode != 0:
        raise AssertionError(f"pgbench {options} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
                             + weir.process.output())
    return done.stdout + done.stderr


class PgbenchTest(unittest.TestCase):
    """-n, no vacuum, everywhere but once: it truncates the history that is counted here."""

    def setUp(self):
        self.n_done = 0  # transactions that wrote something, since the tables were made

    def initialize(self, weir):
        """Its tables, once for all that a test tries."""
        if self.n_done == 0:
            pgbench(weir, "-i", "-q")

    def run_transactions(self, weir, n_clients, n_each, *options):
        said = pgbench(weir, "-n", "-c", n_clients, "-t", n_each, *options)
        n_all = n_clients * n_each
        self.assertIn(f"number of transactions actually processed: {n_all}/{n_all}", said)
        self.assertRegex(said, r"number of failed transactions: 0 \(")
        return n_all

    def check_balances(self):
        sums = postgres.psql("""
            select (select count(*) from pgbench_history), (select sum(abalance) from pgbench_accounts),
                (select sum(bbalance) from pgbench_branches), (select sum(tbalance) from pgbench_tellers),
                (select coalesce(sum(delta), 0) from pgbench_history)""").split("|")
        self.assertEqual(int(sums[0]), self.n_done)
        self.assertEqual(len(set(sums[1:])), 1, f"accounts, branches, tellers, history: {sums[1:]}")

    def check_servers(self, weir, most):
        """What weir holds open at this moment, seen by PostgreSQL."""
        n_servers = postgres.psql("select count(*) from pg_stat_activity where usename = 'app'", "postgres")
        self.assertLessEqual(int(n_servers), most, weir.process.output())
        self.assertGreaterEqual(int(n_servers), 1)

    def test_initialize(self):
        """Its way through weir: COPY, transactions, VACUUM, ALTER TABLE."""
        for steps in ("dtgvp", "dtGvpf"):
            with self.subTest(steps), pooling() as weir:
                pgbench(weir, "-i", "-q", "-I", steps)
                self.assertEqual(postgres.psql("select count(*), sum(abalance) from pgbench_accounts"), "100000|0")
                pgbench(weir, "-t", 1)

    def test_transaction_mode(self):
        n_write, n_read = scaled(10, 4, 500), scaled(30, 10, 5000)
        for profile in PROFILES:
            for reactors in (1, 2):
                with self.subTest(profile, reactors=reactors), pooling(profile, reactors=reactors) as weir:
                    self.initialize(weir)
                    self.n_done += sum(self.run_transactions(weir, 64, n_write, "-M", protocol)
                                       for protocol in ("simple", "extended"))
                    self.check_balances()
                    for protocol in ("simple", "extended"):
                        self.run_transactions(weir, 64, n_read, "-S", "-M", protocol)
                    self.check_servers(weir, 4)

    def test_session_mode(self):
        """Four at a time have a server until they are through; the others wait. Each is a thread of
        its own, because pgbench prepares statements without looking after its other clients."""
        for profile in PROFILES:
            with self.subTest(profile), pooling(profile, pool_mode="session") as weir:
                self.initialize(weir)
                self.n_done += sum(self.run_transactions(weir, 16, scaled(20, 5, 500), "-j", 16, "-M", protocol)
                                   for protocol in ("simple", "extended", "prepared"))
                self.check_balances()
                self.run_transactions(weir, 16, scaled(100, 20, 5000), "-j", 16, "-S", "-M", "prepared")
                self.check_servers(weir, 4)

    def test_connection_for_each_transaction(self):
        with pooling() as weir:
            pgbench(weir, "-i", "-q")
        for mode in ("transaction", "session"):
            with self.subTest(mode), pooling(pool_mode=mode) as weir:
                self.run_transactions(weir, 16, scaled(20, 5, 500), "-S", "-C")
                self.check_servers(weir, 4)


if __name__ == "__main__":
    unittest.main()
