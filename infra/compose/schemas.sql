-- Run once, by PostgreSQL's image as it makes the database. Each server keeps its tables in a schema of its own.
CREATE SCHEMA IF NOT EXISTS finflow_prefect;
CREATE SCHEMA IF NOT EXISTS finflow_mlflow;
CREATE SCHEMA IF NOT EXISTS finflow_mlflow_users;
CREATE EXTENSION IF NOT EXISTS pg_trgm;
