"""The same seed gives the same bits: random state, threads and algorithms, set for a block and put back after it."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from finflow.models.kernels import choose_kernels


@contextmanager
def reproducible(seed: int, threads: int = 1) -> Iterator[None]:
    """Seed every generator, fix the thread count (sums are split by it, so bits depend on it), and allow deterministic kernels only."""
    import torch

    generators = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
    algorithms = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark, workspace = torch.backends.cudnn.benchmark, os.environ.get("CUBLAS_WORKSPACE_CONFIG")
    # cuBLAS reads this when its first handle is made; without it torch refuses deterministic matrix products on a GPU.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        with one_thread_count(threads):
            random.seed(seed)
            np.random.seed(seed % 2**32)
            torch.manual_seed(seed)
            torch.use_deterministic_algorithms(True)
            torch.backends.cudnn.benchmark = False
            yield
    finally:
        random.setstate(generators[0])
        np.random.set_state(generators[1])
        torch.random.set_rng_state(generators[2])
        torch.use_deterministic_algorithms(algorithms[0], warn_only=algorithms[1])
        torch.backends.cudnn.benchmark = benchmark
        if workspace is None:
            os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)


@contextmanager
def one_thread_count(threads: int) -> Iterator[None]:
    """Torch computes with so many threads inside the block."""
    choose_kernels()
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
