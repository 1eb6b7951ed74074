#!/usr/bin/env bash
# Makes a virtual environment, installs survnode, and runs the main job: a CT goes into a whole node on this machine,
# a report and ranked slices come out. Needs Python 3.11 or newer; arguments go to `survnode demo`, and paths among
# them are relative to the folder that you are in.
set -euo pipefail
project=$(cd "$(dirname "$0")/.." && pwd)
. "$project/deploy/environment.sh"
(cd "$project" && install_survnode .)
exec "$project/.venv/bin/survnode" demo "$@"
