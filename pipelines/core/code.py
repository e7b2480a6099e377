"""The code that a result depends on, told from the imports of the sources alone; and which finflow this is.

One walk over the import graph (`finflow.pipelines.core.source_digests`) answers four questions: which code a fit's numbers come from, which
makes samples, which turns predictions into a decision, and which all of that in a walk forward.

How the boundaries are drawn. A new module counts by being imported, without anybody thinking of it; what does not count is named:

- registries (LEFT_OUT, first line): they name every model, problem, source and sink, and run none. The one that is meant is a start.
- what keeps, fetches, logs or shows (the lines after it): the rows, settings and fits that go through it are in the key by their content.
  Through these doors functions reach nearly the whole program; `prune` must not make anybody fit again.
- for a fit, all of pipelines/ but what carries it out: the rows that it reads are in its key.
- for a decision, what makes samples: it shows in the keys of the fits.

What a function is handed as an argument, its imports do not show: `finflow.pipelines.settings.parts`, whose features say what they read, is
a start. A start, a package to follow, or a module to leave out that is not there is an error, so that moving a file cannot narrow a digest
silently.
"""

from __future__ import annotations

import functools
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from finflow.models.zoo import ZOO
from finflow.pipelines.core.digest import digest_file, digest_json
from finflow.pipelines.core.source_digests import PACKAGES, ROOT, ours, source_digests

#: distributions whose release may change a fit's bits
LIBRARIES = (
    *("numpy", "scipy", "torch", "pytorch-lightning", "scikit-learn", "imbalanced-learn"),
    *("statsmodels", "arch", "lightgbm", "safetensors"),
)
#: what no digest of pipelines/ looks into; see above
LEFT_OUT = (
    *("finflow.models.zoo", "finflow.pipelines.problems", "finflow.pipelines.sources", "finflow.pipelines.sinks"),
    *(
        "finflow.pipelines.definitions.definition",
        "finflow.pipelines.definitions.context",
        "finflow.pipelines.core.errors",
        "finflow.pipelines.core.home",
        "finflow.pipelines.core.manifests",
    ),
    *(
        "finflow.pipelines.core.code",
        "finflow.pipelines.core.source_digests",
        "finflow.pipelines.fits.fits",
        "finflow.pipelines.lake.lake",
        "finflow.pipelines.lake.conflicts",
        "finflow.pipelines.fits.needs",
        "finflow.pipelines.samples.store",
        "finflow.pipelines.core.whole_files",
    ),
    *(
        "finflow.pipelines.tracking.store",
        "finflow.pipelines.registry.versions",
        "finflow.pipelines.training.leaks",
        "finflow.pipelines.training.report",
        "finflow.pipelines.training.tracking",
    ),
    *("finflow.pipelines.backfill.versions", "finflow.pipelines.backfill.walk_run"),
)
#: what carries out a fit beside the model's own sources
_AROUND = (
    "finflow.models.samples",
    "finflow.models.base",
    "finflow.models.saving",
    "finflow.pipelines.fits.data",
    "finflow.pipelines.fits.worker",
)
_SAMPLES = ("finflow.pipelines.samples.windows", "finflow.pipelines.settings.parts")
_DECISIONS = (
    *(
        "finflow.pipelines.training.plan",
        "finflow.pipelines.evaluation.evaluation",
        "finflow.pipelines.evaluation.comparisons",
        "finflow.pipelines.samples.folds",
    ),
    *(
        "finflow.pipelines.training.decisions",
        "finflow.pipelines.training.gate",
        "finflow.pipelines.training.conclusion",
        "finflow.pipelines.training.incumbent",
        "finflow.pipelines.registry.task_signature",
    ),
)
_WALKS = (
    "finflow.pipelines.backfill.walk_forward",
    "finflow.pipelines.backfill.walk_periods",
    "finflow.pipelines.lake.walks",
    "finflow.pipelines.data.contract",
)


def code_digest(model: str) -> str:
    """Of the sources that a model of the zoo runs: its module, what that imports of models/ or its own package, and what carries out a fit.

    Raises:
        KeyError: the zoo has no such model.
        ModuleNotFoundError: see `source_digests`.
    """
    start = ZOO[model].partition(":")[0]
    package = start.rpartition(".")[0] or start  # a model of a person's own may have its parts beside it
    return digest_json(dict(source_digests((start, *ours(*_AROUND)), (*ours("models"), package), ours("finflow.models.zoo"))))


def sample_code(problem: type) -> Mapping[str, str]:
    """By module, the digests of the sources that make samples of clean rows.

    Args:
        problem: the class of the definition's problem.

    Raises:
        ModuleNotFoundError: see `source_digests`.
    """
    return _for_problem(problem, _SAMPLES)


def sample_code_digest(problem: type) -> str:
    """Of `sample_code`."""
    return digest_json(dict(sample_code(problem)))


def decision_code_digest(problem: type) -> str:
    """Of the sources that turn predictions into a decision; `problem` as in `sample_code`."""
    return digest_json(dict(_for_problem(problem, _DECISIONS, ("finflow.pipelines.samples.windows",))))


def walk_code_digest(problem: type) -> str:
    """Of the sources, but for the models', that a walk forward runs: contract, samples and decisions; `problem` as in `sample_code`."""
    return digest_json(dict(_for_problem(problem, (*_WALKS, *_SAMPLES, *_DECISIONS))))


@functools.cache
def library_versions() -> dict[str, str]:
    """By distribution, its release; those not installed are left out."""
    versions = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


@functools.cache
def code_version() -> str:
    """For example `0.1.0+3f9c2a7be014`: the release, and 12 digits of the digest of all sources of the four packages.

    Raises:
        FileNotFoundError: a package has no sources where this file thinks that they are.
    """
    digests: dict[str, str] = {}
    for package in PACKAGES:
        files = sorted((ROOT / package).rglob("*.py"))
        if not files:
            raise FileNotFoundError(
                f"{ROOT / package} holds no sources: expected finflow's package {package}. "
                "Mend ROOT in finflow.pipelines.core.source_digests."
            )
        digests |= {path.relative_to(ROOT).as_posix(): digest_file(path) for path in files}
    digest = digest_json(digests)[:12]
    try:
        return f"{version('finflow')}+{digest}"
    except PackageNotFoundError:
        return f"0+{digest}"


def _for_problem(problem: type, starts: tuple[str, ...], without: tuple[str, ...] = ()) -> Mapping[str, str]:
    module = problem.__module__
    package = module.rpartition(".")[0] or module  # a kind of problem of a person's own may have its parts beside it
    return source_digests((*ours(*starts), module), (*ours("pipelines", "models", "expectations"), package), ours(*LEFT_OUT, *without))
