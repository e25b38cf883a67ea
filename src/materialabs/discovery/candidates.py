"""The candidates of one round: substitution into templates, and random search."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.elements import SYMBOLS
from materialabs.errors import MaterialabsError
from materialabs.generation.candidates import Candidates

if TYPE_CHECKING:
    from materialabs.discovery.request import CampaignRequest
    from materialabs.generation.pool import ParentPool

MOST_SUBSTITUTED, MOST_OF_A_SYSTEM = 8_000, 2_000
"""Candidates from templates, over all subsystems and of each."""

MOST_FROM_STABLE: Final = 2_000
"""Candidates from what the campaign has found stable, over all subsystems."""

SHARED_ROLES: Final = 200
"""Likeliest roles of templates that two elements share: a ThCr2Si2 type made from BaAl4, say, is
far down the list of what is likely."""

RANDOM_FORMULAS: Final = 8
"""Formulas by chance for which random crystals are drawn in one round."""

RANDOM_CRYSTALS, FAVOURED_CRYSTALS = 6, 48
"""Random crystals of each of these, and of each formula that promises most: drawing and predicting
one takes less than a millisecond, and few of a formula's polymorphs are like any template."""

USUAL_GROUPS: Final = 0.75
"""Part of the random crystals whose space group is drawn as often as known compounds have it."""

LARGEST_FORMULA: Final = 10
"""Atoms in the largest formula that random crystals are drawn for."""

MOST_UNITS: Final = 4
"""Formula units in a random crystal at most."""

FORMULA_STREAM, CRYSTAL_STREAM = 1, 2
"""Names of the streams of random numbers, beside seed and round."""

KEPT_COLUMNS: Final = ("parent", "probability", "generator", "substitution", "space_group")


def make_candidates(
    request: CampaignRequest,
    substituted: Candidates,
    number: int,
    *,
    known: Crystals,
    favoured: Sequence[str] = (),
) -> Candidates:
    """Join the candidates of a round; none is a copy of another or of a known crystal.

    Parameters
    ----------
    request
        Of the campaign.
    substituted
        What :func:`from_templates` gave.
    number
        Of the round; another round draws other random crystals.
    known
        Crystals that were relaxed already, as they started and as they ended.
    favoured
        Formulas that promise most: most of the random crystals are theirs.
    """
    drawn = _random(request, number, favoured)
    return fresh(request, Candidates.concat([substituted, drawn]), known)


def fresh(request: CampaignRequest, candidates: Candidates, known: Crystals) -> Candidates:
    """Those that the constraints allow and that copy neither one another nor a known crystal."""
    if not len(candidates):
        return candidates
    allowed = request.constraints.allowed(candidates.crystals)
    reasons = candidates.reasons + Counter(
        {"candidate: the constraints refuse it": int((~allowed).sum())}
    )
    crystals = _plain(candidates.crystals[allowed])
    kept = new_among(crystals, known)
    reasons["candidate: a copy of another or of one that was relaxed"] += len(crystals) - len(kept)
    return Candidates(crystals[kept], +reasons)


def new_among(crystals: Crystals, known: Crystals) -> NDArray[np.int64]:
    """Positions of the crystals that copy neither one another nor a known one."""
    from materialabs.generation.duplicates import unique

    if not len(crystals):
        return np.zeros(0, dtype=np.int64)
    bare = [part.replace(columns=None, site_columns=None) for part in (known, crystals)]
    first = unique(Crystals.concat(bare))
    return np.asarray(first[first >= len(known)] - len(known), dtype=np.int64)


def subsystems(request: CampaignRequest) -> list[str]:
    """Systems of two elements and more that the constraints leave, small ones first."""
    forbidden, required = set(request.constraints.forbid), set(request.constraints.require)
    symbols = [SYMBOLS[z] for z in request.elements if SYMBOLS[z] not in forbidden]
    return [
        "-".join(chosen)
        for size in range(2, len(symbols) + 1)
        for chosen in itertools.combinations(symbols, size)
        if required <= set(chosen)
    ]


def from_templates(
    request: CampaignRequest, templates: Crystals | ParentPool, most: int = MOST_SUBSTITUTED
) -> Candidates:
    """Substitute the elements of all subsystems into templates, the likeliest first.

    Templates and what a campaign finds itself are asked apart: its own stable crystals are the
    likeliest parents by far, and their offspring would crowd out what was promising before.

    Parameters
    ----------
    request
        Of the campaign.
    templates
        Of any elements.
    most
        Candidates at most, over all subsystems.
    """
    from materialabs.generation.pool import ParentPool
    from materialabs.generation.systems import candidates_for_system

    if not len(templates):
        return Candidates(Crystals.empty())
    pool = templates if isinstance(templates, ParentPool) else ParentPool.of(templates)
    systems = subsystems(request)
    share = min(MOST_OF_A_SYSTEM, max(1, most // max(len(systems), 1)))
    largest = request.constraints.max_atoms
    found = [
        candidates_for_system(
            system, pool, limit=share, most_atoms=largest, shared_roles=SHARED_ROLES
        )
        for system in systems
    ]
    joined = Candidates.concat(found)
    return Candidates(joined.crystals, Counter({
        reason: count for reason, count in joined.reasons.items()
        if not reason.startswith("candidate: no further")
    }))  # fmt: skip


def _random(request: CampaignRequest, number: int, favoured: Sequence[str]) -> Candidates:
    from materialabs.generation.airss import airss_candidates

    atoms = min(request.constraints.max_atoms, LARGEST_FORMULA)
    rng = np.random.default_rng([request.seed, number, FORMULA_STREAM])
    reasons: Counter[str] = Counter()
    found: list[Crystals] = []
    chosen = [one for one in favoured if _atoms_in(one) <= request.constraints.max_atoms]
    others = _by_chance(request, atoms, chosen, rng)
    counts = [FAVOURED_CRYSTALS] * len(chosen) + [RANDOM_CRYSTALS] * len(others)
    for place, (formula, count) in enumerate(zip([*chosen, *others], counts, strict=True)):
        size = _atoms_in(formula)
        most = min(MOST_UNITS, request.constraints.max_atoms // size)
        if most < 1:
            continue
        seed = np.random.default_rng([request.seed, number, CRYSTAL_STREAM, place]).integers(2**31)
        groups = list(request.constraints.space_groups) or None
        try:
            drawn = airss_candidates(
                formula, count, cells=range(1, most + 1), space_groups=groups,
                usual=USUAL_GROUPS, pressure=request.constraints.pressure, seed=int(seed),
            )  # fmt: skip
        except MaterialabsError as error:
            reasons[f"random: {error}"] += 1
            continue
        reasons.update(drawn.reasons)
        found.append(drawn.crystals)
    return Candidates(Crystals.concat(found), reasons)


def _by_chance(
    request: CampaignRequest, atoms: int, chosen: Sequence[str], rng: np.random.Generator
) -> list[str]:
    """Formulas beside those that were chosen, drawn at random."""
    from materialabs.generation.balance import RelaxedBalance
    from materialabs.generation.formulas import formulas

    every: list[str] = []
    for system in subsystems(request):
        kinds = system.count("-") + 1
        if atoms >= kinds:
            listed = formulas(system, atoms=atoms, rule=RelaxedBalance(), fewest_elements=kinds)
            every += [one for one in listed.reduced_formulas() if one not in chosen]
    count = min(RANDOM_FORMULAS, len(every))
    return [every[i] for i in sorted(rng.choice(len(every), count, replace=False))]


def _atoms_in(formula: str) -> int:
    from materialabs.crystals.formula_texts import parse_formula

    return int(sum(parse_formula(formula).values()))


def _plain(crystals: Crystals) -> Crystals:
    """The batch with its lineage alone; missing columns are empty."""
    count = len(crystals)
    columns = {
        name: crystals.columns[name]
        if name in crystals.columns
        else np.full(count, None, dtype=object)
        for name in KEPT_COLUMNS
    }
    return crystals.replace(columns=columns, site_columns=None)
