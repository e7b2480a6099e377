#!/bin/sh
# Makes what compose.yaml mounts: one random file a secret, in a folder that Git ignores. What is there stays.
set -eu
folder="$(dirname "$0")/secrets"
umask 077
mkdir -p "$folder"
random() { head -c 32 /dev/urandom | base64 | tr -d '+/=\n'; }
for name in PGPASSWORD AWS_SECRET_ACCESS_KEY MLFLOW_AUTH_ADMIN_PASSWORD MLFLOW_FLASK_SERVER_SECRET_KEY; do
    [ -s "$folder/$name" ] || random > "$folder/$name"
done
[ -s "$folder/AWS_ACCESS_KEY_ID" ] || printf finflow > "$folder/AWS_ACCESS_KEY_ID"
# Prefect wants user:password, MLflow's clients the password under another name.
[ -s "$folder/PREFECT_API_AUTH_STRING" ] || printf 'finflow:%s' "$(random)" > "$folder/PREFECT_API_AUTH_STRING"
cp "$folder/PREFECT_API_AUTH_STRING" "$folder/PREFECT_SERVER_API_AUTH_STRING"
cp "$folder/MLFLOW_AUTH_ADMIN_PASSWORD" "$folder/MLFLOW_TRACKING_PASSWORD"
# The containers read them as users of their own; the folder keeps everybody else out.
chmod 700 "$folder"
chmod 444 "$folder"/*
