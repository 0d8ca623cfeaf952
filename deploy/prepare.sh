#!/bin/sh
# Makes the secrets of a compose deployment, once, and the files from which each container reads its own.
#
#   prepare.sh             make what is missing; write every file anew from it (docker compose runs it at each start)
#   prepare.sh show        print what a person needs: the webhook secret that was made and the API token
#
# SECRETS (default /secrets) holds one folder per container and keep/, which no other container mounts. CONFIG (default
# /config) is the deploy folder. OWNER (uid:gid, default none) gets the files, and the folders in DATA (default none).
# Runs in any POSIX shell with od, sha256sum and sed; no network.
set -eu
umask 077

SECRETS=${SECRETS:-/secrets}
CONFIG=${CONFIG:-/config}
NATS=${NATS:-nats:4222}
REDIS=${REDIS:-redis:6379}

random() { head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'; }

# keep NAME PREFIX reads a kept secret, or makes it.
keep() {
  file=$SECRETS/keep/$1
  if [ ! -s "$file" ]; then
    printf '%s%s' "$2" "$(random)" >"$file.new"
    mv "$file.new" "$file"
  fi
  cat "$file"
}

# put FOLDER NAME writes standard input to a file that only its owner reads.
put() {
  mkdir -p "$SECRETS/$1"
  cat >"$SECRETS/$1/$2.new"
  chmod 0400 "$SECRETS/$1/$2.new"
  mv -f "$SECRETS/$1/$2.new" "$SECRETS/$1/$2"
}

upper() { printf '%s' "$1" | tr '[:lower:]' '[:upper:]'; }
hashed() { printf '%s' "$1" | sha256sum | cut -d' ' -f1; }

mkdir -p "$SECRETS/keep"
token=$(keep api_token qt_)
webhook=$(keep webhook_secret whsec_)
if [ "${1:-}" = show ]; then
  printf 'webhook secret  %s\nAPI token       %s\n' "$webhook" "$token"
  exit 0
fi

passwords=
for user in ingress payments notifier quotes operator subscriber_example; do
  password=$(keep "nats_$user" n)
  passwords="${passwords}NATS_PASSWORD_$(upper "$user"): \"$password\"
"
  case $user in
    subscriber_example) printf 'nats://%s:%s@%s' "$user" "$password" "$NATS" | put operator "${user}_nats_url" ;;
    *) printf 'nats://%s:%s@%s' "$user" "$password" "$NATS" | put "$user" nats_url ;;
  esac
done
printf '%s' "$passwords" | put nats nats_passwords.conf

acl=$(cat "$CONFIG/redis/users.acl.in")
for user in payments quotes operator; do
  password=$(keep "redis_$user" r)
  printf 'redis://%s:%s@%s/0' "$user" "$password" "$REDIS" | put "$user" redis_url
  acl=$(printf '%s' "$acl" | sed "s/@$(upper "$user")@/$(hashed "$password")/")
done
printf '%s\n' "$acl" | put redis users.acl

# A list of one's own (name=whsec_…,name2=whsec_…) in keep/ stands over the one that was made.
if [ -s "$SECRETS/keep/stripe_webhook_secrets" ]; then
  put ingress stripe_webhook_secrets <"$SECRETS/keep/stripe_webhook_secrets"
else
  printf 'local=%s' "$webhook" | put ingress stripe_webhook_secrets
fi
printf 'local=%s' "$webhook" | put operator stripe_webhook_secrets
printf 'local:admin:%s' "$token" | put quotes api_tokens
printf '%s' "$token" | put operator api_token

if [ -n "${OWNER:-}" ]; then
  for folder in "$SECRETS"/*; do
    [ "$folder" = "$SECRETS/keep" ] || chown -R "$OWNER" "$folder"
  done
  for folder in ${DATA:-}; do
    chown "$OWNER" "$folder"
  done
fi
echo "secrets are ready"
