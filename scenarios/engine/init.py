"""`onceproof init`: an onceproof.toml to begin with, every line of it explained."""

from pathlib import Path

from results.errors import ConfigError
from scenarios.engine.show import consoles

TEMPLATE = Path(__file__).with_name("templates") / "onceproof.toml"


def write_config(folder: Path) -> int:
    """Write it into a folder; ConfigError if there is one already."""
    file = folder / "onceproof.toml"
    try:
        with file.open("x", encoding="utf-8") as target:
            target.write(TEMPLATE.read_text(encoding="utf-8"))
    except FileExistsError:
        raise ConfigError(f"{file} is there already. `onceproof doctor` checks it.") from None
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror}.") from None
    consoles()[0].print(
        f"{file} is written. Change its lines to your service's, then run `onceproof doctor`.",
        highlight=False,
    )
    return 0
