"""Hundreds of paid stays end within a few seconds, together: each is cut, counted and committed."""

import sqlite3
from contextlib import closing
from pathlib import Path

from bench.meter import Options, measure

STAYS = Options(sessions=300, seconds=4, stay_s=4, settle_s=1)


async def test_hundreds_of_stays_that_end_together_are_all_committed(tmp_path: Path) -> None:
    seen = await measure(STAYS, tmp_path)
    # About 75 a second end and as many begin; a writer that stumbles over one batch would commit none of them.
    assert seen["cuts"] > 0.8 * STAYS.sessions * STAYS.seconds / STAYS.stay_s
    with closing(sqlite3.connect(tmp_path / "bench.db")) as db:
        closed, counted_ms = db.execute(
            "SELECT count(*), sum(used_ms) FROM segments WHERE closed_ms IS NOT NULL"
        ).fetchone()
        of_passes_ms = db.execute("SELECT sum(used_ms) FROM passes").fetchone()[0]
        without_end = db.execute(
            "SELECT count(*) FROM sessions JOIN segments ON segments.session_id = sessions.id"
            " WHERE segments.closed_ms IS NOT NULL AND sessions.ended_at IS NULL"
        ).fetchone()[0]
    assert closed >= seen["cuts"]
    assert counted_ms == of_passes_ms
    assert without_end <= 5, "stays whose end was not yet written when the bench stopped"
