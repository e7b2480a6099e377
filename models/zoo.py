"""Every model by the name that a definition uses. To add one: its file in this package, and a line here."""

from __future__ import annotations

import importlib

from models.base import Model

ZOO: dict[str, str] = {
    "recurrent": "models.recurrent:Recurrent",
    "cnn": "models.cnn:Cnn",
    "dense": "models.dense:Dense",
    "gan": "models.gan:Gan",
    "random_walk": "models.random_walk:RandomWalk",
    "historical_mean": "models.historical_mean:HistoricalMean",
    "arima": "models.arima:Arima",
    "var": "models.var:Var",
    "ridge": "models.ridge:Ridge",
    "last_variance": "models.last_variance:LastVariance",
    "ewma": "models.ewma:Ewma",
    "har": "models.har:Har",
    "garch": "models.garch:Garch",
    "historical_simulation": "models.historical_simulation:HistoricalSimulation",
    "garch_t": "models.garch_t:GarchT",
    "majority": "models.class_frequency:Majority",
    "class_frequency": "models.class_frequency:ClassFrequency",
    "logistic": "models.logistic:Logistic",
    "tabular_logistic": "models.tabular_logistic:TabularLogistic",
    "boosting": "models.boosting:Boosting",
    "scorecard": "models.scorecard:Scorecard",
    "isolation_forest": "models.isolation_forest:IsolationForest",
    "autoencoder": "models.autoencoder:Autoencoder",
    "tabular_dense": "models.tabular_dense:TabularDense",
    "sequence_lstm": "models.sequence_networks:SequenceLstm",
    "sequence_cnn": "models.sequence_networks:SequenceCnn",
    "stationary_bootstrap": "models.stationary_bootstrap:StationaryBootstrap",
    "garch_paths": "models.garch_paths:GarchPaths",
    "scenario_gan": "models.scenario_gan:ScenarioGan",
}


def model_class(name: str) -> type[Model]:
    """The class behind a zoo name.

    Raises:
        KeyError: no such name; the message lists those there are.
    """
    if name not in ZOO:
        raise KeyError(f"no model {name!r}: the zoo has {', '.join(sorted(ZOO))}")
    return class_at(ZOO[name])


def class_at(address: str) -> type[Model]:
    """The class at `module:name`, imported only now."""
    module, _, attribute = address.partition(":")
    found: type[Model] = getattr(importlib.import_module(module), attribute)
    return found
