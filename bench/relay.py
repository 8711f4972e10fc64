#!/usr/bin/env python3
"""What weir's loop costs beside a relay that does nothing but relay.

Each relay runs alone on one CPU, the stub of a server and the clients on another, so that the relay
is what limits. Rounds are interleaved, every round measures each relay once, figures are medians:
the machine may have other work, so only ratios within one run count. CPU time is that of the relay's
process, user and system; judge by it where the other CPU is as full as the relay's, because then the
rate is not the relay's doing. `chrt -f 5 build/bench/relay` keeps other work of the machine out.

usage: relay [--rounds N] [--seconds S] [--connections N ...] [--servers N] [--mode MODE ...]
"""

import argparse
import os
import statistics
import subprocess
import sys

WIRE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "wire")
MODES = ("query", "prepared", "pipeline", "echo")

# Name: program and first argument, last arguments. The first of each engine is the yardstick.
RELAYS = {
    "bare io_uring": ("bare", "io_uring", []),
    "weir io_uring": ("relay", "io_uring", []),
    "weir io_uring, armed": ("relay", "io_uring", ["armed"]),
    "weir io_uring 6.1": ("relay", "io_uring-6.1", []),
    "bare epoll": ("bare", "epoll", []),
    "weir epoll": ("relay", "epoll", []),
}
ECHOES = {
    "bare io_uring": ("bare", "io_uring", ["echo"]),
    "weir io_uring": ("echo", "io_uring", []),
    "weir io_uring 6.1": ("echo", "io_uring-6.1", []),
    "bare epoll": ("bare", "epoll", ["echo"]),
    "weir epoll": ("echo", "epoll", []),
}


class Server:
    """A program of ours that says where it listens."""

    def __init__(self, cpu, words):
        self.process = subprocess.Popen(["taskset", "-c", str(cpu), os.path.join(WIRE, words[0]), *words[1:]],
                                        stdout=subprocess.PIPE, text=True)
        self.place = self.process.stdout.readline().strip()
        if not self.place:
            sys.exit(f"{' '.join(words)}: did not start")

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/schedstat", encoding="ascii") as file:
            return int(file.read().split()[0]) / 1e9

    def stop(self):
        self.process.kill()
        self.process.wait()


def start_relays(options, mode, stub):
    if mode == "echo":
        return {name: Server(options.cpus[0], [program, engine, "127.0.0.1:0", *last])
                for name, (program, engine, last) in ECHOES.items()}
    return {name: Server(options.cpus[0], [program, engine, "127.0.0.1:0", stub.place,
                                           str(options.servers), *last])
            for name, (program, engine, last) in RELAYS.items()}


def measure(options, mode, connections, server):
    """One round of one relay: transactions per second, CPU microseconds of each, p99/p50."""
    before = server.cpu_seconds()
    words = ["taskset", "-c", str(options.cpus[1]), os.path.join(WIRE, "load"), server.place,
             str(connections), str(options.seconds), mode]
    out = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
    told = dict(zip(out[::2], out[1::2]))
    cpu = server.cpu_seconds() - before
    return (float(told["tps"]), cpu * 1e6 / max(int(told["transactions"]), 1),
            int(told["p99_us"]) / max(int(told["p50_us"]), 1))


def compare(options, mode, connections, servers):
    rounds = {name: [] for name in servers}
    for _ in range(options.rounds):
        for name, server in servers.items():
            rounds[name].append(measure(options, mode, connections, server))
    print(f"\n{mode}, {connections} connections\n"
          f"{'':22}{'tps':>9}{'of bare':>9}{'CPU us':>9}{'of bare':>9}{'p99/p50':>9}")
    bare_tps = bare_cpu = 1.0
    for name, figures in rounds.items():
        tps, cpu, spread = (statistics.median(column) for column in zip(*figures))
        if name.startswith("bare"):
            bare_tps, bare_cpu = tps, cpu
        print(f"{name:22}{tps:9.0f}{tps / bare_tps:9.2f}{cpu:9.2f}{cpu / bare_cpu:9.2f}{spread:9.1f}",
              flush=True)


def main():
    cpus = sorted(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.6)
    parser.add_argument("--connections", type=int, nargs="+", default=[64])
    parser.add_argument("--servers", type=int, default=16)
    parser.add_argument("--mode", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--cpus", type=int, nargs=2, default=[cpus[0], cpus[-1]],
                        help="of the relay, of everything else")
    options = parser.parse_args()
    stub = Server(options.cpus[1], ["stub", "127.0.0.1:0"])
    running = {"stub": stub}
    try:
        for mode in options.mode:
            servers = start_relays(options, mode, stub)
            running.update(servers)
            for connections in options.connections:
                compare(options, mode, connections, servers)
            for server in servers.values():
                server.stop()
    finally:
        for server in running.values():
            server.stop()


if __name__ == "__main__":
    main()
