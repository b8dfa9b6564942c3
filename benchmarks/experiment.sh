#!/bin/sh
# Makes the recorded results of docs/experiment.rst again. Every part may be interrupted and given again.
#
#     benchmarks/experiment.sh GALAXYZOO OUTPUT PART...
#
# GALAXYZOO holds images/, labels.csv and unbiased_ids.txt; OUTPUT gets the caches and an experiment folder per precision.
# Parts: caches views margins ablations parts best folds.  JOBS trainings run side by side (default 2).
set -eu
images=$1 output=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
jobs=${JOBS:-2}

cache() {  # NAME MARGIN VIEWS
    scalenorm-batch "$images/images" "$output/$1.h5" --labels "$images/labels.csv" --margin "$2" --views "$3"
}

compare() {  # CACHE-OR-ARMS PRECISION PAGE OPTIONS...: trains what is missing, keeps page, tables and figures as PAGE
    what=$1 precision=$2 page=$3
    shift 3
    galaxy-compare "$what" -o "$output/$precision" --precision "$precision" --recipe paper --width 0.25 \
        --test-candidates "$images/unbiased_ids.txt" --test-fraction 0.2 --jobs "$jobs" "$@"
    mkdir -p "$output/$page"
    (cd "$output/$precision" && cp -r index.html ./*.csv table.json figures "../$page/")
}

arms() {  # NAME: the arms of benchmarks/experiment_NAME.json, beside the caches they name
    cp "$here/experiment_$1.json" "$output/$1.json"
    echo "$output/$1.json"
}

for part in "$@"; do
    case $part in
    caches)
        mkdir -p "$output"
        cache gz 1 normalized,center-64,center-256
        for margin in 1.25 1.5 2; do cache "gz-margin-$margin" $margin normalized; done
        ;;
    views) compare "$output/gz.h5" float32 views --views normalized center-64 center-256 ;;
    folds) compare "$output/gz.h5" float32 folds --views normalized center-64 center-256 --folds 5 ;;
    margins | ablations | parts) compare "$(arms "$part")" float32 "$part" ;;
    best) compare "$(arms best)" bfloat16 best ;;
    *)
        echo "unknown part $part" >&2
        exit 2
        ;;
    esac
done
