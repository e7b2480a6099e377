"""MLflow's store, made once and reached patiently."""
