"""The site's key: its file, pseudonyms and encryption."""

import base64
import hashlib
import hmac
import os

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.library.access import create_library, create_site_key, load_site_key, open_library
from SlicerVAELib.library.keys import SiteKey
from SlicerVAELib.library.records import SeriesIdentity
from Testing.headless.library_samples import BUNDLE, KEY, identity, new_library, record

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX'")


def test_a_key_is_its_owners_alone_and_comes_back(tmp_path):
    made = create_site_key(tmp_path / "keys" / "site.key")
    assert (tmp_path / "keys" / "site.key").stat().st_mode & 0o777 == 0o600
    assert load_site_key(tmp_path / "keys" / "site.key").pseudonym("A") == made.pseudonym("A")


def test_a_key_is_never_overwritten(tmp_path):
    create_site_key(tmp_path / "site.key")
    before = (tmp_path / "site.key").read_bytes()
    with pytest.raises(UserError, match="exists already"):
        create_site_key(tmp_path / "site.key")
    assert (tmp_path / "site.key").read_bytes() == before


def test_a_key_that_others_may_read_is_refused(tmp_path):
    create_site_key(tmp_path / "site.key")
    (tmp_path / "site.key").chmod(0o640)
    with pytest.raises(UserError, match="chmod 600"):
        load_site_key(tmp_path / "site.key")


@pytest.mark.parametrize("content", [b"", b"hello", b"slicervae-site-key-1\nAAAA\n", b"\xff\xfe" * 20])
def test_what_is_no_key_is_refused(tmp_path, content):
    path = tmp_path / "site.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(UserError, match="no site key"):
        load_site_key(path)


def test_a_missing_key_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match="can't be read"):
        load_site_key(tmp_path / "site.key")


def test_the_environment_names_the_key(tmp_path, monkeypatch):
    monkeypatch.setenv("SLICERVAE_SITE_KEY", str(tmp_path / "mine.key"))
    assert create_site_key().path == tmp_path / "mine.key"
    assert load_site_key().path == tmp_path / "mine.key"


def test_a_key_beside_its_library_is_refused(tmp_path):
    key = create_site_key(tmp_path / "site.key")
    with pytest.raises(UserError, match="keep it somewhere else"):
        create_library(tmp_path / "library.sqlite", key, BUNDLE)
    assert [path.name for path in tmp_path.iterdir()] == ["site.key"]


def test_a_pseudonym_is_hmac_sha256_under_a_key_of_its_own():
    naming = HKDFExpand(SHA256(), 32, b"slicervae library 1: pseudonyms").derive(bytes(range(32)))
    digest = hmac.new(naming, b"patient\0HOSPITAL-7", hashlib.sha256).digest()
    assert KEY.pseudonym(" HOSPITAL-7 ") == "P-" + base64.b32encode(digest).decode()[:16]
    assert KEY.pseudonym("HOSPITAL-7") != SiteKey(bytes(32)).pseudonym("HOSPITAL-7")


def test_a_series_is_known_by_its_uid_or_else_its_place():
    assert KEY.fingerprint(SeriesIdentity("1.2", place="/a")) == KEY.fingerprint(SeriesIdentity("1.2", place="/b"))
    assert KEY.fingerprint(SeriesIdentity(place="/a")) != KEY.fingerprint(SeriesIdentity(place="/b"))
    assert KEY.fingerprint(SeriesIdentity(place="1.2")) != KEY.fingerprint(SeriesIdentity("1.2"))


def test_what_is_sealed_opens_only_unchanged_and_in_its_place():
    sealed = KEY.seal({"id": "A"}, "here")
    assert KEY.unseal(sealed, "here") == {"id": "A"}
    assert KEY.seal({"id": "A"}, "here") != sealed
    assert len(KEY.seal({"id": "A" * 100}, "here")) == len(sealed)
    for wrong in (sealed[:-1] + bytes([sealed[-1] ^ 1]), sealed[:20], b""):
        with pytest.raises(ValueError, match="does not open"):
            KEY.unseal(wrong, "here")
    with pytest.raises(ValueError, match="does not open"):
        KEY.unseal(sealed, "there")
    with pytest.raises(ValueError, match="does not open"):
        SiteKey(bytes(32)).unseal(sealed, "here")


def test_a_library_opens_with_no_key_or_its_own(tmp_path):
    new_library(tmp_path / "library.sqlite", 1).close()
    with pytest.raises(UserError, match="another key"):
        open_library(tmp_path / "library.sqlite", SiteKey(bytes(32)))
    with open_library(tmp_path / "library.sqlite") as library:
        assert len(library.list()) == 1
        with pytest.raises(UserError, match="without the site's key"):
            library.add(identity(5), record(5))
        with pytest.raises(UserError, match="without the site's key"):
            library.reveal(library.pseudonyms()[0], "curiosity")
