"""How the trained nets of `models.load` were trained: each recipe makes one, with its card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__, nn, optim
from ..core.node import Array
from ..data import TextCorpus, load_names, load_tiny_shakespeare
from ..errors import OptionError
from ..models import CharLSTM
from ..models.trained import NETS, Card
from ..tensor import functions as f
from ..tensor.compiling.compiled import compile as compile_function
from ..train import pretrain
from ..utils.files import load as load_file
from ..utils.files import save as save_file
from . import autoencoder, dbn, lenet
from .base import Lab, bits
from .components import squared
from .images import Images, answers, fine_tune, grey, images, mnist, stack, start
from .reading import Reader, ngram_loss

TABLE = "a truth table; none needed"
DIGITS = "the 1,797 bundled digits of 8 x 8 pixels, 1,400 of them for training"
OPTDIGITS = "E. Alpaydin and C. Kaynak, UCI; as distributed with scikit-learn (BSD 3-clause)"
MNIST = "Y. LeCun, C. Cortes and C. Burges; commonly given as CC BY-SA 3.0"
MAKEMORE = "A. Karpathy, makemore (MIT); names from the US Social Security Administration"
PUBLIC = "public domain (W. Shakespeare); the file's repository is MIT"

Made = tuple[nn.Module, dict[str, Any], Callable[[nn.Module], str]]
"""A trained net, what its card says, and what measures it."""


def sigmoid_net(name: str, x: Array, d: Array, lr: float, sweeps: int, spread: float) -> nn.Module:
    """A small net by the rule of 1986."""
    net = NETS[name]()
    for p in net.parameters():
        nn.init.uniform_(p, -spread, spread)
    rule = optim.Backprop1986(net.parameters(), lr=lr, momentum=0.9)
    inputs, targets = f.tensor(x.astype("float32")), f.tensor(d.astype("float32"))

    @compile_function
    def sweep() -> None:
        error = 0.5 * ((net(inputs) - targets) ** 2).sum()
        rule.zero_grad()
        error.backward()
        rule.step()

    sweep.repeat(sweeps)
    return net


def truth_table(name: str, x: Array, d: Array, lr: float, sweeps: int, spread: float) -> Made:
    """A net of logistic units for a function of bits."""
    net = sigmoid_net(name, x, d, lr, sweeps, spread)
    sizes = "-".join(str(n) for n in (x.shape[1], 2, 1))
    said = {
        "net": f"{sizes}, logistic units",
        "inputs": f"{x.shape[1]} bits, 0.0 or 1.0: (N, {x.shape[1]})",
        "data": f"all {len(x)} cases",
        "licence": TABLE,
    }

    def score(net: nn.Module) -> str:
        right = int(((net(x.astype("float32")).numpy() > 0.5) == d).sum())
        return f"{right} of {len(x)} cases right"

    return net, said, score


def xor(seed: int) -> Made:
    """Exclusive or: E stays at 0.25 from some seeds; not from this one."""
    return truth_table("xor", bits(2), bits(2).sum(1, keepdims=True) % 2, 0.5, 3000, 0.5)


def symmetry(seed: int) -> Made:
    """Mirror symmetry of six bits."""
    x = bits(6)
    return truth_table("symmetry", x, (x == x[:, ::-1]).all(1, keepdims=True), 0.05, 4000, 0.3)


def accuracy(data: Images, maps: bool = False) -> Callable[[nn.Module], str]:
    """Errors on the test images, given as rows or, with ``maps``, as LeNet-5 takes them."""

    def score(net: nn.Module) -> str:
        x = grey(data.x_test) if maps else data.x_test
        (said,) = answers(net, x)
        error = 100 * float((said != data.y_test).mean())
        return f"{error:.2f} % errors on {len(x):,} test images"

    return score


def digits(seed: int) -> Made:
    """The demo's net."""
    data, net = images(Lab()), NETS["digits"]()
    test = data.x_test, data.y_test
    fine_tune(Lab(), "digits", net, data.x, data.y, test, 40, 0.05, seed)
    said = {
        "net": "64-30-10, tanh",
        "inputs": "grey levels / 16: (N, 64)",
        "data": DIGITS,
        "licence": OPTDIGITS,
    }
    return net, said, accuracy(data)


def belief_net(name: str, full: bool) -> Callable[[int], Made]:
    """A recipe of a net that is pre-trained, then learns by back-propagation.

    As a stack of restricted Boltzmann machines, like in `reproduce dbn`.
    """

    def make(seed: int) -> Made:
        lab, plan = Lab(full=full), dbn.FULL if full else dbn.QUICK
        data = images(lab)
        net = stack(data.side**2, *plan.layers, 10)
        start(net, "small", f.Generator(seed))
        pretrain(net[:-1], data.x, epochs=plan.greedy, seed=seed)
        test = data.x_test, data.y_test
        fine_tune(lab, name, net, data.x, data.y, test, plan.tuned, plan.rate, seed)
        sizes = "-".join(map(str, (data.side**2, *plan.layers, 10)))
        said = {
            "net": f"{sizes}, logistic units, pre-trained as RBMs",
            "inputs": f"grey levels / {255 if full else 16}: (N, {data.side**2})",
            "data": "MNIST, 60,000 training images" if full else DIGITS,
            "licence": MNIST if full else OPTDIGITS,
        }
        return net, said, accuracy(data)

    return make


def code30(seed: int) -> Made:
    """An image through 30 numbers and back, as in `reproduce autoencoder --full`."""
    lab, plan = Lab(full=True), autoencoder.FULL
    data, code = images(lab), plan.layers[-1]
    machines = autoencoder.machines_of(lab, plan, data, code, seed)
    net = autoencoder.autoencoder(data, plan, code, "", machines)
    autoencoder.fine_tune(lab, "", net, data, plan.tuned)
    sizes = "-".join(map(str, (784, *plan.layers)))
    said = {
        "net": f"{sizes} and back, logistic units, 30 linear ones; pre-trained as RBMs",
        "inputs": "grey levels / 255: (N, 784); outputs are logits of pixels",
        "data": "MNIST, 60,000 training images",
        "licence": MNIST,
    }

    def score(net: Any) -> str:
        error = squared(autoencoder.rebuilt(net, data.x_test), data.x_test)
        return f"squared error {error:.2f} an image on 10,000 test images"

    return net, said, score


def lenet5(seed: int) -> Made:
    """Ten passes over MNIST, as in `reproduce lenet --full`."""
    data, net = mnist(), NETS["lenet5-mnist"]()
    system = lenet.SYSTEMS[lenet.SOFTMAX]
    lenet.learn(Lab(), "", net, grey(data.x), data.y, system.full, system, seed)
    said = {
        "net": 'models.LeNet5("softmax")',
        "inputs": "grey levels from -0.1 (background) to 1.175 (ink): (N, 1, 28, 28)",
        "data": "MNIST, 60,000 training images",
        "licence": MNIST,
    }
    return net, said, accuracy(data, maps=True)


def names() -> TextCorpus:
    """Distinct first names in an order drawn once, one a line: the last are not in the first."""
    found = sorted(set(load_names()))
    np.random.default_rng(0).shuffle(found)
    return TextCorpus("\n".join(found) + "\n")


def writer(
    name: str, read: Callable[[], TextCorpus], what: str, licence: str, batch: int, updates: int
) -> Callable[[int], Made]:
    """A recipe of a net that reads a text."""

    def make(seed: int) -> Made:
        corpus, net = read(), NETS[name]()
        parts, size = corpus.split(0.9), len(corpus.vocabulary)
        Reader(net, *parts, batch, updates, seed).step.repeat(updates)
        width = net.embedding.weight.shape[1]
        lstm = f"models.CharLSTM({size}, {width})"
        said = {
            "net": lstm if isinstance(net, CharLSTM) else f"models.GPT, 4 layers of {width}",
            "inputs": "tokens, ranks in the vocabulary: (N, T)",
            "data": f"{what}, the first 90 %; {updates:,} updates of {batch} x 64",
            "licence": licence,
            "vocabulary": "".join(corpus.vocabulary),
        }
        pairs = ngram_loss(parts[0].tokens, parts[1].tokens, 2, size)

        def score(net: nn.Module) -> str:
            loss = Reader(net, *parts, batch, updates, seed).loss(200).mean()
            return f"{loss:.3f} nats a character on the last 10 % (counts of pairs: {pairs:.3f})"

        return net, said, score

    return make


PLAYS = load_tiny_shakespeare, "Tiny Shakespeare", PUBLIC
FIRST_NAMES = names, "29,494 first names", MAKEMORE
RECIPES: Mapping[str, Callable[[int], Made]] = {
    "xor": xor,
    "symmetry": symmetry,
    "digits": digits,
    "dbn-digits": belief_net("dbn-digits", False),
    "dbn-mnist": belief_net("dbn-mnist", True),
    "autoencoder-mnist": code30,
    "lenet5-mnist": lenet5,
    "char-lstm-names": writer("char-lstm-names", *FIRST_NAMES, 32, 1000),
    "char-lstm-shakespeare": writer("char-lstm-shakespeare", *PLAYS, 32, 2000),
    "gpt-shakespeare": writer("gpt-shakespeare", *PLAYS, 12, 2000),
}


def build(name: str, folder: str | Path, seed: int = 0) -> Path:
    """Train one of the nets of `models.load` and write it, with its card, into ``folder``.

    Weights are kept in half precision; the score on the card is that of the weights in the file.
    Raises OptionError for another name, and DataError where the data are not there.
    """
    if name not in RECIPES:
        raise OptionError(f"models: no recipe for {name!r}; there are {', '.join(RECIPES)}")
    f.manual_seed(seed)
    net, said, score = RECIPES[name](seed)
    halves = {k: np.asarray(v.numpy(), np.float16) for k, v in net.state_dict().items()}
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    path = target / f"{name}.safetensors"
    said |= {"name": name, "seed": seed, "version": __version__}
    save_file({"weights": halves}, path)
    net.load_state_dict(load_file(path)["weights"])
    done = Card(score=score(net.eval()), **said)
    return save_file({"card": done.__dict__, "weights": halves}, path)
