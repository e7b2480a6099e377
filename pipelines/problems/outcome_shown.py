"""What a report shows of an outcome: metrics, all candidates beside each other, and each one's decisions."""

from __future__ import annotations

from finflow.pipelines.problems.plots import Plot

METRICS = ("brier", "accuracy", "auc", "gini", "ks", "average_precision", "calibration_error", "brier_skill", "cost")
PLOTS = (
    Plot(
        "reliability",
        "Calibration of every candidate",
        "finflow.pipelines.evaluation.plots.reliability:plot_reliability",
        reads=("candidates",),
    ),
    Plot("ranking", "Ranking", "finflow.pipelines.evaluation.plots.outcome:plot_ranking", reads=("candidates", "baselines")),
    Plot("gains", "Gains", "finflow.pipelines.evaluation.plots.outcome:plot_gains", reads=("candidates", "baselines")),
    Plot("costs", "Costs", "finflow.pipelines.evaluation.plots.outcome:plot_costs", reads=("candidates", "baselines")),
    Plot("fairness", "Fairness", "finflow.pipelines.evaluation.plots.outcome:plot_fairness", reads=("best",), table="fairness"),
    Plot("stability", "Stability", "finflow.pipelines.evaluation.plots.outcome:plot_stability", reads=(), table="stability"),
    Plot("decisions", "decisions", "finflow.pipelines.evaluation.plots.outcome:plot_decisions"),
)
