"""A library as version 1 of the schema wrote it, with its own SQL: it must open for ever, so this is never changed."""

import sqlalchemy as sa

PATIENT, PSEUDONYM = "HOSPITAL-000001", "P-PTGZFGTKEIPJEPNA"  # under the key of ``library_samples``

TABLES = """
CREATE TABLE library (
    id INTEGER NOT NULL PRIMARY KEY, schema_version INTEGER NOT NULL, library_id TEXT NOT NULL, state TEXT NOT NULL,
    key_check {bytes} NOT NULL, keeps_head_pictures BOOLEAN NOT NULL, bundle_name TEXT NOT NULL,
    bundle_version TEXT NOT NULL, bundle_sha256 TEXT NOT NULL, latent_size INTEGER NOT NULL, latent_kind TEXT NOT NULL,
    preprocessing TEXT NOT NULL, digest {bytes} NOT NULL);
CREATE TABLE patients (
    id {number} PRIMARY KEY, pseudonym TEXT NOT NULL UNIQUE, sealed {bytes} NOT NULL, digest {bytes} NOT NULL);
CREATE TABLE series (
    id {number} PRIMARY KEY, patient_id INTEGER NOT NULL REFERENCES patients (id) ON DELETE CASCADE,
    fingerprint {bytes} NOT NULL, modality TEXT NOT NULL DEFAULT '', body_part TEXT NOT NULL DEFAULT '',
    geometry {bytes} NOT NULL, UNIQUE (patient_id, fingerprint));
CREATE TABLE posteriors (
    series_id INTEGER NOT NULL UNIQUE REFERENCES series (id) ON DELETE CASCADE, slices INTEGER NOT NULL,
    origin TEXT NOT NULL DEFAULT '', content {bytes} NOT NULL, sha256 {bytes} NOT NULL);
CREATE TABLE structures (
    id {number} PRIMARY KEY, series_id INTEGER NOT NULL REFERENCES series (id) ON DELETE CASCADE, name TEXT NOT NULL,
    volume_cm3 DOUBLE PRECISION NOT NULL, centroid_l_mm DOUBLE PRECISION NOT NULL,
    centroid_p_mm DOUBLE PRECISION NOT NULL, centroid_s_mm DOUBLE PRECISION NOT NULL, plan_geometry {bytes},
    UNIQUE (series_id, name));
CREATE TABLE plans (
    id {number} PRIMARY KEY, series_id INTEGER NOT NULL REFERENCES series (id) ON DELETE CASCADE,
    site TEXT NOT NULL DEFAULT '', laterality TEXT NOT NULL DEFAULT '', intent TEXT NOT NULL DEFAULT '',
    prescription_gy DOUBLE PRECISION, fractions INTEGER, technique TEXT NOT NULL DEFAULT '',
    approval TEXT NOT NULL DEFAULT '');
CREATE TABLE doses (
    id {number} PRIMARY KEY, plan_id INTEGER NOT NULL REFERENCES plans (id) ON DELETE CASCADE,
    structure_id INTEGER NOT NULL REFERENCES structures (id) ON DELETE CASCADE, volume_cm3 DOUBLE PRECISION NOT NULL,
    covered_share DOUBLE PRECISION NOT NULL, mean_gy DOUBLE PRECISION NOT NULL, min_gy DOUBLE PRECISION NOT NULL,
    max_gy DOUBLE PRECISION NOT NULL, d0_03cc_gy DOUBLE PRECISION, d2_gy DOUBLE PRECISION NOT NULL,
    d50_gy DOUBLE PRECISION NOT NULL, d95_gy DOUBLE PRECISION NOT NULL, d98_gy DOUBLE PRECISION NOT NULL,
    homogeneity DOUBLE PRECISION, bin_width_gy DOUBLE PRECISION NOT NULL, histogram {bytes} NOT NULL,
    UNIQUE (plan_id, structure_id));
CREATE TABLE thumbnails (
    id {number} PRIMARY KEY, series_id INTEGER NOT NULL REFERENCES series (id) ON DELETE CASCADE,
    position_mm DOUBLE PRECISION NOT NULL, png {bytes} NOT NULL);
CREATE TABLE reveals (
    id {number} PRIMARY KEY, moment TEXT NOT NULL, person TEXT NOT NULL, pseudonym TEXT NOT NULL, reason TEXT NOT NULL,
    digest {bytes} NOT NULL);
"""

ROWS: dict[str, dict[str, object]] = {
    "library": {
        "id": 1,
        "schema_version": 1,
        "library_id": "9092e97a5f234ef788e01a3255f359f0",
        "state": "f7b585f2f6a03d3d",
        "key_check": bytes.fromhex("1931f9cda5543c37ce52051831635457"),
        "keeps_head_pictures": False,
        "bundle_name": "thorax",
        "bundle_version": "1.0",
        "bundle_sha256": "abababababababababababababababababababababababababababababababab",
        "latent_size": 3,
        "latent_kind": "gaussian",
        "preprocessing": '{"size": 64}',
        "digest": bytes.fromhex("b99ea0018e837274857afc8153a201b413750fdceb3fc9305182a8996347e5c0"),
    },
    "patients": {
        "pseudonym": "P-PTGZFGTKEIPJEPNA",
        "sealed": bytes.fromhex(
            "90fc39d1ee3a80435cb6c449960579dee3e1a0e874564f602c6a73d7d2bae527022062e39b2d495d54b732fedff1c77a3c12"
            "c0d8f91ead881500875d0e716e670368445c77fe2acab7dedf8ba9d3cf4a3bed9c6900f50c4ccbdda881924fc484580942ad"
            "f9197ce2b15523f166fcf15a30a8f1d35219cdcbec468562fd47be0fabc6f64ca46b0ca630a1fb3cfe87a88b7c10b1179054"
            "800b14f57af3c60c97e2095ee209a2a15f7ceef41f20542ed6aeefa16c0c1d0def8e5ff281bbe092944a1374defe085ab041"
            "4180950fdf2da52137dd9e687c7e75df7fc6d0ef6515026a04dafa5a174e47b867975af54f1d33e2afa112c6e8f71f4df58d"
            "1f6451737be9f58c5b59fe088a722e135e67083619c0f1a32ef28d998196008ff50f"
        ),
        "digest": bytes.fromhex("0bc5f8be690d8a0de5012cbb37dd09265dbb54955bce58b419543433df250971"),
    },
    "series": {
        "patient_id": 1,
        "fingerprint": bytes.fromhex("53810e83a0e904fdc25ba2a115a0baab98d8345a8dae190d3d01eb24fcc4bc3c"),
        "modality": "CT",
        "body_part": "CHEST",
        "geometry": bytes.fromhex(
            "0200000040000000400000000000000000000040000000000000000000000000000000000000000000000000000000000000"
            "0000000000000000004000000000000000000000000000000000000000000000000000000000000000000000000000000840"
            "0000000000000000000000000000000000000000000000000000000000000000000000000000f03f"
        ),
    },
    "posteriors": {
        "series_id": 1,
        "slices": 2,
        "origin": "lungs",
        "content": bytes.fromhex(
            "0000000000000000000000000000000000000000000044c00000000000000000000000000000000000000000008042c0379a"
            "cf3f0bfa5fbd971bc8bdb15f71bf0d3cdd3f99dc4d3f089117c08f3605c0856d0fc081acd9bf3175fdbfce5b09c000000000"
            "00004040"
        ),
        "sha256": bytes.fromhex("d9c74f3534899d29c830ca363de10e6c79339ba5e4d1cbeea76f35dbbd8fd9d2"),
    },
    "structures": {
        "series_id": 1,
        "name": "Heart",
        "volume_cm3": 601.5,
        "centroid_l_mm": -10.0,
        "centroid_p_mm": 2.5,
        "centroid_s_mm": 30.0,
        "plan_geometry": b'{"extent_mm":[80.0,70.0,90.0],"target":"","beside_target":null}',
    },
    "plans": {
        "series_id": 1,
        "site": "lung",
        "laterality": "left",
        "intent": "CURATIVE",
        "prescription_gy": 51.0,
        "fractions": 25,
        "technique": "VMAT",
        "approval": "APPROVED",
    },
    "doses": {
        "plan_id": 1,
        "structure_id": 1,
        "volume_cm3": 1.5,
        "covered_share": 1.0,
        "mean_gy": 20.0,
        "min_gy": 10.0,
        "max_gy": 30.0,
        "d0_03cc_gy": 30.0,
        "d2_gy": 30.0,
        "d50_gy": 20.0,
        "d95_gy": 10.0,
        "d98_gy": 10.0,
        "homogeneity": 1.0,
        "bin_width_gy": 10.0,
        "histogram": bytes.fromhex("000000000000f83f000000000000f83f000000000000f03f000000000000e03f0000000000000000"),
    },
    "thumbnails": {
        "series_id": 1,
        "position_mm": 0.0,
        "png": bytes.fromhex(
            "89504e470d0a1a0a0000000000000000000000000000000000000000000000000000000000000000000000000000000000"
        ),
    },
    "reveals": {
        "moment": "2026-11-21T20:01:35+00:00",
        "person": "root",
        "pseudonym": "P-PTGZFGTKEIPJEPNA",
        "reason": "to compare plans",
        "digest": bytes.fromhex("bf5ff26c8a68b47f726cb010105aff5370642947e7b959f7d626e1d866e7a169"),
    },
}


def build(address: str) -> None:
    """Write the library of version 1 into a new SQLite file or an empty database of PostgreSQL."""
    is_server = address.startswith("postgresql:")
    url = address.replace("postgresql:", "postgresql+psycopg:", 1) if is_server else f"sqlite:///{address}"
    words = {"number": "SERIAL", "bytes": "BYTEA"} if is_server else {"number": "INTEGER NOT NULL", "bytes": "BLOB"}
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for statement in TABLES.format(**words).split(";"):
            if statement.strip():
                connection.exec_driver_sql(statement)
        for table, row in ROWS.items():
            names = ", ".join(row)
            places = ", ".join(f":{name}" for name in row)
            connection.execute(sa.text(f"INSERT INTO {table} ({names}) VALUES ({places})"), row)
    engine.dispose()
