"""The command `localarm`: a strict local Azure (Resource Manager, instance metadata, tokens) for this machine."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from localarm.server import Place
    from localarm.settings import Settings

DEFAULT_STATE = Path("/var/lib/localarm")
AZURE_ASSET_TAG = "7783-7084-3265-9085-8269-3286-77"
ASSET_TAG = Path("/sys/class/dmi/id/chassis_asset_tag")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status (0 done, 1 failed, 2 wrong usage)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = _parser().parse_args(arguments)
    if options.command in ("lease", "serve") and _on_azure():
        print(
            "localarm: this is a virtual machine in Azure; a local cloud would stand in the way of the real one "
            "(where nothing else uses that, on a CI machine, LOCALARM_ON_AZURE=1 allows it)",
            file=sys.stderr,
        )
        return 1
    run = {
        "lease": _lease,
        "serve": _serve,
        "status": _status,
        "images": _images,
        "export": _export,
        "reset": _reset,
        "faults": _faults,
    }
    try:
        return run[options.command](options)
    except OSError as error:
        print(f"localarm: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="localarm", description="A strict local Azure: Resource Manager, instance metadata and tokens on loopback."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    lease = commands.add_parser(
        "lease",
        help="start the server if it does not run, and keep it running until standard input ends; prints "
        "one line of JSON with its addresses",
    )
    serve = commands.add_parser("serve", help="run the server in the foreground")
    status = commands.add_parser("status", help="say whether a server runs, and what the world holds")
    images = commands.add_parser("images", help="list what was built: images, gallery image versions, snapshots")
    export = commands.add_parser("export", help="write the raw disk of an image, version, snapshot or disk to a file")
    reset = commands.add_parser("reset", help="forget the world: every resource and disk in its state directory")
    reset.add_argument("--yes", action="store_true", help="do it; without this, it is only said what would go")
    faults = commands.add_parser(
        "faults",
        help="list, add or clear faults of the running server (docs/localarm-operations.md has the vocabulary)",
    )
    for each in (lease, serve, status, images, export, reset, faults):
        each.add_argument(
            "--state",
            type=Path,
            default=DEFAULT_STATE,
            metavar="DIR",
            help="where the world is kept (default %(default)s)",
        )
    export.add_argument("id", help="full id, or a name that only one of them has")
    export.add_argument("file", type=Path, help="where to write the disk (sparse)")
    faults.add_argument("action", choices=("list", "add", "clear"), nargs="?", default="list")
    faults.add_argument(
        "fault",
        nargs="*",
        help='with add: faults as JSON, such as \'{"what": "lose", "method": "PUT", "kind": "disks"}\'',
    )
    for each in (lease, serve):
        _world_options(each)
    serve.add_argument("--host", default="127.0.0.1", help="address of the HTTPS door")
    serve.add_argument("--port", type=_port, default=0, help="its port (default: any free one)")
    serve.add_argument("--metadata-host", default="127.0.0.1", help="address of the instance metadata (plain HTTP)")
    serve.add_argument("--metadata-port", type=_port, default=0, help="its port (default: any free one)")
    serve.add_argument("--until-idle", action="store_true", help="end when the last lease is gone")
    serve.add_argument("--ready-fd", type=int, default=-1, help=argparse.SUPPRESS)
    return parser


def _world_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--vm-name", default="build-host", help="name of the virtual machine that this machine plays")
    parser.add_argument("--vm-size", default="Standard_D32s_v5", help="its size; decides how many data disks it takes")
    parser.add_argument("--vm-zone", default="", help="its availability zone (default: none)")
    parser.add_argument("--location", default="westeurope", help="its region")
    parser.add_argument("--group", default="gilder-local", help="its resource group")
    parser.add_argument(
        "--machine",
        type=_machine,
        action="append",
        default=[],
        metavar="NAME[,size=S][,group=G][,location=L][,zone=Z][,subscription=ID]",
        help="one more virtual machine of a new world, which this machine does not play; its group and subscription are "
        "there then; may be given again (default: Standard_D2s_v5, in the group and region of the first)",
    )
    parser.add_argument(
        "--latency",
        choices=("none", "recorded", "median"),
        default="none",
        help="how long operations take: not at all, as recorded on Azure, or the recorded medians",
    )
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies every duration")
    parser.add_argument(
        "--throttle",
        choices=("on", "off", "auto"),
        default="auto",
        help="Azure's request limits (auto: on with --latency recorded)",
    )
    parser.add_argument(
        "--concurrent-writes",
        choices=("refuse", "preempt"),
        default="refuse",
        help="what a second write to a virtual machine meets while one runs",
    )
    parser.add_argument("--seed", type=int, default=0, help="of everything drawn at random")
    parser.add_argument(
        "--token-lifetime",
        type=int,
        default=86399,
        metavar="SECONDS",
        help="how long tokens last (default %(default)s)",
    )
    parser.add_argument(
        "--newest-api",
        default="2026-12-31",
        metavar="DATE",
        help="the newest api-version that the cloud has: others than the public one lag behind (default: any)",
    )
    parser.add_argument(
        "--devices", choices=("loop", "none"), default="loop", help="whether attached disks become devices (needs root)"
    )
    parser.add_argument(
        "--links",
        type=Path,
        default=Path("/dev/disk/azure"),
        metavar="DIR",
        help="where the device names of data disks appear",
    )
    parser.add_argument(
        "--role",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a role definition as `az role definition create` takes it: callers may then do only that, on its "
        "AssignableScopes (default: everything); may be given again",
    )
    parser.add_argument(
        "--catalogue", type=Path, default=DEFAULT_STATE / "catalogue", metavar="DIR", help="cache of platform images"
    )


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{number} is no port: 0 to 65535")
    return number


MACHINE = ("size", "group", "location", "zone", "subscription")


def _machine(text: str) -> str:
    """A machine's description, checked and kept as it is: it is passed on to the server."""
    name, *members = text.split(",")
    if not name or any(member.partition("=")[0] not in MACHINE or not member.partition("=")[2] for member in members):
        raise argparse.ArgumentTypeError(f"{text!r} is no machine: NAME, and maybe {', '.join(MACHINE)} as NAME=VALUE")
    return text


def _on_azure() -> bool:
    if os.environ.get("LOCALARM_ON_AZURE") == "1":
        return False
    try:
        return ASSET_TAG.read_text().strip() == AZURE_ASSET_TAG
    except OSError:
        return False


def _lease(options: argparse.Namespace) -> int:
    from localarm import lease

    return lease.run(options.state.absolute(), _passed_on(options))


def _passed_on(options: argparse.Namespace) -> list[str]:
    """The options of a lease that its server gets, as arguments."""
    names = (
        "vm_name", "vm_size", "vm_zone", "location", "group", "latency", "scale", "throttle", "concurrent_writes", "seed",
        "token_lifetime", "newest_api", "devices", "links", "catalogue",
    )  # fmt: skip
    found = [f"--{name.replace('_', '-')}={getattr(options, name)}" for name in names]
    found += [f"--machine={each}" for each in options.machine]
    return found + [f"--role={file.absolute()}" for file in options.role]


def _settings(options: argparse.Namespace) -> Settings:
    from localarm.role_files import with_roles
    from localarm.settings import Machine, Settings

    host = Machine(options.vm_name, options.group, options.location, options.vm_size, options.vm_zone)
    more = []
    for each in options.machine:
        name, *members = each.split(",")
        defaults = {"size": "Standard_D2s_v5", "group": options.group, "location": options.location}
        more.append(Machine(name, **{**defaults, **dict(member.split("=", 1) for member in members)}))
    throttle = {"on": True, "off": False}.get(options.throttle)
    settings = Settings(
        group=options.group, location=options.location, latency=options.latency, scale=options.scale, throttle=throttle,
        concurrent_writes=options.concurrent_writes, seed=options.seed, machines=(host, *more),
        token_lifetime=options.token_lifetime, newest_api=options.newest_api,
    )  # fmt: skip
    return with_roles(settings, options.role)


def _place(options: argparse.Namespace) -> Place:
    from localarm.server import Place

    return Place(
        options.state.absolute(),
        host=options.host,
        port=options.port,
        metadata_host=options.metadata_host,
        metadata_port=options.metadata_port,
        devices=options.devices,
        links=options.links,
        catalogue=options.catalogue.absolute(),
        until_idle=options.until_idle,
        ready_fd=options.ready_fd,
        options=tuple(_passed_on(options)),
    )


@contextlib.contextmanager
def _no_authorities() -> Iterator[None]:
    """Inside, TLS finds no certificate authorities of the system.

    aiohttp makes contexts for clients when it is imported and reads them all, which takes longer than the rest of the start;
    this server is no client.
    """
    names = ("SSL_CERT_FILE", "SSL_CERT_DIR")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, os.devnull))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(options: argparse.Namespace) -> int:
    import logging

    from localarm import server
    from localarm.devices import DeviceError
    from localarm.role_files import BadRole

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    place = _place(options)
    try:
        server.run(place, _settings(options))
    except (server.Occupied, DeviceError, OSError, BadRole) as error:
        print(f"localarm: {error}", file=sys.stderr)
        if place.ready_fd >= 0:
            os.write(place.ready_fd, f"{error}\n".encode())
        return 1
    return 0


def _status(options: argparse.Namespace) -> int:
    from localarm import inspection

    return inspection.status(options.state.absolute())


def _images(options: argparse.Namespace) -> int:
    from localarm import inspection

    return inspection.images(options.state.absolute())


def _export(options: argparse.Namespace) -> int:
    from localarm import inspection

    return inspection.export(options.state.absolute(), options.id, options.file)


def _reset(options: argparse.Namespace) -> int:
    from localarm import inspection

    return inspection.reset(options.state.absolute(), sure=options.yes)


def _faults(options: argparse.Namespace) -> int:
    from localarm import inspection

    return inspection.faults(options.state.absolute(), options.action, options.fault)


if __name__ == "__main__":
    sys.exit(main())
