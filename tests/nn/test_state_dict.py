"""Weights in files: PyTorch's load untouched, and PyTorch loads ours."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from torch_goldens import agree, cases, converted

from chainrule import nn

GOLDEN = Path(__file__).parents[1] / "golden"
STATE = GOLDEN / "torch_state.safetensors"

LOAD_OURS = """
import sys
import nn_cases, numpy as np, torch
from safetensors.torch import load_file
zoo = nn_cases.zoo(torch.nn, torch.tensor).float()
zoo.load_state_dict(load_file(sys.argv[1]), strict=True)
for name, module in zoo.eval().items():
    inputs = [torch.tensor(np.asarray(x)) for x in nn_cases.LAYERS[name].inputs]
    out = module(*(x.float() if x.is_floating_point() else x for x in inputs))
    np.save(f"{sys.argv[2]}/{name}.npy", out.detach().numpy())
"""


def zoo() -> nn.ModuleDict:
    """Every layer that has parameters or buffers."""
    return cases.zoo(nn, lambda x: converted(x, "float32")).float()


def outputs(layers: nn.ModuleDict) -> dict[str, np.ndarray]:
    inputs = {n: [converted(x, "float32") for x in cases.LAYERS[n].inputs] for n in layers}
    return {n: layers[n].eval()(*inputs[n]).numpy() for n in layers}


def test_pytorchs_file_loads_untouched() -> None:
    layers, saved = zoo(), load_file(STATE)
    result = layers.load_state_dict(saved)
    assert result == ([], [])
    state = layers.state_dict()
    assert state.keys() == saved.keys()
    for name, array in saved.items():
        assert state[name].dtype == array.dtype and state[name].shape == array.shape
        assert np.array_equal(state[name].numpy(), array), name
    assert state["BatchNorm1d.num_batches_tracked"].item() == 1
    for name, value in outputs(layers).items():
        agree(value, f"state/{name}", "float32")


def test_our_file_has_pytorchs_keys_shapes_and_types(tmp_path: Path) -> None:
    layers = zoo()
    save_file({k: v.numpy() for k, v in layers.state_dict().items()}, tmp_path / "ours")
    ours, theirs = load_file(tmp_path / "ours"), load_file(STATE)
    assert {k: (a.shape, a.dtype) for k, a in ours.items()} == {
        k: (a.shape, a.dtype) for k, a in theirs.items()
    }


@pytest.mark.slow
def test_pytorch_loads_ours(tmp_path: Path) -> None:
    python = os.environ.get("CHAINRULE_PEERS_PYTHON")
    if not python:
        pytest.skip("CHAINRULE_PEERS_PYTHON names no interpreter with PyTorch and safetensors")
    layers = zoo()
    for module in layers.values():
        for b in module.buffers():
            if b.is_floating_point():
                b.assign(cases.uniform(*b.shape).astype(np.float32))
    save_file({k: v.numpy() for k, v in layers.state_dict().items()}, tmp_path / "ours")
    run = subprocess.run(
        [python, "-c", LOAD_OURS, str(tmp_path / "ours"), str(tmp_path)],
        cwd=GOLDEN,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    for name, value in outputs(layers).items():
        expected = np.load(tmp_path / f"{name}.npy")
        scale = max(np.abs(expected).max(), 1e-3)
        np.testing.assert_allclose(value / scale, expected / scale, rtol=0, atol=1e-5, err_msg=name)
