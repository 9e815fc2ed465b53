"""python3 -m cordon, and `cordon` once it is installed: the command line, or what it lacks."""
import sys


def main() -> None:
    try:
        from .cli import main as run
    except ModuleNotFoundError as why:
        if why.name not in ("click", "rich"):
            raise
        print("cordon: the command needs click and rich: pip install click rich, or apt install python3-click "
              "python3-rich", file=sys.stderr)
        sys.exit(2)
    run()


if __name__ == "__main__":
    main()
