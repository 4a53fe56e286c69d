"""English into German by a small Transformer: of byte pairs, and of characters.

Nothing but 29,000 pairs of captions says what a language is. Does the net read at all? It is asked
for the same translations with the sources of others, and beside it stand copies of the source and
counts of characters (n-grams), which never see the source.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data import load_multi30k, pad_sequences
from ..errors import MissingExtraError
from ..models import END, PAD, START, Seq2SeqTransformer, beam_search
from ..plot import COLOURS
from ..tensor import functions as f
from ..tensor.grad_mode import no_grad
from .base import Experiment, Lab, Report
from .reading import ngram_loss
from .seq2seq import Pairs, Teacher, Tokens, pairs_of

SHOWN = 3  # translations in the report


@dataclass(frozen=True)
class Plan:
    """The size of a system, how long it is trained, and what is asked of it."""

    width: int
    layers: int
    feedforward: int
    epochs: int
    limit: int  # tokens of a sentence in training
    warmup: int
    beams: int
    bleu: float | None  # at least
    size: int = 0  # of the vocabulary of byte pairs
    tested: int = 1000


CHARACTERS, BYTE_PAIRS = "characters", "byte pairs"
QUICK = {
    BYTE_PAIRS: Plan(64, 2, 128, 5, 20, 300, 4, 10.0, size=1000, tested=200),
    CHARACTERS: Plan(64, 2, 128, 5, 48, 200, 1, None, tested=100),
}
FULL = {
    BYTE_PAIRS: Plan(128, 3, 512, 14, 30, 1000, 4, 25.0, size=4000),
    CHARACTERS: Plan(128, 3, 512, 14, 60, 1000, 1, None),
}


def scorer() -> Any:
    """sacreBLEU, which makes scores comparable (Post, 2018)."""
    try:
        import sacrebleu
    except ImportError:
        raise MissingExtraError(
            "translations are scored by sacreBLEU: pip install 'chainrule[translation]'"
        ) from None
    return sacrebleu


def coded(part: str, tokenizer: Any, limit: int) -> Pairs:
    """The pairs of a part with at most ``limit`` tokens on each side."""
    texts = zip(*load_multi30k(part), strict=True)
    tokens = [(tokenizer.encode(a), tokenizer.encode(b)) for a, b in texts]
    short = [pair for pair in tokens if max(map(len, pair)) <= limit]
    return pairs_of([a for a, _ in short], [b for _, b in short], limit)


@dataclass
class Course:
    """A trained system, the tests, and what it wrote."""

    teacher: Teacher
    tokenizer: Any
    tests: list[tuple[str, str]]
    written: list[str]


def written(course: Course, sources: list[str], length: int, beams: int) -> list[str]:
    """What the net makes of ``sources``."""
    tokens, _ = pad_sequences([course.tokenizer.encode(text) for text in sources], PAD)
    model, parts = course.teacher.model, np.array_split(tokens, max(1, len(tokens) // 100))
    rows = [row for part in parts for row in beam_search(model, part, length, beams).numpy()]
    return [course.tokenizer.decode(row) for row in rows]


def translator(lab: Lab, kind: str, plan: Plan) -> tuple[Teacher, float, Any, Pairs, Pairs]:
    """A trained net, its epochs, its tokenizer, and the pairs for training and validation."""
    texts = [text for part in load_multi30k("train") for text in part]
    tokenizer = Tokens(texts, "pairs", plan.size) if plan.size else Tokens(texts)
    train, val = (coded(part, tokenizer, plan.limit) for part in ("train", "val"))
    f.manual_seed(0)
    model = Seq2SeqTransformer(len(tokenizer), plan.width, 4, plan.layers, plan.feedforward)
    teacher = Teacher(model, plan.warmup, smoothing=0.1)
    epochs = teacher.learn(lab, kind, train, val, plan.epochs, lab.folder(f"translation-{kind}"))
    return teacher, epochs, tokenizer, train, val


def measured(lab: Lab, report: Report, kind: str, plan: Plan, tests: Any) -> Course:
    """Train one system and measure it."""
    bleu = scorer().corpus_bleu
    teacher, epochs, tokenizer, train, val = translator(lab, kind, plan)
    if kind == CHARACTERS:
        tests = [pair for pair in tests if max(map(len, pair)) <= plan.limit]
    tests = tests[: lab.epochs(plan.tested)]
    sources, truth = map(list, zip(*tests, strict=True))
    found = Course(teacher, tokenizer, tests, [])
    length = plan.limit + plan.limit // 2
    said = {
        "greedy": written(found, sources, length, 1),
        "the sources of others": written(found, sources[1:] + sources[:1], length, 1),
        "sources copied": sources,
    }
    if plan.beams > 1:
        said = {f"{plan.beams} beams": written(found, sources, length, plan.beams), **said}
    found.written = next(iter(said.values()))
    scores = {name: bleu(texts, [truth]).score for name, texts in said.items()}
    own, other = teacher.evaluate(val.x, val.y), teacher.evaluate(val.shuffled, val.y)
    whole = lab.epochs(plan.epochs)
    wanted = "" if epochs == whole else f" (of {whole})"
    updates = f"{epochs:.3g}{wanted} epochs of {len(train.source):,} pairs"
    counted = ngram_loss(train.y[train.y != PAD], val.y[val.y != PAD], 5, len(tokenizer))
    nats = f"{own['nats']:.3f} nats a token, {other['nats']:.3f} with the sources of others"
    grams = f"; 5-grams of the targets {counted:.3f}" if kind == CHARACTERS else ""
    asked = lab.full and kind == CHARACTERS
    good = own["nats"] < other["nats"] - 0.15 and (own["nats"] < counted or not asked)
    report.add(
        f"{kind} ({len(tokenizer):,}): validation after {updates}",
        f"{nats}{grams}; {100 * own['accuracy']:.1f} % of the tokens right",
        bool(good),
        criterion="0.15 below that with the sources of others" + ", below 5-grams" * asked,
        nats=own["nats"],
        shuffled=other["nats"],
        counted=counted,
    )
    best, copied = next(iter(scores.values())), scores["sources copied"]
    report.add(
        f"{kind}: sacreBLEU on {len(tests):,} sentences of test_2016_flickr",
        ", ".join(f"{name} {score:.1f}" for name, score in scores.items()),
        None if plan.bleu is None else best >= plan.bleu and best > copied,
        criterion="" if plan.bleu is None else f"at least {plan.bleu:g}, {plan.beams} beams",
        **scores,
    )
    for (text, wanted), wrote in list(zip(tests, found.written, strict=True))[:SHOWN]:
        report.add(f"{kind}: “{text}”", f"“{wrote}”", reported=f"“{wanted}”")
    return found


def run(lab: Lab) -> Report:
    """Byte pairs, then characters."""
    scorer()  # before any training
    report = Report()
    tests = list(zip(*load_multi30k("test_2016_flickr"), strict=True))
    courses = {
        kind: measured(lab, report, kind, plan, tests)
        for kind, plan in (FULL if lab.full else QUICK).items()
    }
    report.figures["translation"] = lambda figure: draw(figure, courses)
    return report


def draw(figure: Any, courses: dict[str, Course]) -> None:
    """Validation as training goes; where the last layer of byte pairs looks, word by word."""
    figure.set_size_inches(12, 5)
    left, right = figure.subplots(1, 2)
    for (kind, course), colour in zip(courses.items(), COLOURS, strict=False):
        nats = course.teacher.history["val_nats"]
        left.plot(range(1, len(nats) + 1), nats, ".-", color=colour, label=kind)
    left.set(xlabel="epochs", ylabel="nats a token", title="sentences that were not trained on")
    left.locator_params(axis="x", integer=True)
    left.grid(alpha=0.3)
    left.legend()
    course = courses[BYTE_PAIRS]
    encode, decode = course.tokenizer.encode, course.tokenizer.decode
    read, wrote = encode(course.tests[0][0]), encode(course.written[0])
    with no_grad():
        looks = course.teacher.model.eval().attention(read[None], np.r_[START, wrote][None])
    right.imshow(looks[-1].numpy()[0].mean(0), cmap="Blues", vmin=0)
    for tokens, ticks in ((read, right.set_xticks), (np.r_[wrote, END], right.set_yticks)):
        words = [decode([t]).replace(" ", "·") or "end" for t in tokens]
        ticks(range(len(words)), words, fontsize=7)
    right.tick_params(axis="x", rotation=90)
    right.set(
        xlabel="read", ylabel="to be written", title="where the last layer looks (byte pairs)"
    )


EXPERIMENT = Experiment(
    "translation",
    "A small Transformer that translates",
    "Vaswani et al. 2017; Sennrich, Haddow & Birch 2016; Elliott, Frank, Sima'an & Specia 2016",
    run,
)
