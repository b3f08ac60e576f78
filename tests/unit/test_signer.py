"""The Signer: which key signs what, nonces, custodial accounts, and where it may listen."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from signer.accounts import AccountBook
from signer.config import check_listen
from signer.policy import CUSTODIAL, DOCUMENTS, TRANSACTIONS
from signer.service import SignerService
from sp.crypto.hashing import keccak256
from sp.crypto.private import PrivateKey
from sp.domain.addresses import signer_of
from sp.domain.approvals import (
    Approval,
    ApprovalRequest,
    ObjectRef,
    Offer,
    PieceRequest,
    ReceiptDoc,
    SignDoc,
    SignedApproval,
)
from sp.domain.errors import (
    ConfigError,
    InvalidRequest,
    KeyNotAllowed,
    KeystoreLocked,
    NoSuchAccount,
    ServiceUnavailable,
    SignatureMismatch,
    TxRefused,
)
from sp.domain.ids import Address, Checksum, ObjectId, RedundancyIndex, Signature
from sp.domain.ledger import SpStatus, Visibility
from sp.domain.messages import (
    MsgCompleteStorageProviderExit,
    MsgCreateBucket,
    MsgCreateObject,
    MsgDeleteBucket,
    MsgRejectSealObject,
    MsgSealObject,
    MsgStorageProviderExit,
    MsgStorageProviderForcedExit,
    MsgUpdateStorageProviderStatus,
    TxMessage,
)
from sp.runtime.clock import ManualClock
from sp.runtime.pool import CpuPool
from tests.turns import turn
from tests.unit.ledger_double import NOW_S, PARAMS, LedgerDouble
from tests.unit.providers import Provider, Providers, clock, counting_bytes

OTHER = Address("0x5FbDB2315678afecb367f032d93F642f64180aa3")
REF = ObjectRef(ObjectId(42), 0, "photos", "cat.jpg", 5000, PARAMS)


@pytest.fixture
def ledger() -> LedgerDouble:
    return LedgerDouble()


@pytest.fixture
async def me(ledger: LedgerDouble, tmp_path: Path) -> AsyncIterator[Provider]:
    async with CpuPool(1) as pool:
        yield Providers(ledger, clock(), pool, tmp_path).add("sp0")


@pytest.fixture
def signer(me: Provider) -> SignerService:
    return me.signer


# --- documents


def documents_of(author: Address, other: Address) -> list[SignDoc]:
    theirs = SignedApproval(Approval(REF, author, other, NOW_S + 3600, 900), b"\1" * 65)
    return [
        ApprovalRequest(REF, author, NOW_S, "00" * 16),
        Approval(REF, other, author, NOW_S + 3600, 900),
        Offer(theirs, RedundancyIndex(3), NOW_S),
        PieceRequest(ObjectId(42), 0, 1, RedundancyIndex(3), author, other, NOW_S),
        ReceiptDoc(author, ObjectId(42), Checksum(b"\2" * 32)),
    ]


@pytest.mark.parametrize("number", range(5))
async def test_a_document_is_signed_by_the_key_that_its_kind_asks_for(me: Provider, number: int) -> None:
    document = documents_of(me.operator, OTHER)[number]
    expected = getattr(me.record, DOCUMENTS[type(document)])
    signature = await me.signer.sign(document)
    assert signer_of(keccak256(document.sign_bytes()), signature) == expected


@pytest.mark.parametrize("number", range(5))
async def test_no_document_is_signed_in_another_providers_name(me: Provider, number: int) -> None:
    with pytest.raises(KeyNotAllowed):
        await me.signer.sign(documents_of(OTHER, me.operator)[number])


# --- transactions


def bucket(creator: Address, name: str = "photos") -> MsgCreateBucket:
    return MsgCreateBucket(creator, name, Visibility.PRIVATE, OTHER)


async def test_each_key_submits_only_what_is_its_business(me: Provider, ledger: LedgerDouble) -> None:
    account, _ = await me.signer.create_account("alice")
    record = me.record
    allowed: list[TxMessage] = [
        MsgUpdateStorageProviderStatus(record.operator, SpStatus.IN_MAINTENANCE),
        MsgSealObject(record.seal, "photos", "cat.jpg", (OTHER,), (Signature(b"\1" * 65),)),
        bucket(account.address),
        MsgStorageProviderExit(record.operator),
        MsgCompleteStorageProviderExit(record.operator),
        MsgStorageProviderForcedExit(account.address, OTHER),
    ]
    refused: list[TxMessage] = [
        MsgUpdateStorageProviderStatus(record.seal, SpStatus.IN_SERVICE),
        MsgRejectSealObject(record.operator, "photos", "cat.jpg"),
        MsgRejectSealObject(account.address, "photos", "cat.jpg"),
        MsgCreateObject(account.address, "photos", "x", 1, Visibility.PRIVATE, "", ()),
        bucket(record.operator),
        bucket(record.funding),
        bucket(record.gc),
        MsgDeleteBucket(record.approval, "photos"),
        MsgStorageProviderExit(record.seal),
        MsgStorageProviderForcedExit(record.operator, OTHER),
    ]
    for message in allowed:
        await me.signer.submit(message)
    for message in refused:
        with pytest.raises(KeyNotAllowed):
            await me.signer.submit(message)
    assert [name for _, _, name in ledger.accepted] == [type(message).__name__ for message in allowed]


async def test_an_account_that_is_not_kept_here_cannot_be_acted_for(signer: SignerService) -> None:
    with pytest.raises(NoSuchAccount):
        await signer.submit(bucket(OTHER))


def test_no_message_is_signed_by_two_roles() -> None:
    allowed = [kind for kinds in TRANSACTIONS.values() for kind in kinds]
    assert len(allowed) == len(set(allowed))
    assert set(TRANSACTIONS) == {"operator", "seal", CUSTODIAL}


# --- nonces


def status(me: Provider) -> TxMessage:
    return MsgUpdateStorageProviderStatus(me.operator, SpStatus.IN_SERVICE)


async def test_many_transactions_of_one_key_share_a_block(me: Provider, ledger: LedgerDouble) -> None:
    ledger.nonces[me.operator] = 7
    await asyncio.gather(*(me.signer.submit(status(me)) for _ in range(10)))
    assert [nonce for _, nonce, _ in ledger.accepted] == list(range(7, 17))
    assert ledger.height == 10


async def test_a_lost_answer_makes_the_next_transaction_read_the_nonce_again(
    me: Provider, ledger: LedgerDouble
) -> None:
    ledger.on_broadcast = lambda count: ServiceUnavailable("chain", "lost") if count == 2 else None
    await me.signer.submit(status(me))
    with pytest.raises(ServiceUnavailable):
        await me.signer.submit(status(me))
    ledger.block()
    await me.signer.submit(status(me))
    assert [nonce for _, nonce, _ in ledger.accepted] == [0, 1, 2]


async def test_after_a_lost_answer_the_next_transaction_waits_for_the_block_that_counts_it(
    me: Provider, ledger: LedgerDouble
) -> None:
    ledger.on_broadcast = lambda count: ServiceUnavailable("chain", "lost") if count == 1 else None
    with pytest.raises(ServiceUnavailable):
        await me.signer.submit(status(me))
    waiting = asyncio.create_task(me.signer.submit(status(me)))
    while ledger.broadcasts < 2:
        await turn()
    await turn()
    assert not waiting.done()
    ledger.block()
    await waiting
    assert [nonce for _, nonce, _ in ledger.accepted] == [0, 1]


async def test_a_transaction_that_the_chain_forgot_does_not_block_the_key(me: Provider, ledger: LedgerDouble) -> None:
    await me.signer.submit(status(me))
    ledger.pool.clear()  # dropped from the pool: the chain still stands at nonce 0
    await me.signer.submit(status(me))
    assert [nonce for _, nonce, _ in ledger.accepted] == [0, 0]


async def test_a_refusal_uses_up_no_nonce(me: Provider, ledger: LedgerDouble) -> None:
    ledger.on_broadcast = lambda count: TxRefused("storage", 1107, "Access denied") if count == 1 else None
    with pytest.raises(TxRefused):
        await me.signer.submit(status(me))
    await me.signer.submit(status(me))
    assert [nonce for _, nonce, _ in ledger.accepted] == [0]
    assert ledger.broadcasts == 2


async def test_a_nonce_that_stays_wrong_is_given_up_after_three_tries(me: Provider, ledger: LedgerDouble) -> None:
    ledger.on_broadcast = lambda count: TxRefused("sdk", 32, "account sequence mismatch")
    submitting = asyncio.create_task(me.signer.submit(status(me)))
    while not submitting.done():
        ledger.block()
        await turn()
    with pytest.raises(TxRefused, match="sequence mismatch"):
        await submitting
    assert ledger.broadcasts == 3


async def test_one_key_waiting_does_not_hold_up_another(me: Provider, ledger: LedgerDouble) -> None:
    ledger.on_broadcast = lambda count: ServiceUnavailable("chain", "lost") if count == 1 else None
    with pytest.raises(ServiceUnavailable):
        await me.signer.submit(status(me))
    waiting = asyncio.create_task(me.signer.submit(status(me)))
    while ledger.broadcasts < 2:
        await turn()
    await me.signer.submit(MsgRejectSealObject(me.record.seal, "photos", "cat.jpg"))
    assert not waiting.done()
    ledger.block()
    await waiting


# --- accounts


async def test_a_created_account_signs_in_with_its_secret_after_a_restart(
    me: Provider, ledger: LedgerDouble, tmp_path: Path
) -> None:
    account, secret = await me.signer.create_account("alice")
    assert account.access_key_id.startswith("GNFD")
    assert (len(account.access_key_id), len(secret)) == (20, 40)
    book = AccountBook(tmp_path / "sp0", me.signer.keystore.account_key, counting_bytes("x"))
    reopened = replace(me.signer, accounts=book)
    assert await reopened.list_accounts() == [account]
    key = await reopened.sigv4_key(account.access_key_id, "20240102", "us-east-1", "s3")
    assert key.account == account.address
    step = b"AWS4" + secret.encode()
    for word in ("20240102", "us-east-1", "s3", "aws4_request"):
        step = hmac.digest(step, word.encode(), hashlib.sha256)
    assert key.signing_key == step
    assert key.signing_key.hex() not in repr(key)
    await reopened.submit(bucket(account.address))
    assert ledger.accepted[-1] == (account.address, 0, "MsgCreateBucket")


async def test_the_signature_v4_key_is_the_one_of_amazons_example(signer: SignerService) -> None:
    # docs.aws.amazon.com/general/latest/gr/signature-v4-examples.html: 20120215, us-east-1, iam
    secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
    await signer.import_account("example", b"\1" * 32, "AKIAIOSFODNN7EXAMPLE", secret)
    key = await signer.sigv4_key("AKIAIOSFODNN7EXAMPLE", "20120215", "us-east-1", "iam")
    assert key.signing_key.hex() == "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d"


async def test_the_signatures_v2_of_amazons_examples_are_verified(signer: SignerService) -> None:
    # docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html: object GET, and query string authentication
    secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    account = await signer.import_account("example", b"\1" * 32, "AKIAIOSFODNN7EXAMPLE", secret)
    for text, signature in (
        (b"GET\n\n\nTue, 27 Mar 2007 19:36:42 +0000\n/johnsmith/photos/puppy.jpg", "bWq2s1WEIj+Ydj0vQ697zp+IXMU="),
        (b"GET\n\n\n1175139620\n/johnsmith/photos/puppy.jpg", "NpgCjnDzrM+WFzoENXmpNDUsSn8="),
    ):
        raw = base64.b64decode(signature)
        assert await signer.verify_sigv2("AKIAIOSFODNN7EXAMPLE", text, raw) == account.address
        for wrong in (raw[:-1], raw + b"x", b"", raw[:-1] + bytes([raw[-1] ^ 1])):
            with pytest.raises(SignatureMismatch):
                await signer.verify_sigv2("AKIAIOSFODNN7EXAMPLE", text, wrong)
        with pytest.raises(SignatureMismatch):
            await signer.verify_sigv2("AKIAIOSFODNN7EXAMPLE", text + b" ", raw)
    with pytest.raises(NoSuchAccount):
        await signer.verify_sigv2("GNFDNOBODY", b"GET", raw)


async def test_no_secret_of_an_account_stands_in_its_file(signer: SignerService, tmp_path: Path) -> None:
    key = PrivateKey.generate(counting_bytes("bob"))
    await signer.import_account("bob", bytes.fromhex(key.reveal_hex()), "BOBSKEY", "a secret".replace(" ", "-"))
    (path,) = (tmp_path / "sp0").iterdir()
    assert path.name == "bob.json"
    text = path.read_text()
    assert "a-secret" not in text
    assert key.reveal_hex() not in text
    assert path.stat().st_mode & 0o777 == 0o600


async def test_an_account_file_is_useless_under_another_keystore(signer: SignerService, tmp_path: Path) -> None:
    account, _ = await signer.create_account("alice")
    book = AccountBook(tmp_path / "sp0", b"\0" * 32, counting_bytes("x"))
    with pytest.raises(KeystoreLocked):
        book.secret_of(account.access_key_id)
    with pytest.raises(KeystoreLocked):
        book.private_key_of(account.address)


@pytest.mark.parametrize("damage", ["zz", "", "00", "1" * 80])
async def test_an_account_whose_file_is_damaged_is_locked_and_no_other_is(signer: SignerService, damage: str) -> None:
    """Not a mistake of ours, which it would be as a ValueError."""
    account, _ = await signer.create_account("alice")
    other, secret = await signer.create_account("bob")
    book = signer.accounts
    path = book._directory / "alice.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"private_key": damage, "secret_access_key": damage}))
    again = AccountBook(path.parent, book._key, counting_bytes("x"))
    for read in (lambda: again.secret_of(account.access_key_id), lambda: again.private_key_of(account.address)):
        with pytest.raises(KeystoreLocked):
            read()
    assert again.secret_of(other.access_key_id) == secret


async def test_the_same_import_again_is_a_no_op_and_any_other_is_refused(signer: SignerService) -> None:
    first = await signer.import_account("bob", b"\1" * 32, "BOBSKEY", "secret-of-bob")
    assert await signer.import_account("bob", b"\1" * 32, "BOBSKEY", "secret-of-bob") == first
    others = [
        ("bob", b"\1" * 32, "BOBSKEY", "another-secret"),
        ("bob", b"\2" * 32, "BOBSKEY", "secret-of-bob"),
        ("bob", b"\1" * 32, "OTHERKEY", "secret-of-bob"),
        ("eve", b"\2" * 32, "BOBSKEY", "secret-of-eve"),
        ("eve", b"\1" * 32, "EVESKEY", "secret-of-eve"),
    ]
    for other in others:
        with pytest.raises(InvalidRequest):
            await signer.import_account(*other)
    assert await signer.list_accounts() == [first]


@pytest.mark.parametrize("name", ["", "../x", "Alice", "a" * 64, ".hidden", "a/b", "a\0b"])
async def test_a_name_that_could_leave_the_directory_is_refused(signer: SignerService, name: str) -> None:
    with pytest.raises(InvalidRequest):
        await signer.create_account(name)


async def test_two_creations_of_one_name_at_once_make_one_account(signer: SignerService) -> None:
    outcomes = await asyncio.gather(*(signer.create_account("alice") for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(outcome, InvalidRequest) for outcome in outcomes) == 4
    assert len(await signer.list_accounts()) == 1


@pytest.mark.parametrize("key", [b"", b"\0" * 32, b"\xff" * 32, b"\1" * 31])
async def test_a_malformed_private_key_is_refused(signer: SignerService, key: bytes) -> None:
    with pytest.raises(InvalidRequest):
        await signer.import_account("bob", key, "BOBSKEY", "secret-of-bob")


async def test_an_unknown_access_key_id_is_no_account(signer: SignerService) -> None:
    with pytest.raises(NoSuchAccount):
        await signer.sigv4_key("GNFDNOBODY", "20240102", "us-east-1", "s3")


async def test_a_malformed_scope_derives_no_key(signer: SignerService) -> None:
    account, _ = await signer.create_account("alice")
    for date, region, service in [("2024", "r", "s3"), ("20240102", "", "s3"), ("20240102", "r", "a b")]:
        with pytest.raises(InvalidRequest):
            await signer.sigv4_key(account.access_key_id, date, region, service)


async def test_accounts_are_listed_in_the_order_of_their_creation(signer: SignerService) -> None:
    manual = signer.clock
    assert isinstance(manual, ManualClock)
    for name in ("zoe", "adam", "mia"):
        await signer.create_account(name)
        manual.advance(1)
    assert [account.name for account in await signer.list_accounts()] == ["zoe", "adam", "mia"]


def test_a_file_that_is_no_account_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "alice.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"alice\.json"):
        AccountBook(tmp_path, b"\0" * 32, counting_bytes("x"))


# --- where it listens


@pytest.mark.parametrize("endpoint", ["unix:run/signer.sock", "127.0.0.1:9633", "[::1]:9633", "localhost:9633"])
def test_a_signer_may_listen_where_only_its_host_can_reach_it(endpoint: str) -> None:
    check_listen(endpoint, mutual_tls=False)


@pytest.mark.parametrize("endpoint", ["0.0.0.0:9633", "[::]:9633", "10.0.0.1:9633", "signer:9633"])
def test_a_signer_that_others_could_reach_does_not_start_without_mutual_tls(endpoint: str) -> None:
    check_listen(endpoint, mutual_tls=True)
    with pytest.raises(ConfigError):
        check_listen(endpoint, mutual_tls=False)
