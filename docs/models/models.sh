#!/bin/bash
# Checks the models with spin, every state visited: the true ones must hold in every state (holds) and
# never go on for ever without a transaction (lives, under weak fairness); each mutant must be caught
# (caught) or be seen to run in circles (circles).
#
# usage: models.sh [--all | --long]     (needs spin and gcc)
#   without: what is about mailbox, shelves and waiting, some 15 s on 2 cores
#   --all:   also deaths, failures, reloads, limits and all mutants, some 2 minutes, 2 GB
#   --long:  also the large true ones, an hour, 12 GB
# WEIR_SOAK=1 in the environment stands for --all. Ends with "N passed, N failed"; status 1 if any failed.
choice=${1:-${WEIR_SOAK:+--all}}
command -v spin >/dev/null || { echo 'spin is not installed'; exit 1; }
here=$(dirname "$(realpath "$0")")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export here work

check() { # EXPECT MODEL FLAGS...
    local expect=$1 model=$2 dir how run good found result states
    shift 2
    dir=$(mktemp -d -p "$work")
    cd "$dir" || exit 1
    case $expect in
    lives | circles) how='-DNP -DNFAIR=3' run='-l -f' good=lives ;;
    *) how=-DSAFETY run='' good=holds ;;
    esac
    # shellcheck disable=SC2086
    spin -a "$@" "$here/$model" >spin.log 2>&1 &&
        gcc -w -O2 $how -DCOLLAPSE -DMEMLIM="${MEMLIM:-6000}" -o pan pan.c 2>gcc.log &&
        ./pan $run -m3000000 >pan.log 2>&1
    touch pan.log
    found=broken
    grep -q 'errors: 0' pan.log && found=$good
    grep -q 'assertion violated\|invalid end state (at' pan.log && found=caught
    grep -q 'non-progress cycle (at' pan.log && found=circles
    grep -q 'out of memory\|max search depth too small\|Search not completed' pan.log &&
        [ "$found" = "$good" ] && found=incomplete
    states=$(grep -o '[0-9.e+]* states, stored' pan.log)
    [ "$found" = "$expect" ] && result=ok || result=FAIL
    printf '%-4s %-6s %-12s %-70s %s\n' "$result" "$found" "$model" "$*" "${states%%,*}"
    rm -rf "$dir"
}
export -f check

short='
caught mailbox.pml -DM_LOOK_THEN_SLEEP
caught pool.pml -DM_NO_SECOND_LOOK -DPREOPENED=1
caught pool.pml -DM_RELEASE_NO_LOOK -DPREOPENED=1
caught pool.pml -DM_CLAIM_FIRST -DREACTORS=3 -DPREOPENED=1
caught pool.pml -DM_MASK_NO_SECOND_LOOK -DTRANSACTIONS=2 -DPREOPENED=1
caught pool.pml -DM_MASK_NOT_TAKEN -DREACTORS=3 -DPREOPENED=1
holds mailbox.pml
holds mailbox.pml -DPRODUCERS=3
holds pool.pml -DTRANSACTIONS=2
holds pool.pml -DREACTORS=3 -DPREOPENED=1'
holds='
limit.pml -DCLIENTS=1 -DTRANSACTIONS=2
limit.pml -DCLIENTS=1 -DTRANSACTIONS=2 -DFAILURES=1
limit.pml -DCLIENTS=1 -DTRANSACTIONS=2 -DLIMIT=2
pool.pml -DTRANSACTIONS=2 -DDEATHS=1
pool.pml -DTRANSACTIONS=2 -DPREOPENED=1 -DLEAVES=1 -DCHECKS=1
pool.pml -DDEATHS=1 -DFAILURES=1 -DLEAVES=1 -DCHECKS=1
pool.pml -DDEATHS=1 -DRELOADS=1
pool.pml -DTRANSACTIONS=2 -DPREOPENED=1 -DRELOADS=1
pool.pml -DREACTORS=3 -DSERVERS=2 -DPREOPENED=2
pool.pml -DTRANSACTIONS=2 -DSERVERS=2 -DPREOPENED=1'
lives='
limit.pml -DCLIENTS=1 -DTRANSACTIONS=2
limit.pml -DCLIENTS=1 -DTRANSACTIONS=2 -DLIMIT=2
limit.pml -DCLIENTS=1 -DFAILURES=1
pool.pml -DDEATHS=1 -DLEAVES=1
pool.pml -DTRANSACTIONS=2 -DPREOPENED=1
pool.pml -DREACTORS=3 -DPREOPENED=1
pool.pml -DFAILURES=1 -DCHECKS=1 -DPREOPENED=1'
holds_long='
mailbox.pml -DPRODUCERS=3 -DROUNDS=3
limit.pml
limit.pml -DFAILURES=1
pool.pml -DDEATHS=1 -DFAILURES=1 -DLEAVES=1 -DPREOPENED=1 -DRELOADS=2
pool.pml -DREACTORS=3 -DPREOPENED=1 -DLEAVES=1 -DCHECKS=1
pool.pml -DREACTORS=3 -DPREOPENED=1 -DDEATHS=1
pool.pml -DREACTORS=3 -DSERVERS=2 -DPREOPENED=1'
caught='
limit.pml -DM_NO_LOOK_AT_GIVE_BACK
limit.pml -DM_LOOK_BEFORE_GIVE_BACK
limit.pml -DM_FREED_OWN_POOL_ONLY
pool.pml -DM_SURPLUS_SHELVED_BLINDLY -DREACTORS=3 -DPREOPENED=1 -DLEAVES=1
pool.pml -DM_CHECKED_SHELVED_BLINDLY -DPREOPENED=1 -DCHECKS=1
pool.pml -DM_ASK_BEFORE_PUBLISHING -DPREOPENED=1 -DDEATHS=1
pool.pml -DM_ASKED_CLEARED_LATE -DLEAVES=1
pool.pml -DM_CLOSE_BLIND -DPREOPENED=1 -DDEATHS=1
pool.pml -DM_FAILURE_BLIND -DFAILURES=1
pool.pml -DM_NO_GENERATION_RECHECK -DRELOADS=1'
circles='
limit.pml -DCLIENTS=1 -DM_LOGIN_GOES_TO_THE_STARVING'

list() { # EXPECT MODELS
    printf '%s\n' "$2" | sed "/^$/d; s/^/check $1 /"
}

run() { # PROCESSES: the jobs on standard input
    xargs -P "$1" -d '\n' -I{} bash -c '{}; :' | tee -a "$work/results"
}

{
    list '' "$short"
    if [ -n "$choice" ]; then
        list caught "$caught"
        list circles "$circles"
        list lives "$lives"
        list holds "$holds"
    fi
} >"$work/list"
run "$(nproc)" <"$work/list"
if [ "$choice" = --long ]; then # one at a time: they need the memory
    list holds "$holds_long" | tee -a "$work/list" | MEMLIM=18000 run 1
fi
passed=$(grep -c '^ok' "$work/results")
failed=$(($(wc -l <"$work/list") - passed))
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
