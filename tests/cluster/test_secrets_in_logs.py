"""A whole network at the level "debug", through successes, refusals and failures: no line of its logs holds a key, a
password, a signature or an Authorization header, and neither does any file that it leaves behind."""

from __future__ import annotations

import io
import logging
import secrets
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, quote, urlsplit

import aiohttp
import boto3
import pytest
import pytest_asyncio
import structlog
from botocore.config import Config
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from yarl import URL

from gateway.auth.sigv4_text import Scope, signing_key
from sp.crypto.private import PrivateKey
from sp.domain.errors import SpError
from sp.runtime import log
from sp.runtime.config import LogConfig
from tests.cluster.making import PASSWORD
from tests.cluster.network import KIB, REGION, Account, Network, running_network
from tests.cluster.s3 import S3, s3_session
from tests.cluster.users import User
from tests.secrets_seen import Secrets, files_below

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]

BODY = secrets.token_bytes(150 * KIB)
DOMAIN = "https://app.example"


@dataclass
class Run:
    """A network that has done its worst: what it said, and what it must not have said."""

    network: Network
    said: io.StringIO
    secrets: Secrets = field(default_factory=Secrets)


@pytest.fixture(scope="module")
def said() -> Iterator[io.StringIO]:
    """All that is logged, through the very processors and handlers of a process in production."""
    before, root, stderr = structlog.get_config(), logging.getLogger(), sys.stderr
    handlers, level = root.handlers[:], root.level
    sys.stderr = text = io.StringIO()
    log.configure(LogConfig(level="debug", format="json"), "sp")
    try:
        yield text
    finally:
        sys.stderr = stderr
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.configure(**before)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def run(said: io.StringIO, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Run]:
    async with running_network(tmp_path_factory.mktemp("network"), 7, changes={"log": {"level": "debug"}}) as network:
        made = Run(network, said)
        with pytest.MonkeyPatch.context() as patch:
            _remember_what_is_signed(made.secrets, patch)
            await _succeed(made)
            await _be_refused(made)
            await _fail(made)
            log.configure(LogConfig(level="debug", format="console"), "sp")
            await _be_refused(made)
            await _fail(made)
        for sp in network.sps:
            made.secrets.add_provider(
                sp.name, sp.dir / "signer" / "keystore.json", sp.dir / "password", sp.dir / "signer" / "accounts"
            )
        yield made


def _remember_what_is_signed(known: Secrets, patch: pytest.MonkeyPatch) -> None:
    signed = S3.signed

    def remembering(
        client: S3, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes | None
    ) -> list[tuple[str, str]]:
        added = signed(client, method, path, query, headers, body)
        for name, value in added:
            if name == "authorization":
                known.add_authorization(value)
        return added

    patch.setattr(S3, "signed", remembering)


async def _succeed(run: Run) -> None:
    network, primary = run.network, run.network.sps[0]
    async with s3_session(primary, network.account) as client:
        await client.make_bucket("photos")
        for name in ("kept", "damaged"):
            assert (await client.put("photos", name, BODY)).status == 200
            await network.sealed(primary, "photos", name)
        assert (await client.get("photos", "kept", range="bytes=5-70000")).status == 206
        assert (await client.put("photos", "deleted", b"x")).status == 200
        assert (await client.call("DELETE", "/photos/deleted")).status == 204
        for version in ("s3v4", "s3"):
            url = _presigned(run, version, 60)
            async with client.session.get(URL(url, encoded=True)) as answer:
                assert (answer.status, await answer.read()) == (200, BODY)
        made, secret = await primary.signer.create_account("another")
        run.secrets.add("secret of a new account", secret)
        another = Account(PrivateKey.generate(secrets.token_bytes), made.access_key_id, secret)
        async with s3_session(primary, another) as others:
            assert (await others.get("photos", "kept")).status == 403
    day = time.strftime("%Y%m%d", time.gmtime())
    for account in (network.account, another):
        scope = Scope(account.access_key_id, day, REGION, "s3")
        run.secrets.add(f"key of the day {account.access_key_id}", signing_key(account.secret_access_key, scope))


def _presigned(run: Run, version: str, valid_s: int) -> str:
    """A URL to read `kept`; its signature is a secret."""
    account = run.network.account
    client = boto3.session.Session().client(
        "s3",
        endpoint_url=run.network.sps[0].endpoint,
        region_name=REGION,
        aws_access_key_id=account.access_key_id,
        aws_secret_access_key=account.secret_access_key,
        config=Config(signature_version=version, s3={"addressing_style": "path"}),
    )
    url: str = client.generate_presigned_url("get_object", {"Bucket": "photos", "Key": "kept"}, valid_s)
    query = parse_qs(urlsplit(url).query)
    run.secrets.add(f"URL {len(run.secrets.known)}", query.get("X-Amz-Signature", query.get("Signature", [""]))[0])
    return url


async def _be_refused(run: Run) -> None:
    network, primary = run.network, run.network.sps[0]
    wrong = Account(network.account.key, network.account.access_key_id, secrets.token_hex(20))
    unknown = Account(network.account.key, "GNFDNOBODYKNOWSIT", secrets.token_hex(20))
    for account in (wrong, unknown):
        run.secrets.add(f"secret {len(run.secrets.known)}", account.secret_access_key)
        async with s3_session(primary, account) as client:
            assert (await client.put("photos", "kept", b"x")).status == 403
            assert (await client.get("photos", "kept")).status == 403
    user, stranger = User.new(network.chain), PrivateKey.generate(secrets.token_bytes)
    for key in (user.key, stranger):
        run.secrets.add(f"wallet {len(run.secrets.known)}", key.reveal_hex()[-64:])
        async with s3_session(primary, None, key) as client:
            assert (await client.put("photos", "kept", b"x")).status >= 400
            tampered = await client.call("GET", "/photos/kept", tamper={"path": "/photos/other"})
            assert tampered.status >= 400
    async with aiohttp.ClientSession() as session:
        for version in ("s3v4", "s3"):
            url = _presigned(run, version, 60)
            for changed in (f"{url}&acl", url.replace("/kept", "/damaged")):
                async with session.get(URL(changed, encoded=True)) as answer:
                    assert answer.status == 403, await answer.read()
        await _knock_as_an_application(run, session)


async def _knock_as_an_application(run: Run, session: aiohttp.ClientSession) -> None:
    """With an application's key that nobody has registered, in headers and in a link."""
    key = Ed25519PrivateKey.generate()
    run.secrets.add(f"application {len(run.secrets.known)}", key.private_bytes_raw())
    signature = key.sign(secrets.token_bytes(32)).hex()
    given = {
        "x-gnfd-user-address": run.network.account.address,
        "x-gnfd-app-domain": DOMAIN,
        "x-gnfd-app-reg-public-key": key.public_key().public_bytes_raw().hex(),
        "x-gnfd-expiry-timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60)),
    }
    authorization = f"GNFD2-EDDSA,Signature={signature}"
    run.secrets.add_authorization(authorization)
    base = f"{run.network.sps[0].endpoint}/photos/kept"
    async with session.get(base, headers={**given, "authorization": authorization}) as answer:
        assert answer.status >= 400
    linked = {**given, "Authorization": authorization}
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in linked.items())
    async with session.get(URL(f"{base}?{query}", encoded=True)) as answer:
        assert answer.status >= 400


async def _fail(run: Run) -> None:
    """A disk that fails, a lost piece, a mistake in a service's code, a signer that is asked for what it may not."""
    network, primary = run.network, run.network.sps[0]
    async with s3_session(primary, network.account) as client:
        primary.pieces.fail_after(puts=0)
        assert (await client.put("photos", "failed", BODY)).status in (500, 503)
        primary.pieces.heal()
        job = await network.job(primary, "photos", "damaged")
        for key in [key async for key in primary.pieces.keys() if str(key).startswith(f"u{job.id}_s0")]:  # noqa: SIM118
            await primary.pieces.drop(key)
        assert (await client.get("photos", "damaged")).body == BODY
        await _with_a_bug(run, client)
    with pytest.raises(SpError):
        await primary.signer.import_account("tester", secrets.token_bytes(32), "AK_OTHER", "another-secret-" + "x" * 9)


async def _with_a_bug(run: Run, client: S3) -> None:
    """An exception that nobody meant, raised where secrets are in scope."""

    async def broken(access_key_id: str, *_: str) -> None:
        secret = run.network.account.secret_access_key
        raise RuntimeError(f"a bug with a secret of {len(secret)} characters in its frame")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(run.network.sps[0].signer), "verify_sigv2", lambda self, *given: broken(*given))
        async with client.session.get(URL(_presigned(run, "s3", 60), encoded=True)) as answer:
            assert answer.status == 500


async def test_no_secret_stands_in_any_line_of_the_logs(run: Run) -> None:
    text = run.said.getvalue()
    assert '"level": "debug"' in text
    assert "[error  ] request failed" in text
    assert text.count("request failed") == 2
    assert text.count("a bug with a secret") >= 2
    assert run.secrets.seen_in({"the log": text.encode()}) == []


async def test_no_secret_stands_in_a_file_that_a_thief_could_copy_but_the_password_in_its_own(run: Run) -> None:
    """The database, its journal, the pieces, the keystore and the accounts of every provider, and the chain's data."""
    files = files_below([run.network.dir], leave_out=frozenset({"password"}))
    assert any(name.endswith("spdb.sqlite") for name in files)
    assert any(name.endswith("keystore.json") for name in files)
    assert run.secrets.seen_in(files) == []


async def test_the_search_would_find_what_it_looks_for(run: Run) -> None:
    for name, secret in run.secrets.known.items():
        written = secret if isinstance(secret, str) else secret.hex()
        assert run.secrets.seen_in({"x": f"key={written};".encode()}), name
    assert PASSWORD in run.secrets.known.values()
    assert len(run.secrets.known) > 100
