"""Greenfield's API where it is pure: which operation is meant, values, texts, XML, approvals."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.personal import PersonalSign, parse_signed_text, personal_signer
from gateway.errors import InvalidArgument, MalformedAuthorization, UnsupportedScheme
from gateway.greenfield import xml
from gateway.greenfield.approvals import bucket_document, decoded, object_document
from gateway.greenfield.errors import (
    InvalidComplete,
    InvalidMessage,
    InvalidOffset,
    RegistrationRefused,
    UndecodableMessage,
)
from gateway.greenfield.keys import registration_of
from gateway.greenfield.params import delegate_query, listing_query, part_query
from gateway.greenfield.routes import GreenfieldOperation as Op
from gateway.greenfield.routes import greenfield_operation
from gateway.greenfield.style import speaks_greenfield
from gateway.request import RequestHead, resolve
from sp.crypto.hashing import keccak256
from sp.domain.errors import SignatureMismatch
from sp.domain.ids import Checksum, ObjectId
from sp.domain.jobs import Listing
from sp.domain.ledger import Bucket, BucketStatus, ChainObject, ObjectStatus, RedundancyType, Visibility
from tests.unit.gateway_world import OPERATOR, USER, USER_KEY
from tests.vectors import load

GNFD = ("Authorization", "GNFD1-ECDSA, Signature=00")
AWS = ("Authorization", "AWS4-HMAC-SHA256 Credential=x")
APPROVAL = load("signdoc_vectors.json")["create_bucket_approval_v0_1_2_plus"]
BUCKET = Bucket(9, "photos", USER, Visibility.PRIVATE, OPERATOR, 1700, BucketStatus.CREATED)


def head(method: str, target: str, *headers: tuple[str, str]) -> RequestHead:
    return RequestHead.of_target(method, target, (("Host", "sp.example"), *headers))


def operation(method: str, target: str, *headers: tuple[str, str]) -> Op | None:
    asked = head(method, target, *headers)
    return greenfield_operation(asked, resolve(asked, "sp.example"))


@pytest.mark.parametrize(
    ("method", "target", "headers", "meant"),
    [
        ("GET", "/b-1/o?upload-context", (GNFD,), Op.UPLOAD_CONTEXT),
        ("POST", "/b-1/o?offset=0&complete=false", (GNFD,), Op.PUT_PART),
        ("POST", "/b-1/o?delegate&offset=0&complete=false&payload_size=1", (GNFD,), Op.PUT_PART),
        ("PUT", "/b-1/o?delegate&payload_size=1", (GNFD,), Op.DELEGATED_PUT),
        ("POST", "/b-1/o?delegate=&payload_size=1", (GNFD,), Op.DELEGATED_PUT),
        ("POST", "/b-1/o/?create-folder&delegate", (GNFD,), Op.CREATE_FOLDER),
        ("GET", "/b-1/o?object-meta", (), Op.OBJECT_META),
        ("GET", "/b-1?bucket-meta", (), Op.BUCKET_META),
        ("GET", "/b-1/o?Authorization=GNFD2-EDDSA&X-Gnfd-User-Address=0x", (), Op.LINK),
        ("GET", "/", (GNFD,), Op.USER_BUCKETS),
        ("GET", "/", (("X-Gnfd-User-Address", USER),), Op.USER_BUCKETS),
        ("GET", "/b-1", (GNFD,), Op.LIST_OBJECTS),
        ("GET", "/b-1?max-keys=5&include-removed=false", (), Op.LIST_OBJECTS),
        ("GET", "/b-1?list-type=2&max-keys=5", (GNFD,), None),
        ("GET", "/b-1?max-keys=5", (), None),
        ("GET", "/b-1?include-removed=false", (AWS,), None),
        ("GET", "/view/b-1/o", (), Op.VIEW),
        ("GET", "/download?objectPath=b-1/o.pdf", (), Op.DOWNLOAD),
        ("GET", "/view/o", (AWS,), None),
        ("GET", f"/permission/{USER}/b-1/6?object=o", (), Op.PERMISSION),
        ("GET", "/greenfield/admin/v1/get-approval?action=CreateBucket", (GNFD,), Op.GET_APPROVAL),
        ("GET", "/greenfield/admin/v1/challenge", (GNFD,), Op.CHALLENGE),
        ("GET", "/auth/request_nonce", (), Op.REQUEST_NONCE),
        ("POST", "/auth/update_key_v2", (), Op.UPDATE_KEY_V2),
        ("GET", "/auth/keys_v2", (), Op.KEYS_V2),
        ("POST", "/auth/delete_keys_v2", (GNFD,), Op.DELETE_KEYS_V2),
        ("GET", "/b-1/o", (GNFD,), None),
        ("PUT", "/b-1/o", (GNFD,), None),
        ("POST", "/b-1/o?uploads", (AWS,), None),
        ("PUT", "/b-1/o?partNumber=1&uploadId=x", (AWS,), None),
    ],
)
def test_the_two_apis_are_told_apart(method: str, target: str, headers: tuple[Any, ...], meant: Op | None) -> None:
    assert operation(method, target, *headers) is meant


def test_a_bucket_by_host_may_hold_objects_called_like_a_fixed_path() -> None:
    asked = RequestHead.of_target("GET", "/auth/request_nonce", (("Host", "mine.sp.example"),))
    assert greenfield_operation(asked, resolve(asked, "sp.example")) is None


@pytest.mark.parametrize(
    ("headers", "target", "greenfield"),
    [
        ((GNFD,), "/b-1/o", True),
        ((("X-Gnfd-Date", "x"),), "/b-1/o", True),
        ((), "/b-1/o?object-meta", True),
        ((), "/view/b-1/o", True),
        ((), "/b-1/o", False),
        ((AWS,), "/b-1/o?upload-progress", False),
        ((), "/b-1/o?X-Amz-Signature=0&X-Gnfd-Date=1", False),
    ],
)
def test_errors_go_out_in_the_askers_form(headers: tuple[Any, ...], target: str, greenfield: bool) -> None:
    assert speaks_greenfield(head("GET", target, *headers)) is greenfield


# --- values -------------------------------------------------------------------------------------------------------


def test_the_parameters_of_a_part() -> None:
    assert part_query(head("POST", "/b/o?offset=65536&complete=True")).offset == 65536
    assert part_query(head("POST", "/b/o?offset=0&complete=0")).complete is False
    for bad in ("", "offset=0", "offset=0&complete=yes", "offset=0&complete="):
        with pytest.raises(InvalidComplete):
            part_query(head("POST", f"/b/o?{bad}"))
    for bad in ("", "offset=", "offset=-1", "offset=1.0", "offset=9223372036854775808", "offset=%D9%A1"):
        with pytest.raises(InvalidOffset):
            part_query(head("POST", f"/b/o?complete=true&{bad}"))


def test_the_parameters_of_a_delegated_put() -> None:
    query = delegate_query(head("PUT", "/b/o?delegate&payload_size=5&visibility=1&is_update=true"))
    assert (query.payload_size, query.visibility, query.is_update) == (5, Visibility.PUBLIC_READ, True)
    assert delegate_query(head("PUT", "/b/o?payload_size=5&visibility=0")).visibility is Visibility.INHERIT
    assert delegate_query(head("PUT", "/b/o?payload_size=5")).visibility is Visibility.INHERIT
    for bad in ("", "payload_size=x", "payload_size=5&visibility=4", "payload_size=5&is_update=maybe"):
        with pytest.raises(InvalidArgument):
            delegate_query(head("PUT", f"/b/o?{bad}"))


def test_the_parameters_of_a_listing() -> None:
    assert listing_query(head("GET", "/b")).max_keys == 50
    assert listing_query(head("GET", "/b?max-keys=5000")).max_keys == 1000
    query = listing_query(head("GET", "/b?prefix=t3&delimiter=%2F&continuation-token=Y2NjYy8%3D&start-after=zzz"))
    assert (query.prefix, query.delimiter, query.after, query.token) == ("t3", "/", "cccc/", "Y2NjYy8=")
    for bad in ("max-keys=x", "delimiter=-", "continuation-token=!", "start-after=%00"):
        with pytest.raises(InvalidArgument):
            listing_query(head("GET", f"/b?{bad}"))


# --- wallets ------------------------------------------------------------------------------------------------------

DOMAIN, KEY, EXPIRY = "https://dapp.example", "ab" * 32, "2024-01-03T00:00:00Z"
NOW_S = 1_704_200_000.0
TEXT = (
    f"{DOMAIN} wants you to sign in with your BNB Greenfield account:\n{USER}\n\n"
    f"Register your identity public key {KEY}\n\nURI: {DOMAIN}\nVersion: 1\nChain ID: 5600\n"
    f"Issued At: 2024-01-02T12:00:00Z\nExpiration Time: {EXPIRY}"
)


def personal(message: str) -> str:
    raw = message.encode()
    digest = keccak256(b"\x19Ethereum Signed Message:\n" + str(len(raw)).encode() + raw)
    signature = USER_KEY.sign(digest)
    return "0x" + (signature[:64] + bytes([signature[64] + 27])).hex()


def registering(message: str = TEXT, path: str = "/auth/update_key_v2", **headers: str) -> RequestHead:
    escaped = message.replace("\n", "\\n")
    given = {
        "Authorization": f"GNFD1-ETH-PERSONAL_SIGN,SignedMsg={escaped},Signature={personal(message)}",
        "Origin": DOMAIN,
        "X-Gnfd-App-Domain": DOMAIN,
        "X-Gnfd-App-Reg-Public-Key": KEY,
        "X-Gnfd-Expiry-Timestamp": EXPIRY,
    }
    return head("POST", path, *{**given, **headers}.items())


async def test_a_wallet_registers_an_applications_key() -> None:
    asked = registering()
    identity = await PersonalSign().authenticate(asked, int(NOW_S))
    assert identity.account == USER
    registration = registration_of(asked, USER, NOW_S)
    assert (registration.domain, registration.public_key, registration.expires_at_ms) == (DOMAIN, KEY, 1704240000000)
    assert registration_of(registering(TEXT + "\nResources:\n- SP 0x (name: SP_001) with nonce: 1"), USER, NOW_S)


@pytest.mark.parametrize(
    ("message", "headers"),
    [
        ("hello", {}),
        (TEXT.replace(USER, OPERATOR), {}),
        (TEXT, {"X-Gnfd-App-Reg-Public-Key": "cd" * 32}),
        (TEXT, {"X-Gnfd-App-Reg-Public-Key": KEY[:-2]}),
        (TEXT, {"Origin": "https://evil.example"}),
        (TEXT, {"Origin": "https://evil.example", "X-Gnfd-App-Domain": "https://evil.example"}),
        (TEXT, {"X-Gnfd-Expiry-Timestamp": "2024-01-04T00:00:00Z"}),
        (TEXT.replace(EXPIRY, "2024-01-02T00:00:00Z"), {"X-Gnfd-Expiry-Timestamp": "2024-01-02T00:00:00Z"}),
        (TEXT.replace(EXPIRY, "2024-02-03T00:00:00Z"), {"X-Gnfd-Expiry-Timestamp": "2024-02-03T00:00:00Z"}),
    ],
)
def test_a_registration_that_says_two_things_is_refused(message: str, headers: dict[str, str]) -> None:
    with pytest.raises(RegistrationRefused):
        registration_of(registering(message, **headers), USER, NOW_S)


async def test_a_wallets_text_opens_nothing_else() -> None:
    for path in ("/b-1/o", "/auth/delete_keys_v2"):
        with pytest.raises(UnsupportedScheme):
            await PersonalSign().authenticate(registering(path=path), int(NOW_S))


def test_what_is_no_personal_signature_is_refused() -> None:
    for bad in ("GNFD1-ETH-PERSONAL_SIGN", "GNFD1-ETH-PERSONAL_SIGN,SignedMsg=a", "X,SignedMsg=a,Signature=b"):
        with pytest.raises(MalformedAuthorization):
            parse_signed_text(bad)
    with pytest.raises(MalformedAuthorization):
        personal_signer("a", "zz")
    with pytest.raises(SignatureMismatch):
        personal_signer("a", "00" * 65)
    assert personal_signer("other", personal("a")) != USER


# --- XML ----------------------------------------------------------------------------------------------------------


def chain_object(**more: Any) -> ChainObject:
    made = ChainObject(
        ObjectId(42), "photos", "a&b", USER, USER, 1000, Visibility.INHERIT, "text/plain", 1600, ObjectStatus.SEALED,
        RedundancyType.EC, tuple(Checksum(bytes([n]) * 32) for n in range(7)), (),
    )  # fmt: skip
    return replace(made, **more)


def test_an_objects_meta_has_gos_names_and_base64_checksums() -> None:
    shown = xml.object_meta(xml.facts_of_chain(chain_object(), None)).decode()
    assert shown.startswith(
        f"<GfSpGetObjectMetaResponse><Object><ObjectInfo><Owner>{USER}</Owner><Creator>{USER}</Creator>"
        "<BucketName>photos</BucketName><ObjectName>a&amp;b</ObjectName><Id>42</Id>"
        "<LocalVirtualGroupId>0</LocalVirtualGroupId><PayloadSize>1000</PayloadSize><Visibility>3</Visibility>"
        "<ContentType>text/plain</ContentType><CreateAt>1600</CreateAt><ObjectStatus>1</ObjectStatus>"
        "<RedundancyType>0</RedundancyType><SourceType>0</SourceType>"
        "<Checksums>AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=</Checksums>"
    )
    assert shown.count("<Checksums>") == 7
    assert shown.endswith(
        "<CreateTxHash></CreateTxHash><UpdateTxHash></UpdateTxHash><SealTxHash></SealTxHash></Object>"
        "</GfSpGetObjectMetaResponse>"
    )


def test_a_listing_ends_with_its_page_and_token() -> None:
    query = listing_query(head("GET", "/photos?max-keys=1&delimiter=/"))
    shown = xml.object_listing(BUCKET, query, Listing((), ("a/",), "a/")).decode()
    assert shown == (
        "<GfSpListObjectsByBucketNameResponse><KeyCount>1</KeyCount><MaxKeys>1</MaxKeys>"
        "<IsTruncated>true</IsTruncated><NextContinuationToken>YS8=</NextContinuationToken><Name>photos</Name>"
        "<Prefix></Prefix><Delimiter>/</Delimiter><CommonPrefixes>a/</CommonPrefixes>"
        "<ContinuationToken></ContinuationToken></GfSpListObjectsByBucketNameResponse>"
    )


def test_the_small_documents() -> None:
    assert xml.resume_offset(5) == b'<QueryResumeOffset version="1.0"><Offset>5</Offset></QueryResumeOffset>'
    assert xml.results("R", "x", "y") == b"<R><Result>x</Result><Result>y</Result></R>"
    assert b"<NextNonce>1</NextNonce>" in xml.nonce()
    assert xml.user_buckets([BUCKET]).startswith(b"<GfSpGetUserBucketsResponse><Buckets><BucketInfo><Owner>0x")
    assert xml.bucket_meta(BUCKET).startswith(b"<GfSpGetBucketMetaResponse><Bucket><BucketInfo><Owner>0x")


# --- approvals ----------------------------------------------------------------------------------------------------


def test_a_buckets_approval_is_the_networks_to_the_byte() -> None:
    asked = json.loads(APPROVAL["sign_bytes"])
    document = bucket_document({**asked, "primary_sp_approval": None}, 1100)
    assert document.sign_bytes().decode() == APPROVAL["sign_bytes"]
    assert keccak256(document.sign_bytes()).hex() == APPROVAL["keccak256"]
    assert USER_KEY.sign(keccak256(document.sign_bytes())).hex() == APPROVAL["signature_by_same_key"]


def test_an_objects_approval_holds_what_the_message_says() -> None:
    checksum = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
    asked = {
        "creator": USER,
        "bucket_name": "photos",
        "object_name": "a<b",
        "payload_size": "5",
        "visibility": 3,
        "content_type": "text/plain",
        "expect_checksums": [checksum] * 7,
        "redundancy_type": "REDUNDANCY_EC_TYPE",
    }
    document = object_document(decoded(json.dumps(asked).encode().hex()), 7, OPERATOR)
    text = document.sign_bytes().decode()
    assert r"a\u003cb" in text
    assert '"visibility":"VISIBILITY_TYPE_INHERIT"' in text
    assert '"payload_size":"5"' in text
    assert text.count(checksum) == 7
    assert '"primary_sp_approval":{"expired_height":"7","global_virtual_group_family_id":0,"sig":""}' in text


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"bucket_name": "X"}, InvalidMessage),
        ({"creator": "0x12"}, InvalidMessage),
        ({"primary_sp_address": ""}, InvalidMessage),
        ({"payment_address": "me"}, InvalidMessage),
        ({"visibility": "VISIBLE"}, UndecodableMessage),
        ({"visibility": True}, UndecodableMessage),
        ({"charged_read_quota": "-1"}, UndecodableMessage),
        ({"charged_read_quota": 1.5}, UndecodableMessage),
        ({"bucket_name": 5}, UndecodableMessage),
        ({"primary_sp_approval": "x"}, UndecodableMessage),
        ({"primary_sp_approval": {"global_virtual_group_family_id": 2**32}}, UndecodableMessage),
    ],
)
def test_a_message_that_no_bucket_is_created_by_is_refused(change: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        bucket_document({**json.loads(APPROVAL["sign_bytes"]), **change}, 1100)


@given(st.binary(max_size=60))
def test_garbage_is_no_message(raw: bytes) -> None:
    try:
        message = decoded(raw.hex())
    except UndecodableMessage:
        return
    assert isinstance(message, dict)
