#!/bin/sh
# Fills the folder $1 with what packages hold besides the files of the repository: the binary $2 with its manual pages
# and completions, and change logs. The version is $VERSION, the time of the commit $SOURCE_DATE_EPOCH.
set -eu
stage=$1
rm -rf "$stage"
mkdir -p "$stage/man" "$stage/completions"
install -m 755 "$2" "$stage/keysweep"
# The pages of all commands come one after the other; each begins with these two lines and its title.
"$stage/keysweep" man | awk -v folder="$stage/man" '
  /^\.ie \\n\(\.g/ { head = $0; next }
  /^\.el \.ds Aq/ { head = head "\n" $0; next }
  /^\.TH / { file = folder "/" $2 ".1"; print head >file }
  { print >file }'
rm "$stage/man/keysweep-drive.1"
gzip -9n "$stage"/man/*.1
"$stage/keysweep" completions bash >"$stage/completions/keysweep.bash"
"$stage/keysweep" completions zsh >"$stage/completions/_keysweep"
"$stage/keysweep" completions fish >"$stage/completions/keysweep.fish"
gzip -9nc CHANGELOG.md >"$stage/CHANGELOG.md.gz"
# Debian wants one in its own form.
gzip -9nc >"$stage/changelog.gz" <<TEXT
keysweep ($VERSION) unstable; urgency=medium

  * Its changes are in CHANGELOG.md.gz.

 -- $MAINTAINER  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
TEXT
find "$stage" -type f ! -name keysweep -exec chmod 644 {} +
find "$stage" -exec touch --date "@$SOURCE_DATE_EPOCH" {} +
