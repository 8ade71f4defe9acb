"""Who signs links to a store: what it asks, what it knows again, and what it tells of trouble."""

from __future__ import annotations

import time

import pytest
from misbehaving_relay import Fault, Relay, http
from parts_world import signer
from s3_server import BUCKET, KEYS, Store

from iri_common.apis.s3 import parts as s3_module
from iri_common.apis.s3 import s3_parts
from iri_common.http.transport import WireSettings
from iri_common.model.errors import AuthError, NotFound, NotOffered, Unreachable
from iri_common.model.facility import AccessEndpoint
from iri_common.model.transfer import DownloadLink, PartsUpload

MIB = 1024 * 1024


pytestmark = pytest.mark.usefixtures("store_keys")


async def test_a_finished_upload_is_known_by_its_object(store: Store, relay: Relay) -> None:
    signed = signer(relay.base_url)
    gone = http(404, b"<Error><Code>NoSuchUpload</Code></Error>", "application/xml")
    etags = list[str]()
    for forwarded in (True, False):
        upload = (await signed.begin("", "/known", 3)).value
        put = store.admin.upload_part(
            Bucket=BUCKET,
            Key="known",
            UploadId=upload.handle["upload"],
            PartNumber=1,
            Body=b"%d.." % forwarded,
        )
        etags.append(put["ETag"])
        relay.faults = [Fault(r"^POST .*uploadId=", forwarded=forwarded, reply=gone)]
        if forwarded:
            await signed.finish("", upload, etags[-1:])
        else:  # what lies there is of another upload
            with pytest.raises(NotFound):
                await signed.finish("", upload, etags[-1:])
            await signed.abandon("", upload)


async def test_what_is_abandoned_leaves_nothing(store: Store) -> None:
    signed = signer(store.url)
    upload = (await signed.begin("", "/left", 10 * MIB)).value
    assert store.open_uploads() == ["left"]
    await signed.abandon("", upload)
    await signed.abandon("", upload)
    assert not store.open_uploads()
    with pytest.raises(NotFound, match="NoSuchUpload"):
        await signed.arrived("", upload)


async def test_an_upload_that_nobody_learned_of_is_cleared_away_and_no_other(
    store: Store, relay: Relay
) -> None:
    signed, now = signer(relay.base_url), time.time()
    ages = {"lost": 2.0, "sent": 3.0, "before": -3600.0, "after": 3600.0}
    uploads = {name: (await signed.begin("", "/shared", 3)).value for name in ages}
    others = (await signed.begin("", "/shared.h5", 3)).value
    words = {"Bucket": BUCKET, "Key": "shared", "UploadId": uploads["sent"].handle["upload"]}
    store.admin.upload_part(**words, PartNumber=1, Body=b"abc")
    rows = "".join(
        f"<Upload><Key>{upload.handle['key']}</Key><UploadId>{upload.handle['upload']}</UploadId>"
        f"<Initiated>{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(now + age))}</Initiated></Upload>"
        for upload, age in [*((uploads[name], age) for name, age in ages.items()), (others, 0.0)]
    )  # moto's server gives all of them one time in 2010
    said = f"<ListMultipartUploadsResult>{rows}</ListMultipartUploadsResult>".encode()
    relay.faults = [Fault(r"^GET .*[?&]uploads", forwarded=False, reply=http(200, said, "application/xml"))]
    await signed.clear("", "/shared", now)
    with pytest.raises(NotFound):
        await signed.arrived("", uploads.pop("lost"))
    for upload in (*uploads.values(), others):
        await signed.arrived("", upload)
        await signed.abandon("", upload)


async def test_an_object_that_is_not_there_has_no_link(store: Store) -> None:
    with pytest.raises(NotFound):
        await signer(store.url).link("", "/no/such/object")


async def test_a_store_that_is_away_is_not_told_with_its_link() -> None:
    with pytest.raises(Unreachable) as caught:
        await signer("http://127.0.0.1:9").begin("", "/x", 1)
    assert "127.0.0.1" not in caught.value.message


async def test_without_keys_a_person_is_told_which(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(AuthError, match="AWS_ACCESS_KEY_ID"):
        await signer(store.url).begin("", "/x", 1)


async def test_keys_that_are_refused_are_told_as_such(relay: Relay) -> None:
    said = b"<Error><Code>InvalidAccessKeyId</Code><Message>unknown</Message></Error>"
    relay.faults = [Fault("POST", forwarded=False, reply=http(403, said, "application/xml"))]
    with pytest.raises(AuthError, match="InvalidAccessKeyId") as caught:
        await signer(relay.base_url).begin("", "/x", 1)
    assert "very-secret" not in str(caught.value)


def test_an_endpoint_without_a_bucket_offers_nothing() -> None:
    with pytest.raises(NotOffered, match="names no bucket"):
        s3_parts(AccessEndpoint("e1", "s3"), WireSettings())


def test_links_are_in_no_representation() -> None:
    assert "hunter2" not in repr(PartsUpload("/x", 1, 1, ("http://s/?sig=hunter2",)))
    assert "hunter2" not in repr(DownloadLink("http://s/?sig=hunter2"))


@pytest.mark.parametrize("size", [0, 1, 16 * MIB, 10_000 * 16 * MIB + 1, s3_module.LARGEST])
def test_no_file_has_more_parts_than_s3_takes(size: int) -> None:
    part = s3_module.part_size_for(size)
    assert part % MIB == 0
    assert part >= 16 * MIB
    assert PartsUpload("/x", size, part, ()).parts <= 10_000
