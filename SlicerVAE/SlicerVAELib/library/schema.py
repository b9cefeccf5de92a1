"""The tables. What could name a person stands in columns ``sealed``, encrypted under the site's key."""

import sqlalchemy as sa

SCHEMA_VERSION = 2

metadata = sa.MetaData()


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, server_default="")


def _number(name: str, *, may_lack: bool = False) -> sa.Column[float]:
    return sa.Column(name, sa.Double, nullable=may_lack)


def _of(owner: str, table: str, *, is_only_one: bool = False) -> sa.Column[int]:
    """The reference to the row of ``table`` with which this one goes; ``is_only_one`` where that has no second."""
    key = sa.ForeignKey(f"{table}.id", ondelete="CASCADE")
    return sa.Column(owner, sa.Integer, key, nullable=False, index=not is_only_one, unique=is_only_one or None)


# One row. Its first two columns stay as they are in every version, so that any software can tell which one it meets.
library = sa.Table(
    "library",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("schema_version", sa.Integer, nullable=False),
    sa.Column("library_id", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),  # a new random word whenever a patient comes or goes
    sa.Column("key_check", sa.LargeBinary, nullable=False),
    sa.Column("keeps_head_pictures", sa.Boolean, nullable=False),
    sa.Column("bundle_name", sa.Text, nullable=False),
    sa.Column("bundle_version", sa.Text, nullable=False),
    sa.Column("bundle_sha256", sa.Text, nullable=False),
    sa.Column("latent_size", sa.Integer, nullable=False),
    sa.Column("latent_kind", sa.Text, nullable=False),
    sa.Column("preprocessing", sa.Text, nullable=False),
    sa.Column("digest", sa.LargeBinary, nullable=False),
)

patients = sa.Table(
    "patients",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("pseudonym", sa.Text, nullable=False, unique=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("digest", sa.LargeBinary, nullable=False),
)

series = sa.Table(
    "series",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    _of("patient_id", "patients"),
    sa.Column("fingerprint", sa.LargeBinary, nullable=False),
    _text("modality"),
    _text("body_part"),
    _text("patient_position"),
    sa.Column("geometry", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("patient_id", "fingerprint"),
)

posteriors = sa.Table(
    "posteriors",
    metadata,
    _of("series_id", "series", is_only_one=True),
    sa.Column("slices", sa.Integer, nullable=False),
    _text("origin"),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.Column("sha256", sa.LargeBinary, nullable=False),
)

# A server would compress the floats in vain, and could no longer read a slice without all others.
sa.event.listen(
    posteriors,
    "after_create",
    sa.DDL("ALTER TABLE posteriors ALTER COLUMN content SET STORAGE EXTERNAL").execute_if(dialect="postgresql"),
)

structures = sa.Table(
    "structures",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    _of("series_id", "series"),
    sa.Column("name", sa.Text, nullable=False, index=True),
    _number("volume_cm3"),
    _number("centroid_l_mm"),
    _number("centroid_p_mm"),
    _number("centroid_s_mm"),
    sa.Column("plan_geometry", sa.LargeBinary),
    sa.UniqueConstraint("series_id", "name"),
)

plans = sa.Table(
    "plans",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    _of("series_id", "series"),
    _text("site"),
    _text("laterality"),
    _text("intent"),
    _number("prescription_gy", may_lack=True),
    sa.Column("fractions", sa.Integer),
    _text("technique"),
    _text("approval"),
)

STATISTICS = (
    *("volume_cm3", "covered_share", "mean_gy", "min_gy", "max_gy", "d0_03cc_gy"),
    *("d2_gy", "d50_gy", "d95_gy", "d98_gy", "homogeneity"),
)

doses = sa.Table(
    "doses",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    _of("plan_id", "plans"),
    _of("structure_id", "structures"),
    *(_number(name, may_lack=name in ("d0_03cc_gy", "homogeneity")) for name in STATISTICS),
    _number("bin_width_gy"),
    sa.Column("histogram", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("plan_id", "structure_id"),
)

thumbnails = sa.Table(
    "thumbnails",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    _of("series_id", "series"),
    _number("position_mm"),
    sa.Column("png", sa.LargeBinary, nullable=False),
)

tags = sa.Table(
    "tags",
    metadata,
    _of("patient_id", "patients"),
    sa.Column("tag", sa.Text, nullable=False),
    sa.UniqueConstraint("patient_id", "tag"),
)

reveals = sa.Table(
    "reveals",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("moment", sa.Text, nullable=False),
    sa.Column("person", sa.Text, nullable=False),
    sa.Column("pseudonym", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("digest", sa.LargeBinary, nullable=False),
)
