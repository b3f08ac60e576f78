"""Greenfield's API from the gateway's parts."""

from __future__ import annotations

from downloader.client import Downloader
from gateway.access import Access
from gateway.greenfield.approvals import Approver
from gateway.greenfield.challenge import Challenges
from gateway.greenfield.http import GreenfieldHttp
from gateway.greenfield.keys import GreenfieldKeys
from gateway.greenfield.metadata import GreenfieldMetadata
from gateway.greenfield.reading import UniversalEndpoint
from gateway.greenfield.uploads import GreenfieldUploads
from gateway.http_objects import ObjectOperations
from gateway.service import Gateway
from signer.client import Signer
from sp.runtime.clock import Clock
from spdb.auth_keys import AuthKeys


def greenfield_http(
    gateway: Gateway, objects: ObjectOperations, signer: Signer, keys: AuthKeys, clock: Clock
) -> GreenfieldHttp:
    access: Access = gateway.access
    downloader: Downloader = gateway.downloader
    return GreenfieldHttp(
        gateway,
        objects,
        GreenfieldUploads(gateway, access, gateway.uploader, downloader, gateway.pool),
        GreenfieldMetadata(access, downloader),
        UniversalEndpoint(gateway),
        GreenfieldKeys(keys),
        Approver(access, signer, access.operator),
        Challenges(access, downloader),
        gateway.pool,
        clock,
    )
