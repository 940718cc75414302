#!/bin/sh
# From two empty homes to a conversation and a fetched file, by nothing but what `kez-chat --help` and the help of the
# commands say. Usage: first-use.sh SERVER NAME OTHER-NAME
set -eu
server=$1 alice=$2 bob=$3

# Each of the two would have a computer of their own; here each has a folder.
work=$(mktemp -d)
trap 'kill "$serving" 2>/dev/null || true; rm -rf "$work"' EXIT
serving=
cd "$work"
as_alice() { KEZ_HOME=$work/alice kez-chat "$@"; }
as_bob() { KEZ_HOME=$work/bob kez-chat "$@"; }

# "KEZ_PASSPHRASE_FILE  a file with the passphrase of the seed's own file"
echo 'correct horse battery staple' >passphrase
export KEZ_PASSPHRASE_FILE="$work/passphrase"

# "Start with: register, add, send, listen."
as_alice register "$alice" --server "$server" --backup-file alice.words
as_bob register "$bob" --server "$server" --backup-file bob.words
as_alice add "@$bob"
as_bob add "@$alice"

as_alice send "@$bob" 'Hello Bob'
as_bob listen --count 1 --timeout 30
as_bob send "@$alice" 'Hello Alice, what is the recipe?'
as_alice listen --count 1 --timeout 30

# "Offers a file or a folder to contacts, and serves it until Ctrl-C"
echo 'flour, water, salt' >recipe.txt
KEZ_HOME=$work/alice kez-chat share "@$bob" recipe.txt >serving &
serving=$!
as_bob listen --count 1 --timeout 30
as_bob files --offers
as_bob fetch 1 --to downloads
cat downloads/recipe.txt
