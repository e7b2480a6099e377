"""The MLflow run that a version of a walk belongs to: one a period, with what was compared and what was decided."""

from __future__ import annotations

from finflow.pipelines.core.manifests import Decision, Evaluation
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.tracking.runs import common_tags, finite_metrics, is_open, one_writer, run_of, write_run
from finflow.pipelines.tracking.store import experiment_of


def walk_run(context: Context, every: str, evaluation: Evaluation, decision: Decision) -> str:
    """The id of the run of this period's key: found, or made and written."""
    key = {"finflow.run_key": evaluation.run_key, "finflow.walk": every}
    definition, home = context.definition, context.home
    tags = {
        **common_tags(definition.name, evaluation.as_of, simulated=definition.simulated),
        "finflow.verdict": decision.verdict,
        "finflow.champion": decision.candidate,
    }
    deciding = {
        f"{evaluation.loss}.{entry.candidate}": metric.value
        for entry in evaluation.candidates
        for metric in entry.metrics
        if metric.name == evaluation.loss
    }
    with one_writer(home) as client:
        experiment = experiment_of(home, client, definition.name)
        run = run_of(client, experiment, key, f"walk {every} as of {evaluation.as_of[:10]}", tags)
        run_id = str(run.info.run_id)
        if is_open(run):
            note = f"{decision.reason}\n\n{evaluation.protocol}"
            write_run(client, run_id, finite_metrics(deciding, run.info.start_time), note=note)
            client.set_terminated(run_id, "FINISHED")
        return run_id
