#!/usr/bin/env bash
# Prints the size of the smallest client program, stripped and without cgo, beside
# that of grpc-go's, and fails when ours is not below the limit.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

limit=9000000 # bytes

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
export CGO_ENABLED=0
build=(go build -trimpath -buildvcs=false -ldflags '-s -w')

(cd .. && "${build[@]}" -o "$out/pyrossl" ./internal/repo/testdata/minclient)
"${build[@]}" -o "$out/grpc" ./grpcclient

size() { wc -c <"$out/$1" | tr -d ' '; }
megabytes() { awk -v n="$1" 'BEGIN { printf "%.2f MB", n / 1e6 }'; }

ours=$(size pyrossl)
theirs=$(size grpc)
printf 'smallest client, %s/%s, -s -w, no cgo:\n' "$(go env GOOS)" "$(go env GOARCH)"
printf '  pyrossl  %10s\n' "$(megabytes "$ours")"
printf '  grpc-go  %10s\n' "$(megabytes "$theirs")"
if [ "$ours" -ge "$limit" ]; then
  printf 'size.sh: error: the client has %s, want less than %s\n' "$(megabytes "$ours")" "$(megabytes "$limit")" >&2
  exit 1
fi
