"""The daemon under test: an unprivileged process in a folder of its own."""

import contextlib
import os
import shutil
import signal

from process import Process, temporary_folder, unprivileged, write_file


class Weir:
    """Runs `program` on `config`, the text of a configuration file. `prefix` is put in front of the
    command, after the change of user: prlimit, for example. `files` is {name: text}, what lies
    beside the configuration."""

    def __init__(self, program, config, options=(), prefix=(), echo=None, files=None):
        self.config = config
        self._program = os.path.abspath(program)
        self._options = options
        self._prefix = prefix
        self._echo = echo
        self._files = files or {}
        self.process = None

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.folder = stack.enter_context(temporary_folder())
            # Another user may not be able to reach the build folder.
            self.program = shutil.copy(self._program, self.folder)
            for name, text in self._files.items():
                self.write(name, text)
            self.path = self.write("weir.conf", self.config)
            self.process = stack.enter_context(
                Process(self.command(*self._options, self.path), echo=self._echo))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        with self._stack:
            if self.process.child.poll() is None:
                self.process.stop()

    def command(self, *arguments):
        """The program with other arguments, as the same user."""
        return unprivileged([*self._prefix, self.program, *arguments])

    def write(self, name, text):
        return write_file(os.path.join(self.folder, name), text)

    def wait_until_ready(self):
        return self.process.wait_for(r"\bready\b")

    def reload(self, text=None):
        """Reloads, with a new text of the configuration if given; the line that tells the result."""
        if text is not None:
            self.write("weir.conf", text)
        seen = len(self.process.lines)
        self.process.send(signal.SIGHUP)
        return self.process.wait_for(r"\breload(ed| failed| refused)\b", seen)
