#!/usr/bin/env bash
# Install Slurm for tests/cluster on Debian or Ubuntu, as root: about 200 MB. Nothing else needs it.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends slurm-wlm munge
slurmctld -V
