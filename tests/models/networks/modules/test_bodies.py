"""Bodies: what they read, against plain torch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from finflow.models.networks.modules.cnn import CnnBody, Convolution
from finflow.models.networks.modules.dense import SharedDropout
from finflow.models.networks.modules.recurrent import RecurrentBody


def dilated(body: CnnBody, windows: Tensor) -> Tensor:
    """The same network by padded, dilated convolutions over the whole window."""

    def convolve(layer: Convolution, values: Tensor, dilation: int) -> Tensor:
        weight = layer.linear.weight.view(layer.linear.out_features, layer.kernel, -1).transpose(1, 2)
        padded = functional.pad(values, ((layer.kernel - 1) * dilation, 0))
        return functional.conv1d(padded, weight, layer.linear.bias, dilation=dilation)

    values = functional.pad(windows.transpose(1, 2), (body.reach, 0))
    for number, block in enumerate(body.blocks):
        found = torch.relu(convolve(block.first, values, 2**number))
        found = torch.relu(convolve(block.second, found, 2**number))
        values = torch.relu(found + block.skip(values.transpose(1, 2)).transpose(1, 2))
    return values[:, :, -1]


@pytest.mark.parametrize(("kernel", "layers", "length"), [(3, 3, 60), (3, 3, 29), (2, 4, 31), (4, 2, 19), (5, 1, 9)])
def test_cnn_is_a_stack_of_dilated_causal_convolutions(kernel: int, layers: int, length: int) -> None:
    torch.manual_seed(1)
    body = CnnBody(3, 4, kernel, layers, (), 0.0)
    windows = torch.randn(5, length, 3)
    assert body.reach <= length
    torch.testing.assert_close(body(windows), dilated(body, windows), rtol=1e-4, atol=1e-5)


def test_cnn_reads_its_reach_and_no_further() -> None:
    torch.manual_seed(1)
    body = CnnBody(1, 6, 3, 2, (), 0.0)
    windows = torch.randn(40, 20, 1, requires_grad=True)
    body(windows).sum().backward()
    assert windows.grad is not None
    read = windows.grad.abs().sum(dim=(0, 2)) > 0
    assert read.tolist() == [False] * 7 + [True] * 13


def test_cnn_takes_windows_shorter_than_its_reach() -> None:
    torch.manual_seed(1)
    body = CnnBody(2, 4, 3, 3, (7,), 0.0)
    windows = torch.randn(4, 5, 2)
    padded = torch.cat((torch.zeros(4, 24, 2), windows), dim=1)
    torch.testing.assert_close(body(windows), body(padded))
    assert body(windows).shape == (4, body.width) == (4, 7)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_recurrent_layers_are_torchs(cell: str) -> None:
    torch.manual_seed(2)
    body = RecurrentBody(3, cell, (5, 4), (6,), 0.0)
    windows = torch.randn(7, 11, 3)
    states = body.layers[1](body.layers[0](windows)[0])[0]
    torch.testing.assert_close(body(windows), body.dense(states[:, -1]))
    assert body(windows).shape == (7, 6)


def test_shared_dropout_drops_whole_channels_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    dropout = SharedDropout(0.25)
    found = dropout(torch.ones(2000, 3, 5))
    assert ((found == found[:, :1]).all()).item(), "a channel is dropped at every step or at none"
    assert found.mean().item() == pytest.approx(1.0, abs=0.03)
    assert torch.equal(dropout.eval()(torch.ones(2, 3, 5)), torch.ones(2, 3, 5))
    assert isinstance(dropout, nn.Module)
