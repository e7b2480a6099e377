"""Which kernels numerical libraries may take: read once a process, at the first matrix product, so set before that."""

from __future__ import annotations

#: MKL picks the kernel of a product by the processor and, on some, by where a row stands: a row's bits would depend on its neighbours. In
#: this mode they do not, and they are the same on processors of several makers.
KERNELS = {"MKL_CBWR": "AVX2"}
