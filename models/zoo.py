"""Every model by the name that a definition uses. To add one: its file in this package, and a line here."""

from __future__ import annotations

import importlib

from finflow.models.base import Model

ZOO: dict[str, str] = {
    "recurrent": "finflow.models.networks.recurrent:Recurrent",
    "cnn": "finflow.models.networks.cnn:Cnn",
    "dense": "finflow.models.networks.dense:Dense",
    "gan": "finflow.models.networks.gan:Gan",
    "random_walk": "finflow.models.forecasts.random_walk:RandomWalk",
    "historical_mean": "finflow.models.forecasts.historical_mean:HistoricalMean",
    "arima": "finflow.models.forecasts.arima:Arima",
    "var": "finflow.models.forecasts.var:Var",
    "ridge": "finflow.models.forecasts.ridge:Ridge",
    "last_variance": "finflow.models.variances.last_variance:LastVariance",
    "ewma": "finflow.models.variances.ewma:Ewma",
    "har": "finflow.models.variances.har:Har",
    "garch": "finflow.models.variances.garch:Garch",
    "historical_simulation": "finflow.models.risk.historical_simulation:HistoricalSimulation",
    "garch_t": "finflow.models.risk.garch_t:GarchT",
    "majority": "finflow.models.classes.class_frequency:Majority",
    "class_frequency": "finflow.models.classes.class_frequency:ClassFrequency",
    "logistic": "finflow.models.classes.logistic:Logistic",
    "tabular_logistic": "finflow.models.rows.tabular_logistic:TabularLogistic",
    "boosting": "finflow.models.rows.boosting:Boosting",
    "scorecard": "finflow.models.rows.scorecard:Scorecard",
    "isolation_forest": "finflow.models.rows.isolation_forest:IsolationForest",
    "autoencoder": "finflow.models.row_networks.autoencoder:Autoencoder",
    "tabular_dense": "finflow.models.row_networks.tabular_dense:TabularDense",
    "sequence_lstm": "finflow.models.row_networks.sequence_networks:SequenceLstm",
    "sequence_cnn": "finflow.models.row_networks.sequence_networks:SequenceCnn",
    "stationary_bootstrap": "finflow.models.paths.stationary_bootstrap:StationaryBootstrap",
    "garch_paths": "finflow.models.paths.garch_paths:GarchPaths",
    "scenario_gan": "finflow.models.paths.scenario_gan:ScenarioGan",
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
    kind: type[Model] = getattr(importlib.import_module(module), attribute)
    return kind
