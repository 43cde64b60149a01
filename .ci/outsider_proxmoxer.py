#!/usr/bin/env python3
"""Drives `felhom-sim serve` with proxmoxer, by API token, as somebody who has never heard of us would.

Usage: outsider_proxmoxer.py READY.json (the line that `serve` prints). Ends with `N passed, M failed`.
"""

import hashlib
import json
import ssl
import sys
import time
import urllib.parse

import requests
from proxmoxer import ProxmoxAPI, ResourceException
from proxmoxer.tools import Tasks
from requests.adapters import HTTPAdapter

GUEST, OTHER, SCRATCH = 9001, 9010, 9150
ADDRESS = "198.51.100.50/32"
TASK_LIMIT = 120


class Pinned(HTTPAdapter):
    """Accepts the one certificate with this SHA-256 fingerprint, whatever its issuer and names."""

    def __init__(self, fingerprint):
        self.fingerprint = fingerprint
        super().__init__()

    def init_poolmanager(self, *args, **kwargs):
        super().init_poolmanager(*args, assert_fingerprint=self.fingerprint, **kwargs)


class Checks:
    def __init__(self):
        self.passed = self.failed = 0

    def that(self, what, holds, seen=""):
        if holds:
            self.passed += 1
            print(f"ok      {what}")
        else:
            self.failed += 1
            print(f"FAILED  {what}: {seen!r}")

    def equal(self, what, seen, expected):
        self.that(f"{what}: {expected}", seen == expected, seen)

    def refused(self, what, status, text, call, *args, **params):
        try:
            self.that(what, False, call(*args, **params))
        except ResourceException as error:
            self.equal(what, (error.status_code, error.content), (status, text))

    def task(self, what, upid, through, exit_status="OK"):
        """Waits for a task's end with proxmoxer's own tool, and wants this exit status."""
        status = Tasks.blocking_status(through, upid, timeout=TASK_LIMIT, polling_interval=0.1)
        self.equal(f"task {what} ends with", (status or {}).get("exitstatus"), exit_status)

    def summary(self):
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed else 0


class World:
    """A served world, and proxmoxer connections to it by token."""

    def __init__(self, ready):
        pve = ready["pve"]
        self.node, self.fingerprint, self.tokens = pve["node"], pve["fingerprint"], ready["tokens"]
        address = urllib.parse.urlsplit(pve["url"])
        self.host, self.port = address.hostname, address.port

    def connect(self, token, secret=None, fingerprint=None):
        user, name = token.split("!")
        value = secret or self.tokens[token]
        api = ProxmoxAPI(self.host, port=self.port, user=user, token_name=name, token_value=value,
                         verify_ssl=False, timeout=30)
        session = api._store["session"]  # proxmoxer has no setting for a pin
        session.trust_env = False
        session.mount("https://", Pinned(fingerprint or self.fingerprint))
        return api

    def seen_fingerprint(self):
        pem = ssl.get_server_certificate((self.host, self.port), timeout=10)
        digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest().upper()
        return ":".join(digest[at:at + 2] for at in range(0, len(digest), 2))


def certificate(world, checks):
    checks.equal("the certificate's fingerprint is the announced one", world.seen_fingerprint(), world.fingerprint)
    wrong = world.connect("felhom-agent@pve!agent", fingerprint="00:" * 31 + "00")
    try:
        checks.that("another fingerprint is refused", False, wrong.version.get())
    except requests.exceptions.SSLError as error:
        checks.that("another fingerprint is refused", "Fingerprints did not match" in str(error), str(error))


def lists(world, checks, agent, ctl):
    checks.that("the version is a 9", agent.version.get()["version"].startswith("9."))
    nodes = [(node["node"], node["status"]) for node in agent.nodes.get()]
    checks.equal("nodes", nodes, [(world.node, "online")])
    guests = sorted(int(guest["vmid"]) for guest in agent.nodes(world.node).lxc.get())
    checks.equal("guests", guests, [GUEST, OTHER])
    visible = [int(guest["vmid"]) for guest in ctl.nodes(world.node).lxc.get()]
    checks.equal("guests that the guest's own token sees", visible, [GUEST])
    storages = {entry["storage"]: entry["type"] for entry in agent.nodes(world.node).storage.get()}
    checks.equal("storages", storages, {"local": "dir", "local-lvm": "lvmthin"})


def snapshots(checks, agent, guest):
    def names():
        return sorted(entry["name"] for entry in guest.snapshot.get())

    before = names()
    upid = guest.snapshot.post(snapname="outsider", description="made by proxmoxer")
    checks.equal("the task's type", Tasks.decode_upid(upid)["type"], "vzsnapshot")
    checks.task("snapshot", upid, agent)
    checks.equal("snapshots with the new one", names(), sorted([*before, "outsider"]))
    again = guest.snapshot.post(snapname="outsider")
    checks.task("snapshot of a name in use", again, agent, "snapshot name 'outsider' already used")
    checks.task("delete snapshot", guest.snapshot("outsider").delete(), agent)
    checks.equal("snapshots afterwards", names(), before)


def backups(storage):
    return {entry["volid"] for entry in storage.content.get(content="backup", vmid=GUEST)}


def backup(world, checks, agent, guest):
    node = agent.nodes(world.node)
    storage = node.storage("local")
    before = backups(storage)
    upid = node.vzdump.post(vmid=GUEST, storage="local", mode="snapshot", compress="zstd", remove=0,
                            **{"notes-template": "made by proxmoxer"})
    checks.task("backup", upid, agent)
    log = [line["t"] for line in node.tasks(upid).log.get(limit=0)]
    checks.that("the log says that the backup finished", f"INFO: Finished Backup of VM {GUEST} " in " ".join(log), log)
    new = sorted(backups(storage) - before)
    checks.equal("new archives", len(new), 1)
    entry = next(entry for entry in storage.content.get(content="backup") if entry["volid"] == new[0])
    checks.equal("the archive's notes", entry.get("notes"), "made by proxmoxer")
    checks.that("the archive has a size", int(entry["size"]) > 0, entry)
    status = guest.status.current.get()
    checks.equal("the guest afterwards", (status["status"], status.get("lock")), ("running", None))
    return new[0]


def wait_for_address(scratch):
    """The guest's init needs a moment after the start task to bring the interface up."""
    seen = None
    for _ in range(100):
        seen = {entry["name"]: entry.get("inet") for entry in scratch.interfaces.get() or []}
        if seen.get("eth0"):
            break
        time.sleep(0.1)
    return seen


def restore(world, checks, test, archive):
    node = test.nodes(world.node)
    scratch = node.lxc(SCRATCH)
    upid = node.lxc.post(vmid=SCRATCH, ostemplate=archive, restore=1, storage="local-lvm", pool="felhom-scratch",
                         rootfs="local-lvm:2", onboot=0, memory=128,
                         net0=f"name=eth0,bridge=vmbr9,link_down=1,ip={ADDRESS}")
    checks.equal("the task's type", Tasks.decode_upid(upid)["type"], "vzrestore")
    checks.task("restore", upid, test)
    net = scratch.config.get()["net0"].split(",")
    checks.that("the copy hangs on the isolated bridge, link down", {"bridge=vmbr9", "link_down=1"} <= set(net), net)
    checks.task("start", scratch.status.start.post(), test)
    checks.equal("the copy", scratch.status.current.get()["status"], "running")
    checks.equal("the address inside the copy", wait_for_address(scratch).get("eth0"), ADDRESS)
    checks.refused("destroying a running guest", 500, f"unable to destroy CT {SCRATCH} - container is running",
                   scratch.delete)
    checks.task("stop", scratch.status.stop.post(), test)
    checks.task("destroy", scratch.delete(), test)
    left = [int(guest["vmid"]) for guest in node.lxc.get()]
    checks.that("the copy is gone", SCRATCH not in left, left)


def refusals(world, checks, agent, ctl, test, archive):
    wrong = world.connect("felhom-agent@pve!agent", secret="00000000-0000-4000-8000-000000000000")
    checks.refused("a wrong secret", 401, "Authentication failed!", wrong.version.get)
    other = ctl.nodes(world.node).lxc(OTHER)
    checks.refused("a snapshot of somebody else's guest", 403, f"Permission check failed (/vms/{OTHER}, VM.Snapshot)",
                   other.snapshot.post, snapname="outsider")
    checks.refused("stopping a production guest", 403, f"Permission check failed (/vms/{OTHER}, VM.PowerMgmt)",
                   test.nodes(world.node).lxc(OTHER).status.stop.post)
    checks.refused("a restore onto the production bridge", 403,
                   "Permission check failed (/sdn/zones/localnetwork/vmbr0, SDN.Use)",
                   test.nodes(world.node).lxc.post, vmid=SCRATCH, ostemplate=archive, restore=1, storage="local-lvm",
                   pool="felhom-scratch", rootfs="local-lvm:2", net0="name=eth0,bridge=vmbr0")
    node = agent.nodes(world.node)
    checks.refused("starting what runs", 500, f"CT {GUEST} already running", node.lxc(GUEST).status.start.post)
    checks.refused("restoring over a guest", 500, f"CT {GUEST} already exists on node '{world.node}'",
                   node.lxc.post, vmid=GUEST, ostemplate=archive, restore=1, storage="local-lvm")
    checks.refused("the configuration of nobody", 500,
                   f"Configuration file 'nodes/{world.node}/lxc/{SCRATCH}.conf' does not exist",
                   node.lxc(SCRATCH).config.get)
    checks.refused("a snapshot name that is none", 400, "Parameter verification failed.",
                   node.lxc(GUEST).snapshot.post, snapname="1 2")
    # vzdump asks for the right on the guest inside its task: the call itself is a 200.
    upid = ctl.nodes(world.node).vzdump.post(vmid=OTHER, storage="local")
    checks.task("backup of somebody else's guest", upid, ctl, f"403 Permission check failed (/vms/{OTHER}, VM.Backup)")


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        world = World(json.load(file))
    checks = Checks()
    certificate(world, checks)
    agent, ctl, test = (world.connect(token) for token in
                        ("felhom-agent@pve!agent", "felhom-ctl@pve!ctl", "felhom-test@pve!restore-test"))
    guest = agent.nodes(world.node).lxc(GUEST)
    lists(world, checks, agent, ctl)
    snapshots(checks, agent, guest)
    archive = backup(world, checks, agent, guest)
    refusals(world, checks, agent, ctl, test, archive)
    restore(world, checks, test, archive)
    storage = agent.nodes(world.node).storage("local")
    checks.task("delete the archive", storage.content(archive).delete(), agent)
    checks.that("the archive is gone", archive not in backups(storage))
    return checks.summary()


if __name__ == "__main__":
    sys.exit(main())
