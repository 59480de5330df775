#!/usr/bin/env bash
# Check and time the package on an NVIDIA GPU: `bash .ci/gpu.sh [CRYSTALS] [--device cpu --quick]`, under eight minutes.
# Writes gpu.json to the folder $OUT, or here. Beside torch, numpy and scipy, and what these bring, it imports
#   accelerate annotated-types fastcore gemmi monty orjson packaging pandas pydantic pydantic_core pymatgen pymatgen-core
#   python-dateutil PyYAML ruamel.yaml safetensors six spglib tabulate tqdm typing_extensions typing-inspection
# Where nothing can be downloaded, wheels of these lie in the folder .whl (NAMES: the two lines above):
#   pip download --no-deps -c constraints.txt -d .whl --python-version 3.12 --platform manylinux_2_28_x86_64 \
#       --platform manylinux2014_x86_64 NAMES
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" TQDM_DISABLE=1
if [ -d "$root/.whl" ]; then
    python3 -m pip install -q --no-index --no-deps --target /tmp/site "$root"/.whl/*.whl
    export PYTHONPATH="$PYTHONPATH:/tmp/site"
fi
exec python3 -m crystal_nb.experiments.gpu "$@"
