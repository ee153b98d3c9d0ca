#!/usr/bin/env bash
# Make the environment of the peers beside this file.
set -euo pipefail
cd "$(dirname "$0")"
uv venv --python 3.11 .env
uv pip install --python .env/bin/python hftbacktest==2.4.4 nautilus_trader==1.221.0
