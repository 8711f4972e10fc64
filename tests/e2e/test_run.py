"""`./dev run` from a user's seat: what it prints works, and Ctrl-C leaves nothing behind."""

import glob
import os
import re
import shlex
import signal
import socket
import subprocess
import tempfile
import unittest

from postgres import Postgres
from process import Process

DEV = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../dev")

# What the caller has set for psql is not this test's subject, and users have no PostgreSQL to copy.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "WEIR_POSTGRES"))}


class Command:
    """A line that is shown to be typed."""

    def __init__(self, line):
        words = shlex.split(line)
        self.environment = dict(word.split("=", 1) for word in words if word.startswith("PGPASSWORD="))
        self.words = words[len(self.environment):]

    @property
    def port(self):
        return int(self.words[self.words.index("-p") + 1])

    def process(self, *arguments):
        return Process([*self.words, *arguments], env=ENVIRONMENT | self.environment)

    def execute(self, *arguments):
        return subprocess.run([*self.words, *arguments], env=ENVIRONMENT | self.environment,
                              capture_output=True, text=True, check=False)


class RunTest(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = temporary.name
        os.chmod(self.folder, 0o755)

    def start(self, *arguments, **environment):
        # Packages are not this test's subject, and there is no terminal to ask at.
        return Process([DEV, "run", *arguments],
                       env=ENVIRONMENT | {"TMPDIR": self.folder, "CI": "true"} | environment)

    def commands(self, run):
        run.wait_for("Ctrl-C stops", timeout=120)
        return [Command(line) for line in run.lines if re.match(r" +(PGPASSWORD=\S+ )?(psql|pgbench) ", line)]

    def assert_nothing_left(self, port):
        self.assertEqual(os.listdir(self.folder), [])
        for path in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                with open(path, encoding="utf-8", errors="replace") as file:
                    self.assertNotIn(self.folder, file.read())
            except (FileNotFoundError, ProcessLookupError):
                pass
        with socket.socket() as probe:
            self.assertNotEqual(probe.connect_ex(("127.0.0.1", port)), 0)

    def test_psql_lines_work_and_stop_leaves_nothing(self):
        for signum in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(signum.name), self.start() as run:
                psql, show_pools, *_ = self.commands(run)
                done = psql.execute("-Atc", "select 6 * 7")
                self.assertEqual((done.stdout, done.stderr), ("42\n", ""))
                done = show_pools.execute("-At")
                self.assertEqual((done.stdout[:8], done.stderr), ("app|app|", ""))
                self.assertEqual(run.stop(signum), 0, run.output())
                self.assert_nothing_left(psql.port)

    def test_pgbench_lines_work_and_stop_ends_what_runs(self):
        with self.start() as run:
            _, _, init, bench = self.commands(run)
            self.assertEqual(init.execute().returncode, 0)
            done = bench.execute("-T", "1")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(done.stdout, r"number of clients: 50\n(.*\n)*number of failed transactions: 0 ")
            with bench.process("-P", "1") as load:
                load.wait_for("^progress: 1")
                self.assertEqual(run.stop(signal.SIGINT), 0, run.output())
                self.assertNotEqual(load.wait(), 0)
                self.assertRegex(load.output(), "weir is shutting down")
            self.assert_nothing_left(bench.port)

    def test_server_of_ones_own(self):
        with Postgres() as postgres:
            for password in (postgres.passwords["app"], None):
                environment = {"PGUSER": "app"} | ({"PGPASSWORD": password} if password is not None else {})
                with self.subTest(password=password), \
                        self.start("--server", f"127.0.0.1:{postgres.port}", **environment) as run:
                    psql, _ = self.commands(run)
                    done = psql.execute("-Atc", "select current_user")
                    if password is not None:
                        self.assertEqual((done.stdout, done.stderr), ("app\n", ""))
                    else:
                        self.assertRegex(done.stderr, "password")
                    self.assertEqual(run.stop(signal.SIGINT), 0)

    def test_wrong_server(self):
        with self.start("--server", "nowhere") as run:
            self.assertEqual(run.wait(), 2)
            self.assertRegex(run.output(), "HOST:PORT is wanted")

    def test_daemon_that_dies(self):
        with self.start() as run:
            run.wait_for("Ctrl-C stops", timeout=120)
            pid = re.search(r"\bready\b.*\bpid=(\d+)", run.output()).group(1)
            os.kill(int(pid), signal.SIGKILL)
            self.assertEqual(run.wait(), 1)
            self.assertEqual(os.listdir(self.folder), [])


if __name__ == "__main__":
    unittest.main()
