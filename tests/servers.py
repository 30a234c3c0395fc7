"""Servers of DVC remotes on the loopback interface: S3, SSH, WebDAV, and HTTP to read from."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import Repo, run


@dataclass(frozen=True)
class Server:
    """A remote's address, what DVC is told beside it, and the folder in which its objects lie.

    ``requests``: the method and path of each, where they are known.
    """

    kind: str
    url: str
    options: dict[str, str] = field(default_factory=dict)
    folder: Path | None = None
    requests: list[str] = field(default_factory=list)

    def default_of(self, repo: Repo, name: str = "far") -> None:
        """Make it the default remote of a repository."""
        config = repo / ".dvc/config"
        text = config.read_text().replace("remote = store", f"remote = {name}")
        config.write_text(f"{text}['remote \"{name}\"']\n    url = {self.url}\n")

    def give_access(self, repo: Repo, name: str = "far") -> None:
        """What a user keeps to himself: addresses and credentials."""
        values = "".join(f"    {key} = {value}\n" for key, value in self.options.items())
        (repo / ".dvc/config.local").write_text(f"['remote \"{name}\"']\n{values}")

    def replace(self, md5: str, data: bytes | None) -> None:
        """Have different bytes in the place of an object; None: have it vanish."""
        name = f"files/md5/{md5[:2]}/{md5[2:]}"
        if self.folder is None:
            client, where = s3_client(self.options["endpointurl"]), {"Bucket": "experiments"}
            if data is None:
                client.delete_object(Key=f"store/{name}", **where)
            else:
                client.put_object(Key=f"store/{name}", Body=data, **where)
            return
        path = self.folder / name
        path.unlink()
        if data is not None:
            path.write_bytes(data)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


# -- S3 --------------------------------------------------------------------------------------------


@contextmanager
def s3_server() -> Iterator[Server]:
    """moto's S3, in this process, with an empty bucket."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log_request(self, *args: object) -> None:
            pass

    _read_models_once()
    requests: list[str] = []
    app = DomainDispatcherApplication(create_backend_app)

    def counted(environ: Any, start: Any) -> Any:
        requests.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        return app(environ, start)

    server = make_server("127.0.0.1", 0, counted, threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    s3_client(endpoint).create_bucket(Bucket="experiments")
    options = {
        "endpointurl": endpoint,
        "access_key_id": "test",
        "secret_access_key": "test",
        "region": "us-east-1",
    }
    try:
        yield Server("s3", "s3://experiments/store", options, None, requests)
    finally:
        server.shutdown()
        server.server_close()


def _read_models_once() -> None:
    """botocore reads its descriptions of services, megabytes of JSON, for each session again."""
    from botocore.loaders import JSONFileLoader

    if hasattr(JSONFileLoader, "known"):
        return
    read = JSONFileLoader.load_file
    known = JSONFileLoader.known = {}

    def load_file(loader: JSONFileLoader, path: str) -> Any:
        if path not in known:
            known[path] = read(loader, path)
        return known[path]

    JSONFileLoader.load_file = load_file


@contextmanager
def few_authorities(folder: Path) -> Iterator[None]:
    """Clients read one certificate instead of all authorities, which takes each of them longer than
    what it asks; the servers here have none."""
    import certifi

    whole = Path(certifi.where()).read_text("utf-8")
    end = "-----END CERTIFICATE-----\n"
    few = folder / "authorities.pem"
    few.write_text(whole[whole.index("-----BEGIN") : whole.index(end) + len(end)], "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("SSL_CERT_FILE", "AWS_CA_BUNDLE"):
            patch.setenv(name, str(few))
        yield


def s3_client(endpoint: str) -> Any:
    """A client of the server at ``endpoint``."""
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


# -- SSH -------------------------------------------------------------------------------------------

_SSHD = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
PidFile {folder}/sshd.pid
AuthorizedKeysFile {folder}/user_key.pub
StrictModes no
UsePAM no
PasswordAuthentication no
PubkeyAuthentication yes
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
"""


def sshd_path() -> str | None:
    """OpenSSH's server, which is not on every PATH."""
    return shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


@contextmanager
def ssh_server(folder: Path) -> Iterator[Server]:
    """OpenSSH's server with keys of its own."""
    sshd = sshd_path()
    assert sshd is not None
    folder.mkdir()
    for name in ("host_key", "user_key"):
        key = ("-q", "-t", "ed25519", "-N", "", "-f", folder / name)
        run("ssh-keygen", *key, cwd=folder).good()
    port = free_port()
    (folder / "config").write_text(_SSHD.format(port=port, folder=folder))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    server = subprocess.Popen(
        [sshd, "-D", "-e", "-f", str(folder / "config")], stderr=subprocess.DEVNULL
    )
    _wait_for(port)
    store = folder / "store"
    options = {
        "port": str(port),
        "user": getpass.getuser() if os.geteuid() else "root",
        "keyfile": str(folder / "user_key"),
    }
    try:
        yield Server("ssh", f"ssh://127.0.0.1{store}", options, store)
    finally:
        server.terminate()
        server.wait()


def _wait_for(port: int) -> None:
    for _ in range(200):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise AssertionError(f"nobody listens on port {port}")


# -- WebDAV ----------------------------------------------------------------------------------------


@contextmanager
def webdav_server(folder: Path) -> Iterator[Server]:
    """WsgiDAV in this process, with a user and a password."""
    from cheroot.wsgi import Server as WsgiServer
    from wsgidav.fs_dav_provider import FilesystemProvider
    from wsgidav.wsgidav_app import WsgiDAVApp

    (folder / "store").mkdir(parents=True)  # a collection is made by nobody else: RFC 4918, 9.3.1
    requests: list[str] = []
    users = {"*": {"ada": {"password": "secret"}}}
    app = WsgiDAVApp(
        {
            "provider_mapping": {"/": FilesystemProvider(str(folder))},
            "simple_dc": {"user_mapping": users},
            "logging": {"enable": False},
            "verbose": 0,
        }
    )

    def counted(environ: Any, start: Any) -> Any:
        requests.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        return app(environ, start)

    server = WsgiServer(("127.0.0.1", 0), counted)
    server.prepare()
    threading.Thread(target=server.serve, daemon=True).start()
    url = f"webdav://127.0.0.1:{server.bind_addr[1]}/store"
    try:
        yield Server(
            "webdav", url, {"user": "ada", "password": "secret"}, folder / "store", requests
        )
    finally:
        server.stop()


# -- HTTP ------------------------------------------------------------------------------------------


@contextmanager
def http_server(folder: Path, *, sizes: bool = True) -> Iterator[Server]:
    """The files of a folder, to be read only; unless ``sizes`` it does not say how long they are."""
    folder.mkdir(exist_ok=True)
    requests: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            requests.append(f"{self.command} {self.path}")

        def send_header(self, keyword: str, value: str) -> None:
            if sizes or keyword != "Content-Length":
                super().send_header(keyword, value)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Server("http", f"http://127.0.0.1:{server.server_port}", {}, folder, requests)
    finally:
        server.shutdown()
        server.server_close()
