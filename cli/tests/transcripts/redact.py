"""Takes out of transcripts that `TRYCMD=overwrite` wrote what differs each time.

Run it in the repository: python3 cli/tests/transcripts/redact.py
"""

import glob
import re

DIFFERS = [
    (r"\d+s ago +\d+s ago", "[..]s ago[..]s ago"),
    (r"\d+s ago", "[..]s ago"),
    (r'"20\d\d-\d\d-\d\dT[\d:.]+Z"', '"[..]"'),
]
RANDOM = [
    (r"sv1:[A-Za-z0-9_-]{60,}", "sv1:[..]"),
    (r'("?wrapped"?: "?)[A-Za-z0-9_-]{60,}', r"\1[..]"),
    (r"\b[0-9a-f]{32}\b", "[..]"),
    (r"\b[0-9a-f]{16}\b", "[..]"),
]

for path in glob.glob("cli/tests/transcripts/**/*.trycmd", recursive=True):
    with open(path) as file:
        text = file.read()
    # The backup is frozen: there nothing is random.
    frozen = path.endswith("backup.trycmd")
    for pattern, shown in DIFFERS if frozen else DIFFERS + RANDOM:
        text = re.sub(pattern, shown, text)
    with open(path, "w") as file:
        file.write(text)
