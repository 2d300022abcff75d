#!/bin/sh
# Writes `generated/`: the types of events, requests and responses, from the JSON Schemas that keysweep publishes. Only
# `mypy` reads them. Needs `requirements-dev.txt`. A copy elsewhere needs `docs/` of the same version: `types.sh PATH`.
set -eu
cd "$(dirname "$0")"
docs=${1:-../../docs}
mkdir -p generated
# The generator does not know the formats of Rust's integers, and says so for each.
export PYTHONWARNINGS=ignore
options="--output-model-type typing.TypedDict --target-python-version 3.11 --use-standard-collections --use-union-operator
  --disable-timestamp --formatters builtin"
# shellcheck disable=SC2086
datamodel-codegen $options --input-file-type jsonschema --input "$docs/schemas/events.json" --output generated/events.py
# shellcheck disable=SC2086
datamodel-codegen $options --input-file-type openapi --input "$docs/openapi.json" --output generated/api.py
