"""Which kernels numerical libraries may take: read once a process, at the first call of the library, so set before that."""

from __future__ import annotations

import os

#: MKL picks the kernel of a product by the processor and, on some, by where a row stands: a row's bits would depend on its neighbours. In
#: a mode of its "conditional numerical reproducibility" they do not. With this one processors of Intel take the same kernels; those of
#: other makers do not know it, and MKL then takes AUTO: reproducible on one processor, by that processor's own kernels.
KERNELS = {"MKL_CBWR": "AVX2"}


def choose_kernels() -> None:
    """Set the mode for this process, unless somebody has; before anything is computed, also before a network is made (its first weights may
    be orthogonalised)."""
    for name, mode in KERNELS.items():
        os.environ.setdefault(name, mode)
