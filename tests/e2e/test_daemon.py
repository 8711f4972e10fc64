"""The daemon as a process: signals, reload, the command line."""

import glob
import os
import re
import signal
import subprocess
import unittest

from daemon import children, config, read, started, threads
from process import unprivileged, wait_until
from relay import PROGRAM

MISSING = "/does-not-exist"


class SignalTest(unittest.TestCase):
    def test_stop(self):
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            with self.subTest(signal=signum.name), started() as weir:
                weir.wait_until_ready()
                self.assertEqual(weir.process.stop(signum), 0)

    def test_stop_says_so(self):
        with started() as weir:
            weir.wait_until_ready()
            weir.process.stop()
            self.assertRegex(weir.process.lines[-1], "stopped")

    def test_second_signal(self):
        with started() as weir:
            weir.wait_until_ready()
            for _ in range(2):
                weir.process.send(signal.SIGTERM)
            self.assertEqual(weir.process.wait(), 0)

    def test_abort(self):
        with started(prefix=("prlimit", "--core=0:0")) as weir:
            weir.wait_until_ready()
            self.assertEqual(weir.process.stop(signal.SIGABRT), -signal.SIGABRT)

    def test_signals_that_do_nothing_yet(self):
        with started() as weir:
            weir.wait_until_ready()
            for signum in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE):
                weir.process.send(signum)
            weir.reload()
            self.assertEqual(weir.process.stop(), 0)

    def test_stop_during_a_check(self):
        with started() as weir:
            weir.wait_until_ready()
            weir.write("weir.conf", config("// " + "x" * (15 << 20)))
            weir.process.send(signal.SIGHUP)
            self.assertEqual(weir.process.stop(), 0)
            left = [path for path in glob.glob("/proc/[0-9]*/cmdline") if runs(path, weir.folder)]
            self.assertEqual(left, [])


def runs(cmdline, folder):
    try:
        with open(cmdline, encoding="utf-8", errors="replace") as file:
            return folder in file.read()
    except (FileNotFoundError, ProcessLookupError):
        return False


# text of the configuration, what the log must say
REFUSED = {
    "syntax error": ("weir = { reactors = ; };", r"weir\.conf:1: syntax error"),
    "unknown key": ("weir = {\nreactor = 2; };", r"weir\.conf:2: .*reactor.*did you mean .*reactors"),
    "wrong type": ("weir = {\nreactors = \"two\"; };", r"weir\.conf:2: weir\.reactors.*accepted: "),
    "out of range": ("weir = { reactors = 65; };", r"weir\.conf:1: weir\.reactors = 65; accepted: "),
    "wraps to 1": ("weir = { reactors = 4294967297; };", r"weir\.reactors = 4294967297; accepted: "),
    "wraps to -1": ("weir = { reactors = 99999999999999999999; };", r"weir\.conf:1: "),
    "zero byte": ('weir = { auth_file = "a\\x00b"; };', r"zero bytes are not possible"),
    "real zero byte": ("weir = { \0 };", r"weir\.conf:1: "),
    "trailing comma": ("weir = { };\nusers = ( { name = \"a\"; }, );", r"no ',' may follow the last one"),
    "unit without quotes": ("weir = { query_wait_timeout = 30s; };", r"stands in double quotes"),
    "duplicate": ("weir = { reactors = 1; reactors = 2; };", r"reactors is set twice"),
    "include cycle": ('@include "weir.conf"\nweir = { };', r"it includes itself"),
    "include of a folder": ('@include "."\nweir = { };', r"it is a folder"),
    "include of nothing": ('@include "gone.conf"\nweir = { };', r"gone\.conf.*No such file or directory"),
    "include of a FIFO": ('@include "fifo"\nweir = { };', r"not a regular file"),
    "too large": ("weir = { };\n//" + "x" * (17 << 20), r"larger than 16 MB"),
    "empty": ("", r"weir: the group is missing"),
}


class ReloadTest(unittest.TestCase):
    def check_refused(self, weir, message):
        line_before = len(weir.process.lines)
        self.assertIn("reload failed", weir.reload())
        self.assertRegex("\n".join(weir.process.lines[line_before:]), message)

    def limit_files(self, weir, size):
        limit = ["prlimit", f"--pid={weir.process.pid}", f"--fsize={size}:unlimited"]
        subprocess.run(unprivileged(limit), check=True)

    def test_good_bad_good(self):
        with started() as weir:
            weir.wait_until_ready()
            os.mkfifo(os.path.join(weir.folder, "fifo"), 0o666)
            for name, (text, message) in REFUSED.items():
                with self.subTest(name):
                    weir.write("weir.conf", text)
                    self.check_refused(weir, message)
                    self.assertIn("reloaded", weir.reload(config()))
            self.assertEqual(children(weir.process.pid), [])
            self.assertEqual(weir.process.stop(), 0)

    def test_file_that_is_no_file(self):
        with started() as weir:
            weir.wait_until_ready()
            for make, message in ((lambda path: None, "No such file or directory"),
                                  (os.mkdir, "it is a folder"), (os.mkfifo, "not a regular file")):
                os.unlink(weir.path)
                make(weir.path)
                self.check_refused(weir, message)
                if os.path.isdir(weir.path):
                    os.rmdir(weir.path)
                self.assertIn("reloaded", weir.reload(config()))

    def test_parser_that_dies(self):
        """A limit on the size of files kills the check as soon as it prints; the daemon lives."""
        with started() as weir:
            weir.wait_until_ready()
            self.limit_files(weir, "0")
            self.check_refused(weir, r"ended by signal 25 \(File size limit exceeded\)")
            self.limit_files(weir, "unlimited")
            self.assertIn("reloaded", weir.reload())

    def test_keys_that_need_a_restart_are_named(self):
        """As long as they differ from what the daemon was started with."""
        one_reactor = config().replace("reactors = 2", "reactors = 1")
        with started() as weir:
            weir.wait_until_ready()
            for text, is_named in ((one_reactor, True), (one_reactor, True), (config(), False)):
                line_before = len(weir.process.lines)
                self.assertIn("reloaded", weir.reload(text))
                said = "\n".join(weir.process.lines[line_before:])
                self.assertEqual("needs a restart key=reactors" in said, is_named, said)
            self.assertIn("reactor-1", threads(weir.process.pid))

    def test_file_of_the_log(self):
        with started() as weir:
            weir.wait_until_ready()
            log = os.path.join(weir.folder, "log")
            weir.write("weir.conf", config(f'logfile = "{log}";'))
            for _ in range(2):
                weir.process.send(signal.SIGHUP)
                wait_until(lambda: os.path.exists(log) and "reloaded" in read(log))
                os.rename(log, log + ".1")
            weir.write("weir.conf", config('logfile = "/gone/log";'))
            weir.process.send(signal.SIGHUP)
            wait_until(lambda: "log goes on where it went logfile=/gone/log" in read(log + ".1"))

    def test_level_of_the_log(self):
        for option, levels in (("-q", {"WARNING"}), ("-qq", set()), ("-v", {"INFO", "WARNING"})):
            with self.subTest(option), started(options=[option]) as weir:
                wait_until(lambda: "reactor-1" in threads(weir.process.pid))
                self.assertEqual(weir.process.stop(), 0)
                found = set(re.findall(r"\] ([A-Z]+) control: ", weir.process.output()))
                self.assertEqual(found, levels)
        with started(config('log_level = "error";')) as weir:
            wait_until(lambda: "reactor-1" in threads(weir.process.pid))
            self.assertIn("reloaded", weir.reload(config()))

    def test_program_that_was_replaced(self):
        with started() as weir:
            weir.wait_until_ready()
            os.unlink(weir.program)
            self.assertIn("reloaded", weir.reload())

    def test_many_at_once(self):
        """A signal that comes during a check starts another one after it: the last file counts."""
        with started() as weir:
            weir.wait_until_ready()
            weir.reload()
            n_open = len(os.listdir(f"/proc/{weir.process.pid}/fd"))
            seen = len(weir.process.lines)
            for _ in range(50):
                weir.process.send(signal.SIGHUP)
            weir.write("weir.conf", "weir = { reactors = 65; };")
            weir.process.send(signal.SIGHUP)
            weir.process.wait_for(r"\breload failed\b.*reactors = 65", seen)
            wait_until(lambda: children(weir.process.pid) == [])
            self.assertIn("reload failed", weir.process.lines[-1])
            wait_until(lambda: len(os.listdir(f"/proc/{weir.process.pid}/fd")) == n_open)
            self.assertIn("reloaded", weir.reload(config()))


class CommandTest(unittest.TestCase):
    def test_bad_configuration(self):
        with started("weir = { reactors = 65; };") as weir:
            self.assertEqual(weir.process.wait(), 1)
            self.assertRegex(weir.process.output(), r"weir\.conf:1: weir\.reactors = 65; accepted: ")

    def run_program(self, *arguments):
        return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, check=False)

    def test_check(self):
        with started() as weir:
            good = subprocess.run(weir.command("-t", weir.path), capture_output=True, text=True, check=False)
            self.assertEqual((good.returncode, good.stdout), (0, f"{weir.path}: ok\n"))
            bad = weir.write("bad.conf", "weir = {\nreactors = 65; };")
            done = subprocess.run(weir.command("-t", bad), capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertRegex(done.stderr, r"bad\.conf:2: weir\.reactors = 65; accepted: ")

    def test_check_of_nothing(self):
        done = self.run_program("-t", MISSING)
        self.assertEqual(done.returncode, 1)
        self.assertIn("No such file or directory", done.stderr)

    def test_wrong_usage(self):
        for arguments in ((), ("-x", "a"), ("a", "b")):
            done = self.run_program(*arguments)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertRegex(done.stderr, "^weir: .*--help")

    def test_help(self):
        done = self.run_program("--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for option in ("-t", "-v", "-q", "--help-config", "--version"):
            self.assertIn(f"\n  {option} ", done.stdout)

    def test_version(self):
        self.assertRegex(self.run_program("--version").stdout, r"^weir \d+\.\d+\.\d+\n$")

    def test_help_config_and_the_manual_name_the_same_keys(self):
        manual = os.path.join(os.path.dirname(__file__), "../../docs/configuration.md")
        with open(manual, encoding="utf-8") as file:
            keys = re.findall(r"^\| `(\w+)`", file.read(), flags=re.MULTILINE)
        done = self.run_program("--help-config")
        self.assertEqual(done.returncode, 0)
        self.assertGreater(len(keys), 50)
        shown = re.findall(r"^ +(\w+)(?: =|$)", done.stdout, flags=re.MULTILINE)
        self.assertEqual({*keys, "arena"}, set(shown))

    def test_full_disk(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            self.assertEqual(subprocess.run([PROGRAM, "--help"], stdout=full, check=False).returncode, 1)


if __name__ == "__main__":
    unittest.main()
