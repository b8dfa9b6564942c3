#!/bin/sh
# Trains the network that comes with galaxy_trainer as gz2, and stores it. Interrupted, the same command goes on.
#
#     benchmarks/train_gz2.sh GALAXYZOO PARTIAL OUTPUT
#
# GALAXYZOO holds images/, labels.csv and unbiased_ids.txt; PARTIAL more images/, drawn without selection, and a labels.csv
# that lacks some of the columns. A fifth of the unbiased ids, those that docs/experiment.rst tests on, is never trained on.
# On two quiet cores with AMX about an hour.
set -eu
images=$(realpath "$1") partial=$(realpath "$2") output=$(realpath "$3")
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$output"
python - "$images" "$partial" "$output" <<'END'
import csv
import sys
from pathlib import Path

from galaxy_trainer.experiment.arms import Settings
from galaxy_trainer.experiment.compare import test_sets

images, partial, output = map(Path, sys.argv[1:])
with (output / "labels.csv").open("w", newline="") as file:
    tables = [csv.DictReader((folder / "labels.csv").open(newline="")) for folder in (images, partial)]
    writer = csv.DictWriter(file, tables[0].fieldnames, restval="")
    writer.writeheader()
    rows = [list(table) for table in tables]
    writer.writerows(rows[0] + rows[1])
unbiased = set((images / "unbiased_ids.txt").read_text().split())
test = test_sets(sorted(unbiased), Settings(test_fraction=0.2), 1)[0]
(output / "test.txt").write_text("\n".join(test) + "\n")
unselected = unbiased.difference(test).union(row["GalaxyID"] for row in rows[1])
(output / "unselected.txt").write_text("\n".join(sorted(unselected)) + "\n")
END
scalenorm-batch "$images/images" "$partial/images" "$output/gz2.h5" --labels "$output/labels.csv" --margin 1.25 --views normalized

train() {  # RUN OPTIONS...
    run=$output/$1
    shift
    if [ -e "$run" ]; then
        galaxy-train --resume "$run"
    else
        galaxy-train "$output/gz2.h5" -o "$run" --recipe shipped --precision bfloat16 \
            --test-ids "$output/test.txt" --finish-ids "$output/unselected.txt" --allow-duplicates "$@"
    fi
}

train first --seed 1
train second --seed 2 --from "$output/first" --epochs 24 --learning-rate 5e-4
train third --seed 3 --from "$output/second" --rotations 16 --epochs 1 --learning-rate 2e-5 --finish 1
network=$here/../galaxy_trainer/runs/networks/gz2.npz
galaxy-export "$output/third" -o "$network" --overwrite \
    --credit "Answers: Galaxy Zoo 2 (Willett et al. 2013), as published for the Galaxy Zoo challenge on Kaggle. Images: SDSS."
galaxy-evaluate "$network" "$output/gz2.h5" --passes 0 --json "$output/scores.json" --overwrite
cd "$here"
python -c 'import common, json, sys; common.save("network", json.load(open(sys.argv[1])), None)' "$output/scores.json"
python tables.py
