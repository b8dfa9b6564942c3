#!/bin/sh
# Makes the recorded results of docs/experiment.rst again. Every part may be interrupted and given again.
#
#     benchmarks/experiment.sh GALAXYZOO OUTPUT PART...
#
# GALAXYZOO holds images/, labels.csv and unbiased_ids.txt; OUTPUT gets the caches and an experiment folder per precision.
# Parts: caches views margins ablations parts best folds gaps digits.  JOBS trainings run side by side (default 2).
# Part gaps also needs PARTIAL, a folder with more images/ and a labels.csv that lacks some of the columns.
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

join() {  # CSV...: one table, empty where a file lacks a column of the first
    python -c '
import csv, sys
tables = [csv.DictReader(open(path, newline="")) for path in sys.argv[1:]]
writer = csv.DictWriter(sys.stdout, tables[0].fieldnames, restval="")
writer.writeheader()
for table in tables:
    writer.writerows(table)
' "$@"
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
    gaps)
        join "$images/labels.csv" "$PARTIAL/labels.csv" >"$output/labels-with-gaps.csv"
        scalenorm-batch "$images/images" "$PARTIAL/images" "$output/gz-gaps.h5" --labels "$output/labels-with-gaps.csv"
        compare "$(arms gaps)" bfloat16 gaps
        ;;
    digits)
        python "$here/lay_out_digits.py" "$output/digit-images"
        scalenorm-batch "$output/digit-images" "$output/digits.h5" --class-from-folder --margin 1.25 --center galaxy \
            --views normalized,center-64,center-128
        galaxy-compare "$output/digits.h5" -o "$output/digits" --target classes --recipe best --rotations 1 \
            --finish 0 --no-augmentation --width 0.25 --epochs 8 --seeds 3 --test-fraction 0.2 --jobs "$jobs"
        ;;
    *)
        echo "unknown part $part" >&2
        exit 2
        ;;
    esac
done
