# Runs what $3… say on a session bus that is there, beside the Secret Service $1, whose libraries are in $2.
daemon=$1 libraries=$2
shift 2
# The daemon takes the keyring's password on standard input, and stays in this process group.
printf kez | LD_LIBRARY_PATH=$libraries "$daemon" --foreground --unlock --components=secrets \
    --control-directory="$XDG_RUNTIME_DIR" >/dev/null 2>&1 &
is_there() {
    dbus-send --session --print-reply --dest=org.freedesktop.secrets /org/freedesktop/secrets \
        org.freedesktop.DBus.Peer.Ping >/dev/null 2>&1
}
until is_there; do
    kill -0 $! 2>/dev/null || { echo "the Secret Service $daemon did not start" >&2; exit 1; }
    sleep 0.05
done
"$@"
code=$?
kill $!
wait $!
exit $code
