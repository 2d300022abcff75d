# fetch.sh DIR SUITE PACKAGE...: unpacks packages of a Debian suite with all dependencies below DIR/root, without
# changing the system. DIR/bin contains the servers, which run with the libraries from their own packages.
set -eu
dir=$1 suite=$2
shift 2
state=$dir/apt
mkdir -p "$dir/root" "$dir/bin" "$state/sources" "$state/lists/partial" "$state/cache/archives/partial"
# The empty status file makes apt fetch all libraries as well.
: >"$state/status"
# The machine's configured mirror, if it runs Debian.
mirror=$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -n 1)
mirror=${mirror:-https://deb.debian.org/debian}
suites=$suite
# Backports also need the suite they are made for.
case $suite in *-backports) suites="$suite ${suite%-backports}" ;; esac
cat >"$state/sources/matrix.sources" <<END
Types: deb
URIs: $mirror
Suites: $suites
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
END
apt() {
  apt-get -q -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$state/sources" \
    -o Dir::Etc::preferencesparts=/dev/null -o Dir::State="$state" -o Dir::State::lists="$state/lists" \
    -o Dir::State::status="$state/status" -o Dir::Cache="$state/cache" -o APT::Sandbox::User= "$@"
}
apt update
apt install -y -t "$suite" --no-install-recommends --download-only "$@"
for package in "$state"/cache/archives/*.deb; do dpkg -x "$package" "$dir/root"; done
loader=$(find "$dir/root" -name 'ld-linux*.so.*' | head -n 1)
libraries=$(find "$dir/root" -name 'libc.so.6' -exec dirname {} \; | head -n 1)
libraries=$libraries:$dir/root/usr/lib/$(basename "$libraries")
for server in redis valkey; do
  # The server is the same program as the tools, selected by its name.
  [ -e "$dir/root/usr/bin/$server-check-rdb" ] || continue
  cp "$dir/root/usr/bin/$server-check-rdb" "$dir/root/usr/bin/$server-server"
  printf '#!/bin/sh\nexec "%s" --library-path "%s" "%s" "$@"\n' \
    "$loader" "$libraries" "$dir/root/usr/bin/$server-server" >"$dir/bin/$server-server"
  chmod 755 "$dir/bin/$server-server"
done
if [ -e "$dir/root/usr/sbin/nats-server" ]; then ln -sf "$dir/root/usr/sbin/nats-server" "$dir/bin/nats-server"; fi
rm -rf "$state/cache" "$state/lists"
