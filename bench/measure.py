"""Running a program on one core, and what it took; servers that are started, measured and ended by their pid."""

import contextlib
import dataclasses
import os
import re
import select
import socket
import statistics
import subprocess
import tempfile
import time

SERVER_CORE, CLIENT_CORE = 0, min(1, os.cpu_count() - 1)


@dataclasses.dataclass
class Run:
    """One run of a program to its end."""

    wall: float
    cpu: float
    rss_mib: float
    out: str
    err: str


def on_core(core, command):
    return ["taskset", "-c", str(core), *map(str, command)]


def resident_mib(pid, field):
    """`VmRSS`, or the most that it ever was, `VmHWM`; nothing of a process that has ended."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        found = re.search(field + r":\s+(\d+) kB", status.read())
    return int(found.group(1)) / 1024 if found else None


def run(command, core=CLIENT_CORE, timeout=600, good=(0,), **options):
    """Runs a program on one core; raises when it ends with another code than a good one. Its children count."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        began = time.monotonic()
        process = subprocess.Popen(on_core(core, command), **{"stdout": out, "stderr": err, **options})
        stop = began + timeout
        rss_mib = 0.0
        while True:
            # Not from `usage`: there, what the parent held when it forked counts.
            rss_mib = resident_mib(process.pid, "VmHWM") or rss_mib
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > stop:
                process.kill()
                raise TimeoutError(command)
            time.sleep(0.0005)
        wall = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        done = Run(wall, usage.ru_utime + usage.ru_stime, rss_mib, out.read(), err.read())
    if process.returncode not in good:
        raise RuntimeError(f"{command} ended with {process.returncode}: {done.err or done.out}")
    return done


def side_by_side(rounds, **commands):
    """Runs all programs in turn, several times; name → its fastest run, the one that others disturbed least."""
    runs = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            runs[name].append(run(command))
    return {name: min(all_runs, key=lambda one: one.wall) for name, all_runs in runs.items()}


@dataclasses.dataclass
class Served:
    """A server that is ready."""

    pid: int
    line: str
    ready_after: float

    def rss_mib(self):
        return resident_mib(self.pid, "VmRSS")

    def cpu_seconds(self):
        with open(f"/proc/{self.pid}/stat", encoding="utf-8") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def serve(command, timeout=30):
    """Starts a server on its core, waits for the line that it prints when it is ready, ends it by its pid."""
    began = time.monotonic()
    process = subprocess.Popen(on_core(SERVER_CORE, command), stdout=subprocess.PIPE, text=True)
    try:
        readable, _, _ = select.select([process.stdout], [], [], timeout)
        line = process.stdout.readline() if readable else ""
        if not line:
            raise RuntimeError(f"{command} is not ready")
        yield Served(process.pid, line, time.monotonic() - began)
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wake_ups(pid, seconds):
    """How often any thread of a process began to run by itself, within so long."""
    def count():
        total = 0
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/status", encoding="utf-8") as status:
                total += int(re.search(r"\nvoluntary_ctxt_switches:\s+(\d+)", status.read()).group(1))
        return total
    before = count()
    time.sleep(seconds)
    return count() - before


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def cargo_bench(package, bench):
    """Rows of a bench program that prints tab-separated lines."""
    command = ["cargo", "bench", "--quiet", "--locked", "--package", package, "--bench", bench]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=1800).stdout
    return [line.split("\t") for line in out.splitlines() if "\t" in line]


def median_ready(make_command, times=7):
    """Median seconds until a freshly made server is ready."""
    def once(index):
        with serve(make_command(index)) as served:
            return served.ready_after
    return statistics.median(once(index) for index in range(times))
