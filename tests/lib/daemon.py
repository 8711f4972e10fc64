"""The daemon by itself: no server behind it, clients by a Unix socket, so that no other process can be in
the way. And what /proc tells of it."""

import glob
import os

from relay import ENGINE, PROGRAM
from weir import Weir

PORT = 6432


def config(keys="", databases="", reactors=2):
    return (f'weir = {{ engine = "{ENGINE}"; reactors = {reactors}; listen_addr = ""; unix_socket_dir = ".";\n'
            f"{keys}\n}};\n{databases}\n")


def started(text=None, **options):
    return Weir(PROGRAM, config() if text is None else text, **options)


def socket_of(weir):
    return os.path.join(weir.folder, f".s.PGSQL.{PORT}")


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def numbers(text):
    """The set that the kernel writes as 0-2,5."""
    found = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def status(path):
    """{name: text} of a file like /proc/PID/status."""
    lines = (line.partition(":") for line in read(path).splitlines())
    return {name: text.strip() for name, _, text in lines}


def threads(pid):
    """{name: CPUs that it may run on} of the threads of a process."""
    found = {}
    for path in glob.glob(f"/proc/{pid}/task/*/status"):
        thread = status(path)
        found[thread["Name"]] = numbers(thread["Cpus_allowed_list"])
    return found


def reactors(pid):
    """The CPUs of each reactor, in their order."""
    found = threads(pid)
    return [found[name] for name in sorted(found, key=lambda name: (len(name), name)) if name.startswith("reactor-")]


def children(pid):
    found = []
    for path in glob.glob(f"/proc/{pid}/task/*/children"):
        found += read(path).split()
    return found
