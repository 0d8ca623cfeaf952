#!/bin/sh
# Makes the secrets of a compose deployment, once, and the files from which each container reads its own.
#
#   prepare.sh             make what is missing; write every file anew from it (docker compose runs it at each start)
#   prepare.sh sandbox     then this: quotes calls the sandbox in Stripe's place (docker compose --profile sandbox runs it)
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
SANDBOX=${SANDBOX:-sandbox:8083}
SANDBOX_PUBLIC_URL=${SANDBOX_PUBLIC_URL:-http://127.0.0.1:8083}

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

# kept NAME prints a file of keep/ that a person has put there, or nothing.
kept() { if [ -s "$SECRETS/keep/$1" ]; then cat "$SECRETS/keep/$1"; fi; }

# own gives each folder to the user of the containers, who needs no other right.
own() {
  [ -n "${OWNER:-}" ] || return 0
  for folder in "$SECRETS"/*; do
    [ "$folder" = "$SECRETS/keep" ] || chown -R "$OWNER" "$folder"
  done
  for folder in ${DATA:-}; do
    chown "$OWNER" "$folder"
  done
}

mkdir -p "$SECRETS/keep"
token=$(keep api_token qt_)
webhook=$(keep webhook_secret whsec_)
reconcile=$(keep reconcile_webhook_secret whsec_)
if [ "${1:-}" = show ]; then
  printf 'webhook secret  %s\nAPI token       %s\n' "$webhook" "$token"
  exit 0
fi

sandbox_key=$(keep sandbox_key sk_test_)
sandbox_webhook=$(keep sandbox_webhook_secret whsec_)
if [ "${1:-}" = sandbox ]; then
  if [ -n "$(kept stripe_api_key)" ]; then
    echo "There is a Stripe key (keep/stripe_api_key): the sandbox cannot stand in for Stripe beside it." >&2
    exit 1
  fi
  for client in quotes operator; do
    printf '%s' "$sandbox_key" | put "$client" stripe_api_key
    printf 'http://%s' "$SANDBOX" | put "$client" stripe_api_base
  done
  printf 'ca_sandbox' | put quotes stripe_client_id
  printf '%s' "$SANDBOX_PUBLIC_URL" | put quotes stripe_connect_url
  printf '%s' "$SANDBOX_PUBLIC_URL" | put quotes checkout_origins
  own
  echo "the sandbox stands in for Stripe"
  exit 0
fi

passwords=
for user in ingress payments notifier quotes console operator subscriber_example; do
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
for user in payments quotes console operator; do
  password=$(keep "redis_$user" r)
  printf 'redis://%s:%s@%s/0' "$user" "$password" "$REDIS" | put "$user" redis_url
  acl=$(printf '%s' "$acl" | sed "s/@$(upper "$user")@/$(hashed "$password")/")
done
printf '%s\n' "$acl" | put redis users.acl

# A list of one's own (name=whsec_…,name2=whsec_…) in keep/ stands over the one that was made. quotes signs with the first of them what
# it fetches for a customer who comes back from Stripe, and with reconcile, which is made here in any case, what never came.
webhooks=$(kept stripe_webhook_secrets)
: "${webhooks:=local=$webhook,sandbox=$sandbox_webhook}"
case ",$webhooks" in
  *,reconcile=*) ours=$webhooks ;;
  *) webhooks=$webhooks,reconcile=$reconcile ours=${webhooks%%,*},reconcile=$reconcile ;;
esac
printf '%s' "$webhooks" | put ingress stripe_webhook_secrets
printf '%s' "$ours" | put quotes stripe_webhook_secrets
# Stripe's own settings, where a person has put them; without a key nothing can be paid.
for name in stripe_api_key stripe_api_base stripe_client_id stripe_connect_url checkout_origins; do
  kept "$name" | put quotes "$name"
done
for name in stripe_api_key stripe_api_base; do # for quotectl reconcile
  kept "$name" | put operator "$name"
done
printf '%s' "$sandbox_key" | put sandbox stripe_api_key
printf '%s' "$sandbox_webhook" | put sandbox webhook_secret
printf 'local=%s,reconcile=%s' "$webhook" "$reconcile" | put operator stripe_webhook_secrets
printf 'local:admin:%s' "$token" | put quotes api_tokens
printf 'local:admin:%s' "$token" | put console api_tokens
printf '%s' "$token" | put operator api_token

own
echo "secrets are ready"
