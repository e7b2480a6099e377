"""What stands on a Prefect server: deployments, automations and alerts."""
