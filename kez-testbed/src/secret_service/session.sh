# Runs what $3… say on a session bus that is there, beside the Secret Service $1, whose libraries are in $2.
# The daemon takes the keyring's password on standard input, goes into the background once it listens, and ends with
# the bus.
daemon=$1 libraries=$2
shift 2
printf kez | LD_LIBRARY_PATH=$libraries "$daemon" --daemonize --unlock --components=secrets \
    --control-directory="$XDG_RUNTIME_DIR" >/dev/null || exit
exec "$@"
