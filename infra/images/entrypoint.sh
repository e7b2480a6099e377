#!/bin/sh
# A secret that is mounted as a file becomes the environment variable of its name, in this process alone; then the command runs.
set -eu
for file in /run/secrets/*; do
    if [ -f "$file" ]; then
        export "$(basename "$file")=$(cat "$file")"
    fi
done
exec "$@"
