# A cleanup with redis-cli as commonly done: list the keys, query the TTL of each, unlink those without one.
# Its arguments are the addresses of the nodes.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for url in "$@"; do
  redis-cli -u "$url" --scan --pattern 'permissions:*' >"$work/keys"
  sed 's/^/TTL /' "$work/keys" | redis-cli -u "$url" >"$work/ttls"
  paste -d ' ' "$work/ttls" "$work/keys" | awk '$1 == -1 { print "UNLINK " $2 }' | redis-cli -u "$url" >"$work/done"
done
