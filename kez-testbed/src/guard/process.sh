# Runs "$@" so that it cannot outlive its keeper.
#
# Standard input is the keeper's lifeline: a pipe whose other end only the keeper holds. A watcher in the
# command's own process group reads it. Each line is the name of a signal for the whole group; the end of
# the pipe, which comes however the keeper ends, kills the group, the watcher included. The command
# replaces this shell, so its process id, its exit status and its signals are the keeper's to see directly.
exec 3<&0 </dev/null
(
    trap '' HUP INT QUIT TERM
    while read -r signal; do
        kill -s "$signal" 0
    done
    kill -s KILL 0
) <&3 3<&- >/dev/null 2>&1 &
exec "$@" 3<&-
