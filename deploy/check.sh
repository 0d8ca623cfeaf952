#!/bin/sh
# Checks what is in this folder and docker-compose.yml without Docker: the compose file with the library of docker compose,
# the NATS and Redis configurations on real servers, user by user. Needs Go and redis-server (Debian: redis-server).
# Where a docker compose is installed, it has its say too.
set -eu
cd "$(dirname "$0")/.."
sh -n deploy/prepare.sh
go test -C services/allinone -count=1 -run 'Compose|Dockerfile|Prepare|Deploy|EachService|NobodyMay|Strangers|Redis' .
if docker compose version >/dev/null 2>&1; then
  docker compose --profile tools --profile sandbox config --quiet
  echo "docker compose config: ok"
fi
