#!/usr/bin/env bash
# Makes a virtual environment, installs survnode, and runs the main job: a CT goes into a whole node on this machine,
# a report and ranked slices come out. Needs Python 3.11 or newer; arguments go to `survnode demo`.
set -euo pipefail
cd "$(dirname "$0")/.."
. deploy/environment.sh
install_survnode .
exec .venv/bin/survnode demo "$@"
