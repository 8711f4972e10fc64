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

from process import Process

DEV = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../dev")


class RunTest(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = temporary.name
        os.chmod(self.folder, 0o755)

    def start(self, *arguments):
        # Packages are not this test's subject, and there is no terminal to ask at.
        environment = os.environ | {"TMPDIR": self.folder, "CI": "true"}
        return Process([DEV, "run", *arguments], env=environment)

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

    def test_psql_line_works_and_stop_leaves_nothing(self):
        for signum in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(signum.name), self.start() as run:
                run.wait_for("Ctrl-C stops", timeout=120)
                assignment, *command = shlex.split(run.wait_for("^ *PGPASSWORD="))
                name, password = assignment.split("=")
                done = subprocess.run([*command, "-Atc", "select 6 * 7"], env=os.environ | {name: password},
                                      capture_output=True, text=True, check=False)
                self.assertEqual((done.stdout, done.stderr), ("42\n", ""))
                self.assertEqual(run.stop(signum), 0, run.output())
                self.assert_nothing_left(int(command[command.index("-p") + 1]))

    def test_server_of_ones_own(self):
        with self.start("--server", "127.0.0.1:1") as run:
            run.wait_for("Ctrl-C stops", timeout=120)
            self.assertRegex(run.output(), r'host = "127\.0\.0\.1"; port = 1;')
            self.assertEqual(run.stop(signal.SIGINT), 0)
            self.assert_nothing_left(1)

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
