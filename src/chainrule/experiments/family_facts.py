"""Two families of twelve, and what is true of them."""

from __future__ import annotations

import numpy as np

from ..core.node import Array

ENGLISH = (
    "Christopher Andrew Penelope Christine Victoria James Jennifer Arthur Margaret Charles Colin "
    "Charlotte"
).split()


ITALIAN = (
    "Roberto Pierro Maria Francesca Lucia Marco Angela Emilio Gina Tomaso Alfonso Sophia".split()
)


PEOPLE = ENGLISH + ITALIAN


RELATIONS = "father mother husband wife son daughter uncle aunt brother sister nephew niece".split()


MARRIED = (
    "Christopher Penelope",
    "Andrew Christine",
    "Arthur Margaret",
    "James Victoria",
    "Charles Jennifer",
)


CHILDREN = {
    "Christopher Penelope": "Arthur Victoria",
    "Andrew Christine": "James Jennifer",
    "James Victoria": "Colin Charlotte",
}


MALE = set("Christopher Andrew James Arthur Charles Colin".split())


NATIONALITY = np.repeat([1.0, -1.0], 12)


GENERATION = np.tile(
    [
        {
            "Christopher": 1,
            "Penelope": 1,
            "Andrew": 1,
            "Christine": 1,
            "Colin": 3,
            "Charlotte": 3,
        }.get(p, 2)
        for p in ENGLISH
    ],
    2,
)


BRANCH = np.tile(
    [
        {
            "Christopher": -1,
            "Penelope": -1,
            "Arthur": -1,
            "Margaret": -1,
            "Victoria": -1,
            "Colin": 0,
            "Charlotte": 0,
        }.get(p, 1)
        for p in ENGLISH
    ],
    2,
)


def english_facts() -> dict[tuple[str, str], set[str]]:
    """(person, relation) to the set of answers, for every pair that has an answer: 52."""
    spouse = {}
    for couple in MARRIED:
        a, b = couple.split()
        spouse[a], spouse[b] = b, a
    parents = {c: pair.split() for pair, children in CHILDREN.items() for c in children.split()}

    def siblings(p: str) -> list[str]:
        return [q for q in ENGLISH if q != p and p in parents and parents.get(q) == parents[p]]

    def children(p: str) -> list[str]:
        return [q for q in ENGLISH if p in parents.get(q, [])]

    found: dict[tuple[str, str], set[str]] = {}

    def add(person: str, male: str, female: str, others: list[str]) -> None:
        for q in others:
            found.setdefault((person, male if q in MALE else female), set()).add(q)

    for p in ENGLISH:
        partner = [spouse[p]] if p in spouse else []
        of_parents = [q for parent in parents.get(p, []) for q in siblings(parent)]
        add(p, "husband", "wife", partner)
        add(p, "father", "mother", parents.get(p, []))
        add(p, "son", "daughter", children(p))
        add(p, "brother", "sister", siblings(p))
        add(p, "uncle", "aunt", of_parents + [spouse[q] for q in of_parents if q in spouse])
        add(
            p,
            "nephew",
            "niece",
            [c for q in (p, *partner) for s in siblings(q) for c in children(s)],
        )
    return found


def facts() -> list[tuple[str, str, set[str]]]:
    """All 104 facts: person, relation, answers."""
    translate = dict(zip(ENGLISH, ITALIAN, strict=True))
    english = [(p, r, answers) for (p, r), answers in english_facts().items()]
    return english + [
        (translate[p], r, {translate[q] for q in answers}) for p, r, answers in english
    ]


def cases() -> tuple[Array, Array]:
    """Inputs (104, 24 + 12), one person and one relation on; targets (104, 24)."""
    x, d = np.zeros((104, 36)), np.zeros((104, 24))
    for k, (person, relation, answers) in enumerate(facts()):
        x[k, PEOPLE.index(person)] = x[k, 24 + RELATIONS.index(relation)] = 1
        d[k, [PEOPLE.index(a) for a in answers]] = 1
    return x, d
