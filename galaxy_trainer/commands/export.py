"""``galaxy-export``: write a trained network to one file, to be used elsewhere."""

from collections.abc import Sequence
from pathlib import Path

from galaxy_trainer.commands.common import NETWORK, new_parser, run_command
from galaxy_trainer.commands.options import add_weights
from galaxy_trainer.network.start import silent_start
from scalenorm.commands.common import DONE, say


def main(argv: Sequence[str] | None = None) -> int:
    """Run galaxy-export; returns the exit code."""
    parser = new_parser("galaxy-export", "Write a trained network to one file, to be used elsewhere.")
    parser.add_argument("network", metavar="NETWORK", help=NETWORK)
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="file to write")
    parser.add_argument("--format", choices=("stored", "keras", "savedmodel", "onnx"), default="stored",
                        help="stored (default): an .npz that all commands take in place of a run")  # fmt: skip
    parser.add_argument("--credit", default="", metavar="TEXT", help="data trained on, and their licence")
    add_weights(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
    args = parser.parse_args(argv)

    def action() -> int:
        with silent_start():
            import galaxy_trainer
        galaxy_trainer.export(
            args.network, args.output, format=args.format, weights=args.weights, credit=args.credit,
            overwrite=args.overwrite,
        )  # fmt: skip
        if not args.quiet:
            files = [path for path in (Path(args.output), *Path(args.output).rglob("*")) if path.is_file()]
            say(f"{args.output}: {sum(path.stat().st_size for path in files) / 1e6:.2f} MB")
        return DONE

    return run_command(parser, action, quiet=args.quiet)
