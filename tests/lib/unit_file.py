"""systemd's unit files, read as far as the tests need."""
import configparser


def unit_file(path):
    """section -> directive -> its last value."""
    made = configparser.RawConfigParser(strict=False, delimiters=("=",), comment_prefixes=("#",),
                                        interpolation=None)
    made.optionxform = str
    with open(path, encoding="utf-8") as file:
        made.read_file(file)
    return {section: dict(made[section]) for section in made.sections()}
