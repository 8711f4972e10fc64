"""What the daemon makes of the machine at its start: threads and CPUs, memory, files, addresses, users."""

import contextlib
import ctypes
import glob
import os
import re
import signal
import socket
import stat
import subprocess
import unittest

from daemon import PORT, config, read, reactors, socket_of, started, status, threads
from process import free_port
from relay import ENGINE, SANITIZER
from wire import Client

CPUS = sorted(os.sched_getaffinity(0))
MB = 1 << 20


def on_cpus(cpus):
    return ("taskset", "-c", ",".join(map(str, cpus)))


def move_to(group):
    with open(f"{group}/cgroup.procs", "w", encoding="ascii") as file:
        file.write(str(os.getpid()))


def own_group(base, controller):
    """The control group that this process is in."""
    for line in read("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return base + path
    raise unittest.SkipTest("this process is in no control group")


@contextlib.contextmanager
def quota_of_one_cpu():
    """This process, and what it starts, in a control group that gets one CPU's time. A machine may forbid that."""
    base = next((folder for folder in ("/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup")
                 if os.path.exists(f"{folder}/cgroup.procs")), "/sys/fs/cgroup")
    is_v1 = base != "/sys/fs/cgroup"
    home = own_group(base, "cpu" if is_v1 else "")
    group = f"{base}/weir-{os.getpid()}"
    try:
        os.mkdir(group)
    except OSError as error:
        raise unittest.SkipTest(f"no control group can be made: {error}") from error
    try:
        with open(f"{group}/{'cpu.cfs_quota_us' if is_v1 else 'cpu.max'}", "w", encoding="ascii") as file:
            file.write("100000" if is_v1 else "100000 100000")
        move_to(group)
    except OSError as error:
        os.rmdir(group)
        raise unittest.SkipTest(f"no quota can be set: {error}") from error
    try:
        yield
    finally:
        move_to(home)
        os.rmdir(group)


class ThreadTest(unittest.TestCase):
    def test_threads_and_user(self):
        with started() as weir:
            weir.wait_until_ready()
            names = threads(weir.process.pid)
            self.assertLessEqual({"weir", "reactor-0", "reactor-1", "weir-helper"}, names.keys())
            self.assertNotIn("reactor-2", names)
            self.assertNotEqual(os.stat(f"/proc/{weir.process.pid}").st_uid, 0)

    def test_pinned_reactors_stay_on_their_cpus(self):
        with started(config('pin_reactors = "on";', reactors=3)) as weir:
            weir.wait_until_ready()
            self.assertEqual(reactors(weir.process.pid), [{CPUS[i % len(CPUS)]} for i in range(3)])
            self.assertEqual(threads(weir.process.pid)["weir"], set(CPUS))

    def test_reactors_beside_a_local_server_are_not_pinned(self):
        databases = 'databases = ( { name = "*"; host = "127.0.0.1"; } );'
        with started(config(databases=databases)) as weir:
            weir.wait_until_ready()
            self.assertEqual(reactors(weir.process.pid), [set(CPUS)] * 2)
            self.assertIn("a PostgreSQL on this machine", weir.process.output())

    def test_one_reactor_for_each_cpu_of_the_affinity_mask(self):
        for cpus in (CPUS[:1], CPUS[-1:], CPUS):
            with self.subTest(cpus=cpus), started(config(reactors=0), prefix=on_cpus(cpus)) as weir:
                weir.wait_until_ready()
                found = reactors(weir.process.pid)
                if "a quota" in weir.process.output():
                    self.assertLess(len(found), len(cpus))
                else:
                    self.assertEqual(found, [{cpu} for cpu in cpus])

    def test_fewer_reactors_where_a_quota_binds(self):
        with quota_of_one_cpu(), started(config(reactors=0)) as weir:
            weir.wait_until_ready()
            self.assertEqual(reactors(weir.process.pid), [{CPUS[0]} if len(CPUS) == 1 else set(CPUS)])

    def test_no_locked_memory(self):
        """auto starts in any case; io_uring starts or says why not. Root would not be limited."""
        with started(prefix=("prlimit", "--memlock=0:0")) as weir:
            weir.wait_until_ready()
            self.assertEqual(weir.process.stop(), 0)
        with started(config().replace(ENGINE, "io_uring"), prefix=("prlimit", "--memlock=0:0")) as weir:
            weir.process.wait_for(r"\bready\b|cannot start")
            if weir.process.child.poll() is None:
                weir.process.send(signal.SIGTERM)
            self.assertEqual(weir.process.wait(), 0 if "ready" in weir.process.output() else 1)
            self.assertRegex(weir.process.output(), r"\bready\b|cannot start what=\"the engine of (control|a reactor)\"")

    @unittest.skipIf(SANITIZER == "thread", "TSan watches one engine only")
    def test_engine_of_the_oldest_kernel(self):
        with started(prefix=("env", "WEIR_IO_PROFILE=6.1")) as weir:
            weir.wait_until_ready()
            self.assertRegex(weir.process.output(), r"engine=\"?(epoll|io_uring\b.*one-shot receives)")


@unittest.skipIf(SANITIZER != "none", "sanitizers map more than any limit allows")
class ArenaTest(unittest.TestCase):
    def sizes(self, keys):
        """VmSize and VmRSS. Arenas of malloc would come and go by chance."""
        with started(config(f"arena = {{ {keys} }};"), prefix=("env", "MALLOC_ARENA_MAX=1")) as weir:
            weir.wait_until_ready()
            memory = status(f"/proc/{weir.process.pid}/status")
            return tuple(int(memory[name].split()[0]) * 1024 for name in ("VmSize", "VmRSS"))

    def test_all_of_it_is_mapped_and_only_what_is_used_is_taken(self):
        small_size, small_resident = self.sizes('total_size = "1MB";')
        size, used = self.sizes('total_size = "512MB";')
        self.assertAlmostEqual(size - small_size, 511 * MB, delta=4 * MB)
        self.assertLess(used - small_resident, 4 * MB)

    def test_prefault_takes_it_at_the_start(self):
        _, small_resident = self.sizes('total_size = "1MB"; prefault = true;')
        _, used = self.sizes('total_size = "129MB"; prefault = true;')
        self.assertAlmostEqual(used - small_resident, 128 * MB, delta=4 * MB)

    def test_both_forms_are_the_same_size(self):
        by_chunks = self.sizes('chunk_size = "128kB"; chunks_count = 1024;')
        by_total = self.sizes('chunk_size = "128kB"; total_size = "128MB";')
        self.assertAlmostEqual(by_chunks[0], by_total[0], delta=MB)

    def test_more_than_the_machine_can_give(self):
        with started(config('arena = { total_size = "1TB"; chunk_size = "1MB"; };'),
                     prefix=("prlimit", f"--as={1 << 40}")) as weir:
            self.assertEqual(weir.process.wait(), 1)
            self.assertRegex(weir.process.output(), r"cannot start what=arena\.total_size error=")

    def test_wrong_sizes(self):
        for keys, message in (('total_size = "64XB";', r"weir\.conf:2: weir\.arena\.total_size = .*accepted: "),
                              ('total_size = "1MB"; chunks_count = 4;', r"weir\.conf:2: .*both given")):
            with self.subTest(keys), started(config(f"arena = {{ {keys} }};")) as weir:
                self.assertEqual(weir.process.wait(), 1)
                self.assertRegex(weir.process.output(), message)


def descriptors_of(pid):
    """Copies of all descriptors of a process (pidfd_getfd(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    process = os.pidfd_open(pid)
    copies = [libc.syscall(438, process, int(os.path.basename(path)), 0) for path in glob.glob(f"/proc/{pid}/fd/*")]
    os.close(process)
    return [fd for fd in copies if fd >= 0]


def peer_of(client, pid):
    """The daemon's end of a client's connection, as a socket."""
    found = None
    for fd in descriptors_of(pid):
        end = socket.socket(fileno=fd) if stat.S_ISSOCK(os.fstat(fd).st_mode) else None
        with contextlib.suppress(OSError):
            if end is not None and end.getpeername() == client.socket.getsockname():
                found = end
                continue
        os.close(fd) if end is None else end.close()
    return found


def keepalive(end):
    names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
    return (end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            *(end.getsockopt(socket.IPPROTO_TCP, name) for name in names))


class ListenTest(unittest.TestCase):
    def tcp(self, port, keys="", addresses="127.0.0.1"):
        text = config(f"listen_port = {port};\n{keys}")
        return started(text.replace('listen_addr = ""', f'listen_addr = "{addresses}"'))

    def test_addresses_are_told_and_taken_away(self):
        port = free_port()
        with self.tcp(port) as weir:
            path = f"{weir.folder}/./.s.PGSQL.{port}"
            self.assertIn(f'listen="127.0.0.1:{port} {path}"', weir.wait_until_ready())
            for address in (("127.0.0.1", port), path):
                Client(address).close()
            self.assertEqual(weir.process.stop(), 0)
            self.assertFalse(os.path.exists(path))
            self.assertRaises(ConnectionRefusedError, Client, ("127.0.0.1", port))

    def test_mode_of_the_unix_socket(self):
        for mode in (0o777, 0o600):
            with started(config(f'unix_socket_mode = "{mode:04o}";')) as weir:
                weir.wait_until_ready()
                self.assertEqual(stat.S_IMODE(os.stat(socket_of(weir)).st_mode), mode)

    def test_address_in_use(self):
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            with self.tcp(port) as weir:
                self.assertEqual(weir.process.wait(), 1)
                self.assertRegex(weir.process.output(),
                                 rf'cannot start what=127\.0\.0\.1:{port} error="Address already in use"')
                self.assertEqual(glob.glob(f"{weir.folder}/.s.*"), [])

    def test_more_addresses_than_there_can_be(self):
        addresses = ", ".join(f"127.0.0.{number}" for number in range(1, 18))
        with self.tcp(free_port(), addresses=addresses) as weir:
            self.assertEqual(weir.process.wait(), 1)
            self.assertRegex(weir.process.output(), r'cannot start what="127\.0\.0\.17, beyond 16 addresses" error=')

    def test_folder_that_is_not_there(self):
        with started(config().replace('"."', '"gone"')) as weir:
            self.assertEqual(weir.process.wait(), 1)
            self.assertRegex(weir.process.output(),
                             rf'cannot start what=\S+/gone/\.s\.PGSQL\.{PORT} error="No such file or directory"')

    def test_keepalive_of_clients(self):
        changed = 'tcp_keepalives_idle = "120s"; tcp_keepalives_interval = "1s"; tcp_keepalives_count = 1;' \
                  'tcp_user_timeout = "150s";'
        for keys, expected in (("", (1, 5, 5, 5, 0)), (changed, (1, 120, 1, 1, 150000))):
            port = free_port()
            with self.subTest(keys), self.tcp(port, keys) as weir:
                weir.wait_until_ready()
                with Client(("127.0.0.1", port)) as client:
                    client.send(b"\0\0\0\x08\x04\xd2\x16\x2f")  # SSLRequest: once it is answered, it is accepted
                    self.assertEqual(client.socket.recv(1), b"N")
                    with peer_of(client, weir.process.pid) as end:
                        self.assertEqual(keepalive(end), expected)


class FilesTest(unittest.TestCase):
    def limit(self, weir):
        limits = re.search(r"^Max open files +(\d+) +(\d+)", read(f"/proc/{weir.process.pid}/limits"), re.MULTILINE)
        return tuple(map(int, limits.groups()))

    def test_as_many_as_allowed(self):
        with started(prefix=("prlimit", "--nofile=100:5000")) as weir:
            weir.wait_until_ready()
            self.assertEqual(self.limit(weir), (5000, 5000))
            self.assertNotIn("open files", weir.process.output())

    def test_too_few_for_the_configuration(self):
        databases = 'databases = ( { name = "a"; }, { name = "b"; pool_size = 7; } );'
        with started(config(databases=databases), prefix=("prlimit", "--nofile=1326:1326")) as weir:
            weir.wait_until_ready()
            self.assertRegex(weir.process.output(), "WARNING .*open files may run out limit=1326 needed=1327 ")


class UsersTest(unittest.TestCase):
    def test_files_that_cannot_be_used(self):
        for keys, text, message in (
                ('auth_file = "users";', '"a" "b"\nc\n', r'cannot start what=auth_file error="\S+/users:2: '),
                ('auth_file = "gone";', "", r'cannot start what=auth_file error="\S+/gone: .*No such file'),
                ('auth_file = "gone"; auth_type = "trust";', "", r"cannot start what=auth_file .*No such file")):
            with self.subTest(keys), started(config(keys), files={"users": text}) as weir:
                self.assertEqual(weir.process.wait(), 1)
                self.assertRegex(weir.process.output(), message)
                done = subprocess.run(weir.command("-t", weir.path), capture_output=True, text=True, check=False)
                self.assertEqual((done.returncode, done.stdout), (1, ""))
                self.assertRegex(done.stderr, r"(?m)^weir: \S+/(users:2|gone): ")

    def test_no_file(self):
        for auth_type, warns in (("scram-sha-256", True), ("trust", False)):
            with self.subTest(auth_type), started(config(f'auth_type = "{auth_type}";')) as weir:
                weir.wait_until_ready()
                self.assertEqual("nobody can log in" in weir.process.output(), warns)


if __name__ == "__main__":
    unittest.main()
