"""OpenStack Swift with an erasure-coded policy 4+2 on six devices of one machine, spoken to through its S3 API.

Swift reads /etc/swift/swift.conf at import, so its servers are started by a few lines that say where ours is. memcached
is used where it is installed; without it Swift asks its account and container servers more often.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.bench.compare.peers import KEYS, Peer, PeerMissing, Programs, bucket_is_there, free_ports, installed, until

DEVICES = 6
REPLICAS = 3
_LAUNCH = """
import sys
import swift.common.utils as utils
utils.SWIFT_CONF_FILE = sys.argv[1]
from importlib import import_module
role, conf = sys.argv[2:4]
sys.argv = [role, conf]
sys.exit(import_module(role).main())
"""
_RINGS = """
import json, os, sys
from swift.common.ring import RingBuilder
folder, rings, devices = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
for role, port, replicas in rings:
    builder = RingBuilder(6, replicas, 0)
    for n in range(devices):
        builder.add_dev({
            "id": n, "region": 1, "zone": n + 1, "ip": "127.0.0.1", "port": port, "device": f"d{n}", "weight": 100.0,
            "replication_ip": "127.0.0.1", "replication_port": port, "meta": "",
        })
    builder.rebalance(seed="1")
    builder.get_ring().save(os.path.join(folder, f"{role}.ring.gz"))
"""
_MODULES = {
    "proxy": "swift.proxy.server",
    "account": "swift.account.server",
    "container": "swift.container.server",
    "object": "swift.obj.server",
}
_SWIFT_CONF = """[swift-hash]
swift_hash_path_suffix = bench
swift_hash_path_prefix = bench

[storage-policy:0]
name = ec42
policy_type = erasure_coding
ec_type = isa_l_rs_vand
ec_num_data_fragments = 4
ec_num_parity_fragments = 2
ec_object_segment_size = 1048576
default = yes
"""
_SERVER_CONF = """[DEFAULT]
swift_dir = {folder}
devices = {folder}/node
mount_check = false
bind_ip = 127.0.0.1
bind_port = {port}
workers = {workers}
user = {user}
log_level = ERROR
disable_fallocate = true

[pipeline:main]
pipeline = {role}-server

[app:{role}-server]
use = egg:swift#{role}
"""
_PROXY_CONF = """[DEFAULT]
swift_dir = {folder}
bind_ip = 127.0.0.1
bind_port = {port}
workers = 2
user = {user}
log_level = ERROR

[pipeline:main]
pipeline = catch_errors {cache} s3api tempauth proxy-server

[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true

[filter:tempauth]
use = egg:swift#tempauth
user_bench_bench = {secret} .admin

[filter:s3api]
use = egg:swift#s3api
s3_acl = false
location = us-east-1

[filter:catch_errors]
use = egg:swift#catch_errors

[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{memcached}
"""


def swift(folder: Path) -> list[Peer]:
    """PeerMissing when it cannot be installed or started."""
    binaries = installed("swift", ["swift", "pyeclib", "setuptools<81"])
    folder.mkdir(parents=True)
    account, container, object_, proxy, memcached = free_ports(5)
    ports = {"account": account, "container": container, "object": object_}
    memcached_program = shutil.which("memcached")
    user = _user()
    (folder / "swift.conf").write_text(_SWIFT_CONF)
    for number in range(DEVICES):
        (folder / "node" / f"d{number}").mkdir(parents=True)
    for role, port in ports.items():
        workers = 2 if role == "object" else 1
        text = _SERVER_CONF.format(folder=folder, role=role, port=port, workers=workers, user=user)
        (folder / f"{role}.conf").write_text(text)
    _make_rings(binaries, folder, ports)
    cache = "cache" if memcached_program else ""
    text = _PROXY_CONF.format(
        folder=folder, port=proxy, user=user, cache=cache, memcached=memcached, secret=KEYS.secret_access_key
    )
    (folder / "proxy.conf").write_text(text)
    programs = Programs(folder)
    try:
        if memcached_program:
            programs.start("memcached", [memcached_program, "-l", "127.0.0.1", "-p", str(memcached), "-u", user])
        for role, module in _MODULES.items():
            command = [str(binaries / "python"), "-c", _LAUNCH, str(folder / "swift.conf"), module]
            programs.start(f"swift-{role}", [*command, str(folder / f"{role}.conf")])
        peer = _peer(proxy, programs, cached=bool(memcached_program))
        until("Swift", lambda: bucket_is_there(peer), programs)
    except BaseException:
        programs.stop()
        raise
    return [peer]


def _peer(port: int, programs: Programs, *, cached: bool) -> Peer:
    from cli.client_http import Credentials

    name = "Swift EC 4+2" if cached else "Swift EC 4+2, no memcached"
    keys = Credentials("bench:bench", KEYS.secret_access_key)
    return Peer(name, f"http://127.0.0.1:{port}", True, programs, credentials=keys)


def _make_rings(binaries: Path, folder: Path, ports: Mapping[str, int]) -> None:
    """swift-ring-builder's work, for all rings in one process: its imports take longer than the rest."""
    rings = [[role, port, DEVICES if role == "object" else REPLICAS] for role, port in ports.items()]
    command = [str(binaries / "python"), "-c", _RINGS, str(folder), json.dumps(rings), str(DEVICES)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if ran.returncode:
        raise PeerMissing(f"ring builder: {(ran.stdout + ran.stderr).strip()[-200:]}")


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name
