"""What /proc tells about a process."""

import glob
import os
import re


def _tasks(pid, name):
    """{thread id: content} of one file of each thread; threads that end meanwhile are left out."""
    found = {}
    for path in glob.glob(f"/proc/{pid}/task/*/{name}"):
        try:
            with open(path, encoding="utf-8") as file:
                found[int(path.split("/")[4])] = file.read()
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def threads(pid):
    """{thread id: name}"""
    return {tid: text.strip() for tid, text in _tasks(pid, "comm").items()}


def cpu_seconds(pid):
    """CPU time of all threads."""
    return sum(int(text.split()[0]) for text in _tasks(pid, "schedstat").values()) / 1e9


def waited_for_a_cpu(pid):
    """Seconds that threads stood ready to run, all of them together."""
    return sum(int(text.split()[1]) for text in _tasks(pid, "schedstat").values()) / 1e9


def n_sleeps(pid):
    """How often threads have gone to sleep, and so been woken."""
    return sum(int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.MULTILINE)[1])
               for text in _tasks(pid, "status").values())


def resident_kb(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return int(re.search(r"^VmRSS:\s+(\d+) kB", file.read(), re.MULTILINE)[1])


def n_files(pid):
    """Open descriptors."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def zombies(parent):
    """Children of a process that have ended and that it has not asked about."""
    found = []
    for path in glob.glob(f"/proc/{parent}/task/*/children"):
        with open(path, encoding="utf-8") as file:
            for pid in file.read().split():
                with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
                    if stat.read().rpartition(")")[2].split()[0] == "Z":
                        found.append(pid)
    return found
