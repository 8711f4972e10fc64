#!/bin/bash
# Runs a test program of a sanitizer build and fails it when a sanitizer has written a report:
# Criterion prints leaks and still exits 0. Usage: sanitized.sh PROGRAM [ARG ...]
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
export ASAN_OPTIONS="log_path=$dir/report:detect_leaks=1:detect_stack_use_after_return=1:$ASAN_OPTIONS"
export UBSAN_OPTIONS="log_path=$dir/report:print_stacktrace=1:halt_on_error=1:$UBSAN_OPTIONS"
"$@"
status=$?
for report in "$dir"/report*; do
    [ -e "$report" ] || continue
    cat "$report" >&2
    [ $status -ne 0 ] || status=99
done
exit $status
