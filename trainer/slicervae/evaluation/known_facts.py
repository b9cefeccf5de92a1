"""Facts that are known of patients, and how they go together with latents."""

import csv
import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy import stats

from SlicerVAELib.core.errors import UserError

FEWEST = 5  # patients, for a correlation with a fact to be looked for
SIGNIFICANCE = 0.05  # after Holm's correction for all pairs of a latent and a fact

Facts = dict[str, dict[str, float]]  # by fact, then by patient


def read_facts(path: Path) -> Facts:
    """Numbers known of patients, from a CSV file with a column "patient", or JSON {patient: {fact: value}}.

    A column with two words becomes "sex M", 1 for the one and 0 for the other; other words and empty cells are not
    known. Raises UserError for a file that is neither.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = json.loads(text) if path.suffix.lower() == ".json" else _rows(text)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text of that kind"
        raise UserError(f"{path} can't be read ({reason}); give a CSV table or a JSON file.") from None
    if not isinstance(rows, dict) or not rows or not all(isinstance(row, dict) for row in rows.values()):
        raise UserError(f"{path} does not tell facts by patient; a CSV table needs a column 'patient'.")
    names = dict.fromkeys(name for row in rows.values() for name in row)
    facts: Facts = {}
    for name in names:
        facts |= _numbers(name, {str(patient): row[name] for patient, row in rows.items() if name in row})
    return facts


def _rows(text: str) -> dict[str, dict[str, str]]:
    return {
        row.pop("patient"): {name: cell for name, cell in row.items() if name}
        for row in csv.DictReader(text.splitlines())
        if row.get("patient")
    }


def _numbers(name: str, cells: Mapping[str, object]) -> Facts:
    known = {patient: cell for patient, cell in cells.items() if cell not in (None, "")}
    numbers = {patient: _number(cell) for patient, cell in known.items()}
    if known and all(value is not None for value in numbers.values()):
        return {name: {patient: value for patient, value in numbers.items() if value is not None}}
    words = sorted({str(cell) for cell in known.values()})
    if len(words) != 2:
        return {}
    return {f"{name} {words[1]}": {patient: float(str(cell) == words[1]) for patient, cell in known.items()}}


def _number(cell: object) -> float | None:
    try:
        value = float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def correlations(
    means: np.ndarray, owners: np.ndarray, places: np.ndarray, patients: tuple[str, ...], facts: Facts, place_name: str
) -> list[dict[str, float]]:
    """Of each latent Pearson's r with the facts that it goes together with beyond chance, the strongest first.

    ``means`` (N, M) are posterior means of slices, ``owners`` (N,) the numbers of their patients and ``places`` (N,)
    where they lie among them. A fact of patients is compared with the mean of each patient's slices, over at least
    ``FEWEST`` patients; the place is compared within each patient, r being averaged over them by Fisher's z. Beyond
    chance is p ≤ 0.05 after Holm's correction for all pairs that are looked at.
    """
    by_patient = np.stack([means[owners == owner].mean(axis=0) for owner in range(len(patients))])
    columns = {place_name: _with_place(means, owners, places)}
    for name, values in facts.items():
        shared = [index for index, patient in enumerate(patients) if patient in values]
        column = np.array([values[patients[index]] for index in shared])
        if len(shared) >= FEWEST and np.ptp(column) > 0:
            columns[name] = _pearson(by_patient[shared], column)
    together = {name: r for name, (r, _) in columns.items()}
    certain = _holm(np.stack([p for _, p in columns.values()]))
    found: list[dict[str, float]] = []
    for latent in range(means.shape[1]):
        pairs = [(name, float(r[latent])) for row, (name, r) in enumerate(together.items()) if certain[row, latent]]
        found.append(dict(sorted(pairs, key=lambda pair: -abs(pair[1]))))
    return found


def _pearson(values: np.ndarray, column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """r and two-sided p of each column of ``values`` (n, M) with ``column`` (n,)."""
    centred, other = values - values.mean(axis=0), column - column.mean()
    norms = np.linalg.norm(centred, axis=0) * np.linalg.norm(other)
    r = np.divide(other @ centred, norms, out=np.zeros(len(norms)), where=norms > 0).clip(-1, 1)
    freedom = len(column) - 2
    t = r * np.sqrt(freedom / np.maximum(1 - r**2, 1e-15))
    return r, 2 * stats.t.sf(np.abs(t), freedom)


def _with_place(means: np.ndarray, owners: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """r of latents with the place, averaged over patients by Fisher's z, and p of a t-test over patients."""
    per_patient = [
        _pearson(means[owners == owner], places[owners == owner])[0]
        for owner in np.unique(owners)
        if np.count_nonzero(owners == owner) >= FEWEST
    ]
    if len(per_patient) < 2:
        return np.zeros(means.shape[1]), np.ones(means.shape[1])
    z = np.arctanh(np.clip(per_patient, -1 + 1e-9, 1 - 1e-9))
    spread = z.std(axis=0, ddof=1) / math.sqrt(len(z))
    t = np.abs(z.mean(axis=0)) / np.maximum(spread, 1e-12)
    return np.tanh(z.mean(axis=0)), 2 * stats.t.sf(t, len(z) - 1)


def _holm(p: np.ndarray) -> np.ndarray:
    """Boolean array like ``p``: what stays significant (Holm 1979)."""
    order = np.argsort(p, axis=None, kind="stable")
    allowed = SIGNIFICANCE / np.arange(p.size, 0, -1)
    fails = p.flat[order] > allowed
    kept = order[: int(fails.argmax()) if fails.any() else p.size]
    certain = np.zeros(p.size, dtype=bool)
    certain[kept] = True
    return certain.reshape(p.shape)
