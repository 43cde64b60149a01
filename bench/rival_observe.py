#!/usr/bin/env python3
"""The rival of `crates/proxmox/examples/observe.rs`: looks at every container with proxmoxer, as its manual shows.

Usage: rival_observe.py READY.json. Prints how many of each were read, and on stderr the seconds after the imports.
"""

import json
import sys
import time
import urllib.parse

from proxmoxer import ProxmoxAPI

began = time.monotonic()
with open(sys.argv[1], encoding="utf-8") as file:
    ready = json.load(file)
address = urllib.parse.urlsplit(ready["pve"]["url"])
api = ProxmoxAPI(address.hostname, port=address.port, user="felhom-agent@pve", token_name="agent",
                 token_value=ready["tokens"]["felhom-agent@pve!agent"], verify_ssl=False, timeout=30)
lxc = api.nodes(ready["pve"]["node"]).lxc
guests = [guest["vmid"] for guest in lxc.get()]
running = keys = snapshots = 0
for vmid in guests:
    guest = lxc(vmid)
    running += guest.status.current.get()["status"] == "running"
    keys += len(guest.config.get()) - 1  # the digest
    snapshots += len(guest.snapshot.get()) - 1  # the entry `current`
print(f"{len(guests)} guests, {running} running, {keys} configuration keys, {snapshots} snapshots")
print(time.monotonic() - began, file=sys.stderr)
