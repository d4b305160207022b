"""Every kind of REDIS_URL with everything that uses it: leases, channel layer, broker, cache."""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import quote

import pytest
import redis
from channels.layers import get_channel_layer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.core.cache import caches

from lab.database import create_database, drop_database
from lab.installation import Installation
from lab.line import Line
from lab.waiting import patience, wait_until
from market import identity
from market.bus_address import parse
from market.domain.lease_store import Group
from market.ingest.lease_store_valkey import ValkeyLeaseStore, connect
from market.ingest.queues import queue_standings
from tests.conftest import SWITCHES
from trade_canvas.celery import Application

USER, PASSWORD = "some:one", "p@ss/w%rd,#"
KINDS = ("redis", "valkey", "rediss", "valkeys", "unix", "redis+socket")
STARTED_S = 60.0


def issue_certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Make a certificate for this machine; return a server's context and the file to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bus")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path, private = folder / "bus.pem", folder / "bus.key"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path, private)
    return context, path


@pytest.fixture(scope="module")
def addresses(tmp_path_factory):
    """An address of each kind, with a user and a password, for one Valkey."""
    folder = tmp_path_factory.mktemp("bus")
    session_valkey = os.environ["REDIS_URL"]
    port = parse(session_valkey)[0].port
    context, trusted = issue_certificate(folder)
    login = f"{quote(USER, safe='')}:{quote(PASSWORD, safe='')}@"
    with ExitStack() as stack:
        admin = stack.enter_context(closing(redis.Redis.from_url(session_valkey)))
        rights = {"keys": ["*"], "channels": ["*"], "categories": ["+@all"]}
        admin.acl_setuser(USER, enabled=True, passwords=[f"+{PASSWORD}"], **rights)
        stack.callback(admin.acl_deluser, USER)
        tls = Line([port], tls=context).start()
        stack.callback(tls.close)
        path = folder / "bus.sock"
        stack.callback(Line([port], path=path).start().close)
        yield {
            "redis": f"redis://{login}127.0.0.1:{port}/0",
            "valkey": f"valkey://{login}127.0.0.1:{port}/1",
            "rediss": f"rediss://{login}localhost:{tls.port}/0?ssl_ca_certs={trusted}",
            "valkeys": f"valkeys://{login}127.0.0.1:{tls.port}/0?ssl_cert_reqs=none",
            "unix": f"unix://{login}{path}?db=1",
            "redis+socket": f"redis+socket://{login}{path}?virtual_host=0",
        }


@pytest.fixture
def address(request, addresses, settings):
    """One address as the settings of a process would have it."""
    (parsed,) = parse(addresses[request.param])
    settings.REDIS_URL = parsed.client_url
    settings.CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "market.bus.valkey_layer.ValkeyLayer",
            "CONFIG": {"hosts": [{"address": parsed.client_url}]},
        }
    }
    shared = {**settings.CACHES["default"], "LOCATION": parsed.client_url}
    settings.CACHES = {**settings.CACHES, "default": shared}
    return parsed


every_kind = pytest.mark.parametrize("address", KINDS, indirect=True)


@every_kind
def test_leases_and_counts_of_log_ins_work_with(address):
    with closing(connect(address.client_url)) as client:
        leases, group = ValkeyLeaseStore(client), Group.parse("sim:spot:0")
        assert leases.take_group(group, "token", ttl=10)
        assert not leases.take_group(group, "other", ttl=10)
        leases.release_group(group, "token")
    caches["default"].set("log_in", 1, 10)
    assert caches["default"].get("log_in") == 1


@every_kind
async def test_the_channel_layer_works_with(address):
    layer = get_channel_layer()
    channel = await layer.new_channel()
    await layer.group_add("series", channel)
    await layer.group_send("series", {"type": "closed"})
    assert await layer.receive(channel) == {"type": "closed"}
    await layer._get_layer().flush()


@pytest.mark.parametrize("address", ["redis", "unix"], indirect=True)
async def test_a_connection_that_the_server_closed_loses_no_message(address):
    layer = get_channel_layer()
    channel = await layer.new_channel()
    await layer.group_add("series", channel)
    for number in range(3):
        with closing(connect(address.client_url)) as client:
            client.client_kill_filter(_type="normal")
        await layer.group_send("series", {"number": number})
        assert await layer.receive(channel) == {"number": number}
    await layer._get_layer().flush()


@every_kind
def test_the_broker_and_its_metrics_work_with(address):
    with Application("kinds", broker=address.broker_url, set_as_current=False) as app:
        app.conf.broker_use_ssl = address.broker_tls
        with app.connection_for_write() as connection:
            queue = connection.SimpleQueue("build")
            queue.put({"task": "nothing"})
            (*_, build), _ = queue_standings()
            assert build.waiting == 1
            message = queue.get(timeout=patience(10))
            assert message.payload == {"task": "nothing"}
            message.ack()
            queue.close()
    with closing(connect(address.client_url)) as client:
        client.delete(*client.scan_iter(identity.prefix() + "*"))


@pytest.mark.parametrize(
    "kind",
    ["rediss", *(pytest.param(each, marks=pytest.mark.prove) for each in KINDS)],
)
def test_an_installation_runs_with(kind, addresses, migrated_template, open_folder):
    url = create_database(migrated_template, prefix="kind", template=migrated_template)
    switches = {**SWITCHES, "TRADE_CANVAS_RECONCILE_INTERVAL_S": "0.5"}
    with Installation(
        open_folder, switches, database_url=url, redis_url=addresses[kind]
    ) as installation:
        installation.manage("installation", "--new")
        installation.start_all()
        # Beat queued a task, the worker ran it and recorded that in the lease store.
        with closing(connect(parse(addresses[kind])[0].client_url)) as client:
            key = f"{installation.prefix}member:reconcile reconcile"
            wait_until(lambda: client.exists(key), STARTED_S)
        # The password is in no log.
        logs = "".join(each.output() for each in installation.programs)
        assert PASSWORD not in logs and quote(PASSWORD, safe="") not in logs
    drop_database(url)
