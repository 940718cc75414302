# Makes a temporary folder from the template "$1", prints its path, and removes it at the end of standard
# input, the keeper's lifeline.
#
# The line "done" before the end says that nothing uses the folder any more. Without it the keeper has
# died, and what it ran may still be writing for a moment: then the folder has to stay gone for a second.

# PIPE too: the keeper may die before it has read the path.
trap '' HUP INT PIPE QUIT TERM
folder=$(mktemp -d "$1") || exit 1
printf '%s\n' "$folder" 2>/dev/null

calm_needed=10
while read -r word; do
    [ "$word" = done ] && calm_needed=1
done

calm=0
tries=300
while [ "$calm" -lt "$calm_needed" ] && [ "$tries" -gt 0 ]; do
    rm -rf -- "$folder" 2>/dev/null
    if [ -e "$folder" ]; then calm=0; else calm=$((calm + 1)); fi
    tries=$((tries - 1))
    [ "$calm" -lt "$calm_needed" ] && sleep 0.1
done
[ ! -e "$folder" ]
