"""Child processes and folders of the tests and of `./dev run`: never root's, never left behind."""

import contextlib
import os
import pwd
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

UNPRIVILEGED = "nobody"


def unprivileged(command, death_signal="TERM"):
    """The command as an unprivileged user if we are root, ended by the kernel if we die first."""
    identity = []
    if os.geteuid() == 0:
        user = pwd.getpwnam(UNPRIVILEGED)
        identity = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    return ["setpriv", *identity, "--pdeathsig", death_signal, *map(str, command)]


@contextlib.contextmanager
def temporary_folder(parent=None):
    """A folder that the unprivileged user owns and that is gone afterwards."""
    folder = tempfile.mkdtemp(prefix="weir-", dir=parent)
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, UNPRIVILEGED)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_file(path, text, mode=0o640):
    """A file that the unprivileged user can read; whoever reads it meanwhile sees all or nothing."""
    unfinished = path + ".new"
    with open(unfinished, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
    if os.geteuid() == 0:
        shutil.chown(unfinished, UNPRIVILEGED)
    os.replace(unfinished, path)
    return path


def free_port():
    """A port that nobody listens on; another process may still take it first, so try again then."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, timeout=20):
    """For what sends no event: looks every 10 ms whether condition() holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s")
        time.sleep(0.01)


class StopSignals:
    """SIGINT, SIGTERM and SIGHUP no longer end this process: wait() returns when one has come."""

    def __init__(self):
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, lambda *_: None)

    def wait(self, process=None):
        """True if a signal came, false if the process ended before."""
        if process is None:
            return bool(select.select([self._reader], [], [])[0])
        ended = os.pidfd_open(process.pid)
        try:
            return self._reader in select.select([self._reader, ended], [], [])[0]
        finally:
            os.close(ended)


class Process:
    """A child whose output is read line by line by a thread, which also writes it to `echo` if
    there is one. A `with` block ends the child."""

    def __init__(self, command, env=None, echo=None):
        self.lines = []
        self._echo = echo
        self._grown = threading.Condition()
        self._ended = False
        self.child = subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.child.stdout:
            if self._echo is not None:
                print(line, end="", file=self._echo, flush=True)
            with self._grown:
                self.lines.append(line.rstrip("\n"))
                self._grown.notify_all()
        with self._grown:
            self._ended = True
            self._grown.notify_all()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    @property
    def pid(self):
        return self.child.pid

    def output(self):
        return "\n".join(self.lines)

    def wait_for(self, pattern, since=0, timeout=20):
        """The first line from number `since` on that matches; an error with the output if none comes."""
        expression = re.compile(pattern)
        deadline = time.monotonic() + timeout
        with self._grown:
            while True:
                for line in self.lines[since:]:
                    if expression.search(line):
                        return line
                since = len(self.lines)
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    why = "the process ended" if self._ended else f"{timeout} s passed"
                    raise AssertionError(f"no line matches {pattern!r}: {why}\n{self.output()}")
                self._grown.wait(left)

    def send(self, signum):
        self.child.send_signal(signum)

    def wait(self, timeout=20):
        """The exit status, negative for a signal, once the output has been read to its end."""
        status = self.child.wait(timeout)
        self._reader.join(timeout)
        return status

    def stop(self, signum=signal.SIGTERM, timeout=20):
        self.send(signum)
        return self.wait(timeout)

    def kill(self):
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        self._reader.join(5)
        self.child.stdout.close()
