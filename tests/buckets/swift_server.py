"""Run a complete OpenStack Swift in one process: `python swift_server.py FOLDER DOMAIN REGION`.

Prints its port and serves until standard input is closed. It has a proxy, an account, a container and an object server
without replicas, and the middleware for the S3 interface. Needs swift, not ssim_ae.
"""

import sys
import warnings

warnings.simplefilter("ignore")  # eventlet warns that it is deprecated

import eventlet  # noqa: E402

eventlet.monkey_patch()

from pathlib import Path  # noqa: E402

from eventlet import wsgi  # noqa: E402
from swift.common import utils  # noqa: E402
from swift.common.ring import RingBuilder  # noqa: E402
from swift.common.wsgi import SwiftHttpProtocol, loadapp  # noqa: E402

BACKENDS = ("account", "container", "object")
BACKEND = """
[DEFAULT]
devices = {folder}
mount_check = false
swift_dir = {folder}
[app:main]
use = egg:swift#{name}
"""
PROXY = """
[DEFAULT]
swift_dir = {folder}
[pipeline:main]
pipeline = catch_errors gatekeeper listing_formats bulk s3api tempauth slo versioned_writes proxy-server
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:s3api]
use = egg:swift#s3api
storage_domain = {domain}
location = {region}
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:slo]
use = egg:swift#slo
[filter:versioned_writes]
use = egg:swift#versioned_writes
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
"""


def main(folder: Path, domain: str, region: str) -> None:
    """Start the four servers."""
    (folder / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = test\n")
    utils.SWIFT_CONF_FILE = str(folder / "swift.conf")
    utils.validate_hash_conf()
    (folder / "disk").mkdir()
    sockets = {name: eventlet.listen(("127.0.0.1", 0)) for name in BACKENDS}
    for name, socket in sockets.items():
        ring = RingBuilder(part_power=1, replicas=1, min_part_hours=1)
        device = {"ip": "127.0.0.1", "port": socket.getsockname()[1], "device": "disk"}
        ring.add_dev({"id": 0, "region": 1, "zone": 1, "weight": 1, **device})
        ring.rebalance()
        ring.get_ring().save(str(folder / f"{name}.ring.gz"))
    for name, socket in sockets.items():
        eventlet.spawn(serve, socket, folder, name, BACKEND.format(folder=folder, name=name))
    front = eventlet.listen(("127.0.0.1", 0))
    print(front.getsockname()[1], flush=True)
    eventlet.spawn(serve, front, folder, "proxy", PROXY.format(folder=folder, domain=domain, region=region))
    eventlet.hubs.trampoline(sys.stdin, read=True)


def serve(socket: object, folder: Path, name: str, config: str) -> None:
    """Run one of the four servers."""
    (folder / f"{name}.conf").write_text(config)
    app = loadapp(str(folder / f"{name}.conf"), global_conf={})
    wsgi.server(socket, app, log_output=False, protocol=SwiftHttpProtocol)


main(Path(sys.argv[1]), *sys.argv[2:])
