-- The journal, format 1. Facts are never changed and never removed; views and jobs are what follows from them.

-- What the journal is: `store` (UUID), `epoch`, `format`, `shapes` (names and shapes of the views as they are stored),
-- and, in a copy made by a backup, `restored` = '1': opening such a copy raises the epoch and removes the row.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Boots of machines, named by a small number in facts.
CREATE TABLE boot (
    id      INTEGER PRIMARY KEY,
    boot_id TEXT NOT NULL UNIQUE
) STRICT;

-- One row a fact. `stream` to `trace` repeat what the body says, for the indices.
CREATE TABLE fact (
    seq           INTEGER PRIMARY KEY,
    commit_id     INTEGER NOT NULL,
    cause_seq     INTEGER,
    cause_reactor TEXT,
    wall          INTEGER NOT NULL,
    boot          INTEGER NOT NULL,
    boot_ref      INTEGER NOT NULL REFERENCES boot (id),
    at            INTEGER NOT NULL,
    watched       INTEGER NOT NULL,
    stream        TEXT NOT NULL,
    source        TEXT NOT NULL,
    key           TEXT,
    kind          TEXT NOT NULL,
    service       TEXT,
    trace         BLOB,
    body          TEXT NOT NULL,
    blob          BLOB
) STRICT;

CREATE UNIQUE INDEX fact_by_key ON fact (source, key) WHERE key IS NOT NULL;
CREATE INDEX fact_by_stream ON fact (stream, seq);
CREATE INDEX fact_by_kind ON fact (kind, seq);
CREATE INDEX fact_by_service ON fact (service, seq) WHERE service IS NOT NULL;
CREATE INDEX fact_by_trace ON fact (trace) WHERE trace IS NOT NULL;

-- Digest of each fact, apart from its body, so that the chain still verifies when ticks are thinned.
CREATE TABLE digest (
    seq    INTEGER PRIMARY KEY,
    digest BLOB NOT NULL
) STRICT;

-- One link of the chain a commit, over the link before and the digests of its `n` facts from `first_seq` on.
CREATE TABLE commit_link (
    id        INTEGER PRIMARY KEY,
    first_seq INTEGER NOT NULL,
    n         INTEGER NOT NULL,
    link      BLOB NOT NULL
) STRICT;

CREATE TRIGGER fact_stays BEFORE UPDATE ON fact BEGIN SELECT RAISE(ABORT, 'a fact is never changed'); END;
CREATE TRIGGER fact_kept BEFORE DELETE ON fact BEGIN SELECT RAISE(ABORT, 'a fact is never removed'); END;
CREATE TRIGGER digest_stays BEFORE UPDATE ON digest BEGIN SELECT RAISE(ABORT, 'a digest is never changed'); END;
CREATE TRIGGER digest_kept BEFORE DELETE ON digest BEGIN SELECT RAISE(ABORT, 'a digest is never removed'); END;
CREATE TRIGGER link_stays BEFORE UPDATE ON commit_link BEGIN SELECT RAISE(ABORT, 'a link is never changed'); END;
CREATE TRIGGER link_kept BEFORE DELETE ON commit_link BEGIN SELECT RAISE(ABORT, 'a link is never removed'); END;

-- Numbers of the series that ticks count, in the order in which the ticks' blobs name them.
CREATE TABLE series (
    id     INTEGER PRIMARY KEY,
    series TEXT NOT NULL
) STRICT;

-- Rows of the views. `seq` is the last fact of the commit that wrote the row.
CREATE TABLE view (
    view   TEXT NOT NULL,
    key    TEXT NOT NULL,
    shape  INTEGER NOT NULL,
    closed INTEGER NOT NULL,
    seq    INTEGER NOT NULL,
    row    TEXT NOT NULL,
    PRIMARY KEY (view, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX view_closed ON view (view, seq) WHERE closed = 1;

-- Jobs in the order in which they were queued. `state` is waiting, begun (an attempt runs), left (an attempt ended
-- with its process), stopped (an attempt was cut short by an orderly stop) or ended.
CREATE TABLE job (
    place           INTEGER PRIMARY KEY AUTOINCREMENT,
    id              TEXT NOT NULL UNIQUE,
    queue           TEXT NOT NULL,
    job             TEXT NOT NULL,
    queued_at       INTEGER NOT NULL,
    state           TEXT NOT NULL,
    attempts        INTEGER NOT NULL,
    failures        INTEGER NOT NULL DEFAULT 0,
    crashed         INTEGER NOT NULL,
    composed        TEXT,
    failure         TEXT,
    asked           INTEGER NOT NULL DEFAULT 0,
    not_before      INTEGER,
    not_before_boot TEXT
) STRICT;

CREATE INDEX job_open ON job (place) WHERE state <> 'ended';
