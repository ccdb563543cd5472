#!/bin/sh
# The reproduction on a machine that is lent for minutes: no network, no venv, nothing but Python and PyTorch.
#
#   reproduce/loan.sh DATA OUT SECONDS [options: reproduce/loan.sh --help]
#
# The same call again goes on where the last one stopped. COMMIT=abc before it says which code this is, where
# it is no git checkout.
cd "$(dirname "$0")/.." || exit 1
PYTHON="${PYTHON:-python3}"
export PYTHON PYTHONPATH="$PWD:$PWD/engine${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
exec "$PYTHON" -m reproduce.loan "$@"
