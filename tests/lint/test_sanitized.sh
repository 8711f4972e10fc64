#!/bin/bash
# tests/lib/sanitized.sh must fail what leaks: Criterion prints the leak and exits with 0.
set -euo pipefail
wrapper=$(dirname "$(realpath "$0")")/../lib/sanitized.sh
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat >"$folder/leaks.c" <<'END'
#include <criterion/criterion.h>

void *volatile kept;

Test(leaks, forgets)
{
    kept = malloc(100);
    kept = NULL;
}
END
sed 's/kept = malloc(100);//' "$folder/leaks.c" >"$folder/clean.c"
for name in leaks clean; do
    cc -g -fsanitize=address,undefined -o "$folder/$name" "$folder/$name.c" -lcriterion
done

"$folder/leaks" >"$folder/output" 2>&1 || { echo 'Criterion itself now fails on leaks: the wrapper may go' && exit 1; }
"$wrapper" "$folder/clean"
if "$wrapper" "$folder/leaks" 2>"$folder/output"; then
    echo 'a leak went unnoticed'
    exit 1
fi
grep -q 'detected memory leaks' "$folder/output"
