#!/usr/bin/env python3
"""Measures everything that has a budget, beside its rival in the same run, and prints one Markdown table.

Started by `bench/run`, which builds and installs what is needed. Figures depend on the machine; ratios do so less.
"""

import argparse
import json
import os
import pathlib
import platform
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

from proxmoxer import ProxmoxAPI
from proxmoxer.tools import Tasks

from measure import cargo_bench, free_port, median_ready, resident_mib, run, serve, side_by_side, wake_ups

HERE = pathlib.Path(__file__).parent
GUESTS = 200
AGENT = "felhom-agent@pve!agent"
TEMPLATE = "local:vztmpl/debian-13-mini_13.1-1_amd64.tar.zst"
UNPACKED = 400 << 20
ENDLESS = 10_000_000
WRK = {"rate": r"Requests/sec:\s+([\d.]+)", "count": r"(\d+) requests in"}


class Table:
    """Rows as they come, shown at once to whoever waits, and as Markdown at the end."""

    def __init__(self):
        self.rows = [("what", "figure", "beside it", "budget", "met"), ("---",) * 5]

    def row(self, what, figure, rival, budget, met=None):
        verdict = {True: "yes", False: "**no**", None: "–"}[met]
        self.rows.append((what, figure, rival, budget, verdict))
        print(f"  {what}: {figure} | {rival} | {budget} | {verdict}", file=sys.stderr, flush=True)

    def print(self):
        for cells in self.rows:
            print("| " + " | ".join(cells) + " |")


class Bench:
    """Where the programs are, where to work, and the table."""

    def __init__(self, args, scratch):
        self.release, self.fakepve = args.target / "release", args.fakepve
        self.scratch, self.table = scratch, Table()

    def simulator(self, name, speed=1):
        return [self.release / "felhom-sim", "serve", "--state", self.scratch / name, "--speed", speed]

    def example(self, name):
        return self.release / "examples" / name


def connect(url, **credentials):
    address = urllib.parse.urlsplit(url)
    return ProxmoxAPI(address.hostname, port=address.port, verify_ssl=False, timeout=30, **credentials)


def flood(served, url, password):
    """Requests of `GET /nodes` that a server answers to eight connections logged in by ticket: per second of the clock,
    which others may have used too, and per second of its own CPU time."""
    ticket, _ = connect(url, user="root@pam", password=password).get_tokens()
    command = ["wrk", "-t1", "-c8", "-d4s", "-H", f"Cookie: PVEAuthCookie={ticket}", f"{url}/api2/json/nodes"]
    rates = []
    for _ in range(3):
        before = served.cpu_seconds()
        out = run(command).out
        if "Non-2xx" in out:
            raise RuntimeError(out)
        used = served.cpu_seconds() - before
        number = {key: float(re.search(pattern, out).group(1)) for key, pattern in WRK.items()}
        rates.append((number["rate"], number["count"] / used))
    return sorted(rates)[1]


def requests(bench):
    ready = median_ready(lambda index: bench.simulator(f"ready-{index}"))
    with serve(bench.simulator("flood")) as served:
        fresh = served.rss_mib()
        world = json.loads(served.line)
        rate, by_cpu = flood(served, world["pve"]["url"], world["passwords"]["root@pam"])
        flooded = served.rss_mib()
    guests = bench.scratch / "fakepve.json"
    guests.write_text(json.dumps({"guests": [{"vmid": 100, "name": "one", "status": "running"}]}))
    port = free_port()
    rival = [bench.fakepve, guests, "--host", "127.0.0.1", "--port", port]
    rival_ready = median_ready(lambda _: rival)
    with serve(rival) as served:
        rival_rate, rival_by_cpu = flood(served, f"https://127.0.0.1:{port}", "secret")
        rival_rss = served.rss_mib()
    row = bench.table.row
    row("simulator: `GET /nodes`, keep-alive TLS, one core", f"{rate:.0f} requests/s, {by_cpu:.0f} per CPU second",
        f"fakepve: {rival_rate:.0f} requests/s, {rival_by_cpu:.0f} per CPU second", "≥ 5 000 requests/s", rate >= 5000)
    row("simulator: ready after", f"{ready * 1e3:.0f} ms", f"fakepve: {rival_ready * 1e3:.0f} ms", "≤ 200 ms",
        ready <= 0.2)
    row("simulator: resident, fresh / after that flood", f"{fresh:.1f} / {flooded:.1f} MiB",
        f"fakepve: {rival_rss:.1f} MiB after its flood", "≤ 30 MiB", max(fresh, flooded) <= 30)


def populate(world):
    """Many running containers, every fourth with a snapshot, made through the API."""
    user, name = AGENT.split("!")
    api = connect(world["pve"]["url"], user=user, token_name=name, token_value=world["tokens"][AGENT])
    lxc = api.nodes(world["pve"]["node"]).lxc

    def done(upid):
        status = Tasks.blocking_status(api, upid, timeout=60, polling_interval=0.005)
        if status["exitstatus"] != "OK":
            raise RuntimeError(f"{upid}: {status}")

    for vmid in range(9200, 9200 + GUESTS - len(lxc.get())):
        done(lxc.post(vmid=vmid, ostemplate=TEMPLATE, rootfs="local-lvm:1", unprivileged=1, memory=256,
                      hostname=f"guest-{vmid}", net0="name=eth0,bridge=vmbr0,ip=dhcp"))
        done(lxc(vmid).status.start.post())
        if vmid % 4 == 0:
            done(lxc(vmid).snapshot.post(snapname="before_update"))


def observe(bench):
    with serve(bench.simulator("many", speed=500)) as served:
        populate(json.loads(served.line))
    with serve(bench.simulator("many")) as served:
        ready = bench.scratch / "ready.json"
        ready.write_text(served.line)
        runs = side_by_side(7, ours=[bench.example("observe"), ready],
                            rival=[sys.executable, HERE / "rival_observe.py", ready])
        rss = served.rss_mib()
    ours, rival = runs["ours"], runs["rival"]
    if ours.out != rival.out:
        raise RuntimeError(f"they saw different things: {ours.out} {rival.out}")
    row = bench.table.row
    what = f"observing {GUESTS} guests (status, config, snapshots)"
    row(f"{what}: wall", f"{ours.wall:.3f} s",
        f"proxmoxer: {rival.wall:.3f} s ({float(rival.err):.3f} s without imports), {rival.wall / ours.wall:.1f}×",
        "≥ 3× less", rival.wall >= 3 * ours.wall)
    row(f"{what}: CPU", f"{ours.cpu:.3f} s", f"proxmoxer: {rival.cpu:.3f} s, {rival.cpu / ours.cpu:.1f}×", "≥ 10× less",
        rival.cpu >= 10 * ours.cpu)
    row(f"{what}: most resident", f"{ours.rss_mib:.1f} MiB", f"proxmoxer: {rival.rss_mib:.1f} MiB", "–")
    row(f"simulator: resident with {GUESTS} guests, after that", f"{rss:.1f} MiB", "–", "–")


VZDUMP_TAR = ["tar", "cpf", "-", "--one-file-system", "-p", "--sparse", "--numeric-owner", "--acls", "--xattrs",
              "--xattrs-include=user.*", "--xattrs-include=security.capability"]


def make_guest(root):
    """Files of a small guest: many small ones, some of megabytes, half of all in Docker volumes; how many bytes."""
    dice = random.Random(9001)
    words = [dice.randbytes(dice.randint(2, 9)).hex() for _ in range(4000)]
    total = number = 0
    while total < UNPACKED:
        size = int(min(32 << 20, dice.lognormvariate(7.5, 2.2)))
        text = " ".join(dice.choices(words, k=size // 12 + 1)).encode()
        content = (text if dice.random() < 0.6 else dice.randbytes(size))[:size]
        volume = f"var/lib/docker/volumes/v{number % 7}/_data" if number % 2 else "usr/share"
        directory = root / volume / f"d{number % 97}" / f"s{number % 13}"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"file-{number}").write_bytes(content)
        total, number = total + len(content), number + 1
    return total


def make_archive(path):
    """An archive as vzdump's own tar writes it, extended headers and all."""
    with tempfile.TemporaryDirectory(dir=path.parent) as own, tempfile.TemporaryDirectory(dir=path.parent) as guest:
        total = make_guest(pathlib.Path(guest))
        config = pathlib.Path(own) / "etc/vzdump/pct.conf"
        config.parent.mkdir(parents=True)
        config.write_text("arch: amd64\n")
        command = [*VZDUMP_TAR, "--directory", own, "./etc/vzdump/pct.conf", "--directory", guest, "./"]
        with path.open("wb") as file, subprocess.Popen(command, stdout=subprocess.PIPE) as tar:
            subprocess.run(["zstd", "-q", "-3", "-c"], stdin=tar.stdout, stdout=file, check=True)
        if tar.returncode:
            raise RuntimeError("tar failed")
    return total


def make_endless(path, members):
    """An archive of empty files in volumes, header after header, which unpacks to hundreds of times its size."""
    header = bytearray(512)
    header[100:136] = b"0000644\0" + b"0000000\0" * 2 + b"%011o\0" % 0
    header[136:148], header[156:157], header[257:265] = b"%011o\0" % 1_790_000_000, b"0", b"ustar\x0000"
    header[148:156] = b" " * 8
    with path.open("wb") as file, subprocess.Popen(["zstd", "-q", "-1", "-c"], stdin=subprocess.PIPE, stdout=file) as zstd:
        for start in range(0, members, 10_000):
            block = bytearray()
            for number in range(start, min(start + 10_000, members)):
                name = b"./var/lib/docker/volumes/v%d/_data/d%04d/f%08d" % (number // 1000 % 9, number // 500 % 10_000, number)
                header[:len(name)] = name
                header[148:156] = b" " * 8
                header[148:156] = b"%06o\0 " % sum(header)
                block += header
            zstd.stdin.write(block)
        zstd.stdin.write(bytes(10_240))


def compare_listing(bench, path, what, rounds):
    runs = side_by_side(rounds, ours=[bench.example("list_archive"), path], tar=["tar", "--zstd", "-tf", path],
                        zstd=["sh", "-c", f"exec zstd -dc '{path}' >/dev/null"])
    ours, tar, zstd = (runs[name] for name in ("ours", "tar", "zstd"))
    listed = tar.out.count("\n")
    found = re.match(r"(\d+) members, \d+ bytes, \d+ volumes, (\d+) digests", ours.out)
    if not found or int(found.group(1)) != listed:
        raise RuntimeError(f"members: {ours.out}, {listed}")
    ratio = tar.cpu / ours.cpu
    bench.table.row(
        f"{what} ({path.stat().st_size >> 20} MiB, {listed} members, {found.group(2)} digests), one core",
        f"{ours.cpu:.3f} s CPU, {ours.wall:.3f} s wall, {ours.rss_mib:.1f} MiB resident at most",
        f"tar --zstd -tf: {tar.cpu:.3f} s CPU, {tar.wall:.3f} s wall; zstd -dc: {zstd.cpu:.3f} s CPU",
        f"≥ 0.9 × the speed of tar: {ratio:.2f} × by CPU", ratio >= 0.9)


def listing(bench):
    path = bench.scratch / "vzdump-lxc-9001-2026_11_23-00_00_00.tar.zst"
    total = make_archive(path)
    compare_listing(bench, path, f"proving a `.tar.zst` of {total >> 20} MiB", 7)
    path.unlink()
    make_endless(path, ENDLESS)
    compare_listing(bench, path, "proving a `.tar.zst` of empty files", 2)
    path.unlink()


def grouped(rows):
    """Rows by their first cell, in the order in which it first came."""
    groups = {}
    for first, *rest in rows:
        groups.setdefault(first, []).append(rest)
    return groups


def notice(bench):
    for length, pollers in grouped(cargo_bench("felhom-proxmox", "notice")).items():
        by_name = {name: figures for name, *figures in pollers}
        tasks, median, p95, worst, within, polls = by_name.pop("follow")
        rivals = "; ".join(f"{name}: {other[1]} / {other[3]} ms, {other[5]} requests" for name, other in by_name.items())
        bench.table.row(f"end of a task of {length} s noticed after (median / worst of {tasks})",
                        f"{median} / {worst} ms (95 %: {p95} ms), {polls} requests", rivals,
                        f"≤ 250 ms or 5 %: {within} of {tasks}", within == tasks)


def orchestration(bench):
    for guest, runs in grouped(cargo_bench("felhom-demo", "orchestration")).items():
        wall, tasks, stable, rest = (statistics.median(int(run[index]) for run in runs) for index in range(4))
        worst = max(int(run[3]) for run in runs)
        bench.table.row(f"restore test of {guest} beyond its tasks (median / worst of {len(runs)})",
                        f"{rest} / {worst} ms", f"wall {wall} ms: tasks {tasks} ms, wanted uptime {stable} ms",
                        "≤ 1 500 ms", worst <= 1500)


def plan(bench):
    for what, median, worst in cargo_bench("felhom-engine", "plan"):
        bench.table.row(f"engine, 1 000 guests and 10 000 archives: {what}", f"{median} ms median, {worst} ms worst", "–",
                        "< 50 ms", float(worst) < 50)


def footprint(bench):
    """What the program takes on a box: on disk, in a pass, and while it waits for a scrape."""
    # The programs of the package, which are built for size.
    dist = bench.release.parent / "dist"
    agent, hostd = dist / "felhom-agent", dist / "felhom-hostd"
    sizes = " / ".join(f"{path.stat().st_size / (1 << 20):.1f}" for path in (agent, hostd))
    bench.table.row("size of felhom-agent / felhom-hostd", f"{sizes} MiB", "–", "none given")
    bare = subprocess.Popen([sys.executable, "-c", "import proxmoxer, sys; print(); sys.stdin.read()"],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    bare.stdout.readline()
    rival = f"a bare proxmoxer process: {resident_mib(bare.pid, 'VmRSS'):.1f} MiB"
    bare.stdin.close()
    bare.wait()
    with serve(bench.simulator("footprint", speed=4)) as world:
        command = [agent, "--quiet", "--config", json.loads(world.line)["config"]]
        busy = run([*command, "run", "--once"], good=(0, 3))
        bench.table.row("a pass with backups and a restore test: most resident", f"{busy.rss_mib:.1f} MiB",
                        f"{busy.cpu:.2f} s CPU in {busy.wall:.1f} s", "none given")
        idle = run([*command, "run", "--once"], good=(0, 3))
        bench.table.row("a pass with nothing due: most resident", f"{idle.rss_mib:.1f} MiB",
                        f"{idle.cpu:.2f} s CPU in {idle.wall:.2f} s, 96 times a day", "none given")
        settle = run([*command, "snapshot", "settle"])
        bench.table.row("`snapshot settle` with nothing to settle: most resident", f"{settle.rss_mib:.1f} MiB",
                        f"{settle.cpu:.2f} s CPU in {settle.wall:.2f} s, 288 times a day", "none given")
        port = free_port()
        metrics = subprocess.Popen([*command, "metrics", "serve", "--listen", f"127.0.0.1:{port}"])
        try:
            scrape(port, 50)
            time.sleep(5)
            rss, woken = resident_mib(metrics.pid, "VmRSS"), wake_ups(metrics.pid, 60)
        finally:
            metrics.terminate()
            metrics.wait()
        bench.table.row("metrics served, idle after 50 scrapes: resident", f"{rss:.1f} MiB", rival, "≤ 15 MiB", rss <= 15)
        bench.table.row("the same: wake-ups in 60 s", str(woken), "–", "none that is not due", woken == 0)


def scrape(port, times):
    """Asks for the metrics as Prometheus does; waits for the listener first."""
    for attempt in range(times + 100):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                assert b"felhom_" in answer.read()
                times -= 1
        except urllib.error.URLError:
            time.sleep(0.1)
        if times == 0:
            return
    raise RuntimeError("the metrics are not served")


PARTS = {part.__name__: part for part in (requests, observe, listing, notice, orchestration, plan, footprint)}


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "unknown CPU")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    return (f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release().split('-')[0]}, "
            f"Python {platform.python_version()}; load average at the start {load}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", type=pathlib.Path, required=True, help="Cargo's target directory")
    parser.add_argument("--fakepve", type=pathlib.Path, required=True, help="the program of the rival simulator")
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="what to measure (everything)")
    args = parser.parse_args()
    about = machine()
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(args, pathlib.Path(scratch))
        for name in args.parts or PARTS:
            print(f"{name}:", file=sys.stderr, flush=True)
            PARTS[name](bench)
    print(f"Measured on: {about}\n")
    bench.table.print()


if __name__ == "__main__":
    main()
