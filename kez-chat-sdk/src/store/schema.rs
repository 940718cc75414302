//! The tables, and how older files become newer ones.

use rusqlite::Connection;

use super::StoreError;

/// One step for each version; a file of version `n` has seen the first `n` of them. Never edit one that has shipped.
const MIGRATIONS: &[&str] = &[
    // Keys and heads are their 32 bytes, ids their 16, times milliseconds since 1970.
    "CREATE TABLE account (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        install BLOB NOT NULL,
        born_at_ms INTEGER NOT NULL,
        backed_up INTEGER NOT NULL DEFAULT 0,
        handle TEXT,                        -- set when the home has registered it
        sigchain_base TEXT,
        published INTEGER NOT NULL DEFAULT 0,
        epoch TEXT                          -- of the home's inbox stream, as last seen
     ) STRICT;

     CREATE TABLE chain_events (
        owner BLOB NOT NULL,
        seq INTEGER NOT NULL,
        jws TEXT NOT NULL,
        uploaded INTEGER NOT NULL,          -- 0: signed here and not yet at the sigchain server
        PRIMARY KEY (owner, seq)
     ) STRICT, WITHOUT ROWID;

     CREATE TABLE contacts (
        owner BLOB PRIMARY KEY,
        handle TEXT UNIQUE,
        agreed INTEGER NOT NULL,
        sigchain_base TEXT NOT NULL,
        added_at_ms INTEGER NOT NULL,
        -- What their walked chain says, so that it need not be walked again to look at them.
        chain_seq INTEGER NOT NULL,
        chain_head BLOB NOT NULL,
        chain_handle TEXT,
        retired INTEGER NOT NULL,
        inbox_home TEXT,
        broker_url TEXT,
        install BLOB,
        reachable INTEGER NOT NULL,         -- 1: not retired, and their inbox is at our own home
        trouble TEXT,                       -- why sending stopped, if it did
        trouble_lasts INTEGER NOT NULL DEFAULT 0, -- 1: until the person removes the contact
        evidence TEXT                       -- what shows it: the refused event, or both of a fork
     ) STRICT, WITHOUT ROWID;

     -- The number of our last message to somebody. It outlives the contact: numbers never come twice.
     CREATE TABLE sequences (
        recipient BLOB PRIMARY KEY,
        last INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID;

     -- Which key a handle was first seen with. Never changed: another key is an alarm, not an update.
     CREATE TABLE pins (
        handle TEXT PRIMARY KEY,
        owner BLOB NOT NULL
     ) STRICT, WITHOUT ROWID;

     CREATE TABLE messages (
        row INTEGER PRIMARY KEY,
        author BLOB NOT NULL,
        id BLOB NOT NULL,
        peer BLOB NOT NULL,                 -- the other party of the conversation
        kind INTEGER NOT NULL,
        payload BLOB NOT NULL,
        sent_at_ms INTEGER NOT NULL,
        stored_at_ms INTEGER NOT NULL,
        state INTEGER NOT NULL,             -- of our own: 0 queued, 1 sent, 2 delivered, 3 read, 4 withdrawn
        receipt_at_ms INTEGER,              -- of others': when a delivery receipt was last queued
        UNIQUE (author, id)
     ) STRICT;
     CREATE INDEX messages_by_peer ON messages (peer, row);
     CREATE INDEX messages_without_receipt ON messages (author) WHERE receipt_at_ms IS NULL AND author = peer;

     CREATE TABLE outbox (
        row INTEGER PRIMARY KEY,
        recipient BLOB NOT NULL,
        message_id BLOB NOT NULL,
        nats_msg_id BLOB NOT NULL,
        payload BLOB NOT NULL,
        awaits_receipt INTEGER NOT NULL,    -- 1: kept until the recipient's delivery receipt
        sent INTEGER NOT NULL DEFAULT 0,    -- 1: acknowledged by the broker
        next_try_ms INTEGER NOT NULL DEFAULT 0
     ) STRICT;
     CREATE INDEX outbox_to_send ON outbox (recipient, row) WHERE sent = 0;
     CREATE UNIQUE INDEX outbox_by_message ON outbox (message_id);

     CREATE TABLE receipts_due (
        author BLOB NOT NULL,
        id BLOB NOT NULL,
        PRIMARY KEY (author, id)
     ) STRICT, WITHOUT ROWID;

     CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        body TEXT NOT NULL
     ) STRICT;

     CREATE TABLE quarantine (
        row INTEGER PRIMARY KEY,
        reason TEXT NOT NULL,
        stored_at_ms INTEGER NOT NULL,
        frame BLOB NOT NULL
     ) STRICT;

     CREATE TABLE offers (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        author BLOB NOT NULL,
        message_id BLOB NOT NULL,
        fetched INTEGER NOT NULL DEFAULT 0,
        UNIQUE (author, message_id)
     ) STRICT;

     CREATE TABLE own_files (
        blob_hash BLOB PRIMARY KEY,
        file_key BLOB NOT NULL,
        plain_hash BLOB NOT NULL,
        plain_len INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID;

     CREATE TABLE file_readers (
        blob_hash BLOB NOT NULL REFERENCES own_files (blob_hash) ON DELETE CASCADE,
        reader BLOB NOT NULL,
        PRIMARY KEY (blob_hash, reader)
     ) STRICT, WITHOUT ROWID;",
    // How a message is resent, cancelled and given up; how others' messages are put in order.
    "ALTER TABLE account ADD COLUMN quarantine_tried_by TEXT; -- the version that last tried the quarantined frames

     UPDATE messages SET state = state * 10; -- 0 queued, 5 inbox full, 10 sent, 15 unconfirmed, 20 delivered, 30 read, 40 withdrawn
     ALTER TABLE messages ADD COLUMN misaddressed INTEGER NOT NULL DEFAULT 0; -- 1: to a handle that never was ours

     DROP INDEX outbox_to_send;
     ALTER TABLE outbox DROP COLUMN next_try_ms;
     -- sent: 0 waits for the broker, 1 the broker has it, 2 given up: kept, and sent again by hand only.
     ALTER TABLE outbox ADD COLUMN handed_over INTEGER NOT NULL DEFAULT 1; -- 0: the broker certainly has not got it
     ALTER TABLE outbox ADD COLUMN numbered INTEGER NOT NULL DEFAULT 1;    -- 1: it has its place in our sequence to them
     ALTER TABLE outbox ADD COLUMN sent_at_ms INTEGER NOT NULL DEFAULT 0;  -- by the home's clock
     ALTER TABLE outbox ADD COLUMN resends INTEGER NOT NULL DEFAULT 0;     -- after a day without a receipt
     ALTER TABLE outbox ADD COLUMN nudged INTEGER NOT NULL DEFAULT 0;      -- 1: sent again because the recipient was there
     CREATE INDEX outbox_unnumbered ON outbox (recipient) WHERE numbered = 0;
     CREATE INDEX outbox_waiting ON outbox (row) WHERE sent = 0;
     CREATE INDEX outbox_unconfirmed ON outbox (recipient, sent_at_ms) WHERE sent = 1;

     -- How far each of the home's inbox streams had come, as the broker's acknowledgements told.
     CREATE TABLE stream_positions (
        stream TEXT PRIMARY KEY,
        seq INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID;

     -- The number of the message by somebody's installation that is given out next.
     CREATE TABLE numbering (
        author BLOB NOT NULL,
        install BLOB NOT NULL,
        next INTEGER NOT NULL,
        PRIMARY KEY (author, install)
     ) STRICT, WITHOUT ROWID;

     -- Messages that wait for earlier ones of the same installation.
     CREATE TABLE held (
        author BLOB NOT NULL,
        install BLOB NOT NULL,
        seq INTEGER NOT NULL,
        id BLOB NOT NULL,
        given_out INTEGER NOT NULL,         -- 1: it only marks its number as taken
        PRIMARY KEY (author, install, seq, id)
     ) STRICT, WITHOUT ROWID;",
    "ALTER TABLE account ADD COLUMN leaving INTEGER NOT NULL DEFAULT 0; -- 1: the person has decided to go for good
     ALTER TABLE account ADD COLUMN chain_pin BLOB; -- where the published part of the own chain ends",
    // What a conversation shows, and in which order; what the person has chosen.
    "ALTER TABLE messages ADD COLUMN place INTEGER;     -- in what its conversation shows, from 1; NULL: not shown there
     ALTER TABLE messages ADD COLUMN about_author BLOB; -- of edits, deletions and reactions: the message they are about
     ALTER TABLE messages ADD COLUMN about_id BLOB;
     ALTER TABLE messages ADD COLUMN erased INTEGER NOT NULL DEFAULT 0; -- 1: its payload is gone, its name stays taken
     DROP INDEX messages_by_peer;
     UPDATE messages SET place = counted.place FROM (
        SELECT row AS counted_row, row_number() OVER (PARTITION BY peer ORDER BY row) AS place
        FROM messages WHERE kind < 3 AND misaddressed = 0 AND (receipt_at_ms IS NOT NULL OR author <> peer)
     ) AS counted WHERE row = counted_row;
     CREATE UNIQUE INDEX messages_by_place ON messages (peer, place) WHERE place IS NOT NULL;
     CREATE INDEX messages_about ON messages (about_author, about_id) WHERE about_id IS NOT NULL;

     CREATE TABLE conversations (
        peer BLOB PRIMARY KEY,
        last_place INTEGER NOT NULL DEFAULT 0,
        last_at_ms INTEGER NOT NULL DEFAULT 0,      -- when the last one was shown, by the home's clock
        read_place INTEGER NOT NULL DEFAULT 0,      -- all up to this one were read
        unread INTEGER NOT NULL DEFAULT 0,
        muted_until_ms INTEGER NOT NULL DEFAULT 0,
        archived INTEGER NOT NULL DEFAULT 0,
        draft TEXT
     ) STRICT, WITHOUT ROWID;
     INSERT INTO conversations (peer, last_place, last_at_ms, read_place)
        SELECT peer, max(place), max(stored_at_ms), max(place) FROM messages WHERE place IS NOT NULL GROUP BY peer;

     ALTER TABLE receipts_due ADD COLUMN status INTEGER NOT NULL DEFAULT 1; -- 1 delivered, 2 read

     CREATE TABLE settings (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
     ) STRICT, WITHOUT ROWID;",
    // What was told of chains, and what others say of them.
    "ALTER TABLE account ADD COLUMN recovered INTEGER NOT NULL DEFAULT 0; -- 1: a lost device had messages before it
     ALTER TABLE account ADD COLUMN chain_fork INTEGER; -- where another event of ours than the one here was seen

     -- Which heads the messages to somebody last named.
     CREATE TABLE told_heads (
        peer BLOB PRIMARY KEY,
        own_seq INTEGER NOT NULL,           -- of our own chain; no place of it gets two events
        peer_head BLOB NOT NULL,
        told_at_ms INTEGER NOT NULL         -- by the home's clock
     ) STRICT, WITHOUT ROWID;

     -- Which heads others named: those to be looked into, and those that disagreed and were told of.
     CREATE TABLE heard_heads (
        said_by BLOB NOT NULL,
        of_ours INTEGER NOT NULL,           -- 1: of our chain, 0: of their own
        seq INTEGER NOT NULL,
        head BLOB NOT NULL,
        told_at_ms INTEGER,                 -- by the home's clock; NULL: it was not looked into yet
        PRIMARY KEY (said_by, of_ours, seq, head)
     ) STRICT, WITHOUT ROWID;
     CREATE UNIQUE INDEX heard_heads_waiting ON heard_heads (said_by, of_ours) WHERE told_at_ms IS NULL;",
    // The words of messages, for search; what outlives the device, and what does not outlive its time.
    "-- One row for each text, under its message's `row`: the conversation's own word, then the words as `search::words` folds
     -- them. It holds no texts, and is written behind the messages: up to `indexing.row`.
     CREATE VIRTUAL TABLE message_texts USING fts5 (
        words, content = '', contentless_delete = 1, prefix = '1 2', tokenize = 'ascii'
     );
     CREATE TABLE indexing (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        row INTEGER NOT NULL,               -- of the last message that was looked at
        outdated INTEGER NOT NULL           -- 1: words of erased messages are still in the file
     ) STRICT;
     INSERT INTO indexing VALUES (1, 0, 0);
     -- Whoever erases a message, it can't be found any more.
     CREATE TRIGGER message_was_erased AFTER UPDATE OF erased ON messages
     WHEN new.erased > old.erased AND old.kind IN (1, 2) BEGIN
        DELETE FROM message_texts WHERE rowid = old.row;
        UPDATE indexing SET outdated = 1;
     END;
     -- The highest row's number is taken again by the next message.
     CREATE TRIGGER message_was_deleted AFTER DELETE ON messages BEGIN
        DELETE FROM message_texts WHERE rowid = old.row;
        UPDATE indexing SET outdated = 1, row = min(row, (SELECT coalesce(max(row), 0) FROM messages));
     END;

     ALTER TABLE conversations ADD COLUMN keep_days INTEGER; -- NULL: as the account has it; 0: for ever

     -- Of a backup, or of a file that was restored from one: which.
     CREATE TABLE backup (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        owner BLOB NOT NULL,
        install BLOB NOT NULL,
        made_at_ms INTEGER NOT NULL
     ) STRICT;",
    // What the person says of a contact, what is wrong with them by name, and when they are looked at again.
    "ALTER TABLE contacts ADD COLUMN vouched INTEGER NOT NULL DEFAULT 0;  -- 1: by the person's word, the key is theirs
     ALTER TABLE contacts ADD COLUMN verified INTEGER NOT NULL DEFAULT 0; -- 1: safety numbers were compared
     ALTER TABLE contacts ADD COLUMN nickname TEXT;
     ALTER TABLE contacts ADD COLUMN claims TEXT NOT NULL DEFAULT '[]';   -- that their chain lists, as JSON
     ALTER TABLE contacts ADD COLUMN chain_pin BLOB;                      -- where their walked chain ends
     ALTER TABLE contacts ADD COLUMN said_handle TEXT;  -- the last other handle that they wrote under
     -- The key that the home gives for their handle now: until the person says which one counts.
     ALTER TABLE contacts ADD COLUMN found_key BLOB;
     ALTER TABLE contacts ADD COLUMN refreshed_at_ms INTEGER NOT NULL DEFAULT 0;
     ALTER TABLE contacts ADD COLUMN refresh_due_ms INTEGER NOT NULL DEFAULT 0;
     ALTER TABLE contacts ADD COLUMN refresh_asked INTEGER NOT NULL DEFAULT 0; -- 1: something gives reason to look at once
     CREATE UNIQUE INDEX contacts_by_nickname ON contacts (nickname) WHERE nickname IS NOT NULL;
     -- trouble is of the chain alone from now on, as JSON; evidence is the proof of a fork, and outlasts it.
     UPDATE contacts SET evidence = NULL WHERE trouble_lasts = 0;
     UPDATE contacts SET trouble = NULL, found_key = unhex(substr(trouble, instr(trouble, 'ed25519:') + 8, 64))
        WHERE trouble_lasts = 1 AND evidence IS NULL AND trouble LIKE '% now belongs to another key (ed25519:%';
     UPDATE contacts SET trouble = CASE
        WHEN trouble_lasts = 1 THEN '{\"trouble\":\"forked\"}'
        WHEN trouble LIKE '%the server shows a chain that ends at event%' THEN '{\"trouble\":\"rolled_back\"}'
        ELSE '{\"trouble\":\"chain_unsound\",\"code\":\"\"}' END
        WHERE trouble IS NOT NULL;
     ALTER TABLE contacts DROP COLUMN trouble_lasts;
     ALTER TABLE pins ADD COLUMN named INTEGER NOT NULL DEFAULT 1; -- 1: their chain has named it too",
    // Who may not reach us, and what is known of people who are no contacts.
    "CREATE TABLE blocked (
        owner BLOB PRIMARY KEY,
        since_ms INTEGER NOT NULL           -- by the home's clock
     ) STRICT, WITHOUT ROWID;

     -- Messages of somebody's that were dropped or declined: what they wrote up to then does not come again.
     CREATE TABLE refused (
        owner BLOB PRIMARY KEY,
        until_ms INTEGER NOT NULL           -- as they say that they sent it
     ) STRICT, WITHOUT ROWID;

     CREATE TABLE strangers (
        owner BLOB PRIMARY KEY,
        claimed TEXT,                       -- the handle that their last message names
        asked_at_ms INTEGER NOT NULL DEFAULT 0, -- when a home was last asked about them, by our own clock
        answer INTEGER NOT NULL DEFAULT 0,  -- 0 none, 1 it agrees with the claim, 2 it does not, 3 it knows of neither
        handle TEXT                         -- what the home calls them
     ) STRICT, WITHOUT ROWID;
     INSERT INTO strangers (owner) SELECT DISTINCT author FROM messages
        WHERE receipt_at_ms IS NULL AND author = peer AND NOT EXISTS (SELECT 1 FROM contacts WHERE owner = author);",
    // The move to another home that is under way, and homes where there is still something to do.
    "CREATE TABLE moves (
        from_handle TEXT PRIMARY KEY,
        to_handle TEXT NOT NULL,            -- registered at the new home
        old_base TEXT NOT NULL,             -- where the chain was published before
        gives_up INTEGER NOT NULL,          -- 1: the old handle is given up
        without_old INTEGER NOT NULL,       -- 1: what waits at the old home is given up
        switched INTEGER NOT NULL DEFAULT 0 -- 1: the account is at the new home
     ) STRICT, WITHOUT ROWID;
     CREATE UNIQUE INDEX moves_under_way ON moves (switched) WHERE switched = 0;",
    // Which messages came while something was wrong with their sender.
    "ALTER TABLE messages ADD COLUMN in_doubt INTEGER NOT NULL DEFAULT 0;",
    // What was shared with whom by which message, and of which file a blob was made.
    "ALTER TABLE own_files ADD COLUMN source TEXT;       -- where the file lies; NULL: nowhere, or at no path of Unicode
     ALTER TABLE own_files ADD COLUMN stamp BLOB;        -- what tells that it was not changed; NULL: nothing does
     CREATE INDEX own_files_by_source ON own_files (source) WHERE source IS NOT NULL;

     CREATE TABLE shares (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        shared_at_ms INTEGER NOT NULL       -- by the home's clock; 0: before this was written down
     ) STRICT;
     CREATE TABLE share_files (
        share INTEGER NOT NULL REFERENCES shares (id) ON DELETE CASCADE,
        place INTEGER NOT NULL,             -- in the message, then in the folder list
        blob_hash BLOB NOT NULL REFERENCES own_files (blob_hash),
        path TEXT NOT NULL,                 -- as readers see it; empty: from before this was written down
        media_type TEXT NOT NULL,
        is_listed INTEGER NOT NULL,         -- 1: it stands in the folder list, not in the message
        PRIMARY KEY (share, place)
     ) STRICT, WITHOUT ROWID;
     CREATE INDEX share_files_by_blob ON share_files (blob_hash);
     CREATE TABLE share_readers (
        share INTEGER NOT NULL REFERENCES shares (id) ON DELETE CASCADE,
        reader BLOB NOT NULL,
        message_id BLOB,                    -- that announced it to them; NULL: it is not here
        PRIMARY KEY (share, reader)
     ) STRICT, WITHOUT ROWID;
     CREATE INDEX share_readers_by_reader ON share_readers (reader);

     -- Until now there was one file in a share.
     DELETE FROM own_files WHERE NOT EXISTS (SELECT 1 FROM file_readers AS may WHERE may.blob_hash = own_files.blob_hash);
     INSERT INTO shares (id, shared_at_ms) SELECT row_number() OVER (ORDER BY blob_hash), 0 FROM own_files;
     INSERT INTO share_files (share, place, blob_hash, path, media_type, is_listed)
        SELECT row_number() OVER (ORDER BY blob_hash), 0, blob_hash, '', '', 0 FROM own_files;
     INSERT INTO share_readers (share, reader, message_id)
        SELECT share, reader, (SELECT id FROM messages
            WHERE peer = reader AND author <> peer AND kind = 2 AND instr(payload, blob_hash) > 0 LIMIT 1)
        FROM share_files JOIN file_readers USING (blob_hash);
     DROP TABLE file_readers;
     CREATE VIEW file_readers AS
        SELECT DISTINCT reader, blob_hash FROM share_readers JOIN share_files USING (share);",
    // What is being brought here, or was.
    "CREATE TABLE downloads (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        peer BLOB NOT NULL,                 -- who holds it ready
        offer INTEGER REFERENCES offers (id) ON DELETE CASCADE, -- what told us of it: an offer of theirs,
        entry BLOB,                         -- or an entry of what they publish
        what BLOB NOT NULL,                 -- tells its files from others
        share BLOB NOT NULL,                -- its files, and where their holder was, as in a file_share
        is_whole INTEGER NOT NULL,          -- 1: these are all that the offer has
        to_dir TEXT NOT NULL,
        renames INTEGER NOT NULL,           -- 1: where a name is taken, another one is
        mark TEXT NOT NULL,                 -- what its partial files are told by
        state INTEGER NOT NULL,             -- 0 being worked on, 1 waits for its peer, 2 done, 3 failed
        code TEXT,                          -- why it waits, or has failed
        message TEXT,
        tries INTEGER NOT NULL DEFAULT 0,   -- since something came
        next_try_ms INTEGER NOT NULL DEFAULT 0, -- by our own clock
        changed_at_ms INTEGER NOT NULL,
        done_bytes INTEGER NOT NULL DEFAULT 0,
        total_bytes INTEGER NOT NULL,
        paths TEXT                          -- where the files of one are that is done, as JSON
     ) STRICT;
     CREATE INDEX downloads_by_offer ON downloads (offer);

     -- The files of downloads that are not done: where each is, or was about to be.
     CREATE TABLE download_files (
        download INTEGER NOT NULL REFERENCES downloads (id) ON DELETE CASCADE,
        entry INTEGER NOT NULL,
        file INTEGER NOT NULL,              -- its place in the entry's folder list, from 1; 0: the entry itself
        path TEXT NOT NULL,
        delivered INTEGER NOT NULL,         -- 1: it is there
        PRIMARY KEY (download, entry, file)
     ) STRICT, WITHOUT ROWID;",
    // What is published and for whom, how far the sigchain says so, and what was seen of others'.
    "CREATE TABLE published (
        id BLOB PRIMARY KEY,                -- the entry's in the manifest
        path TEXT NOT NULL,
        media_type TEXT NOT NULL,
        blob_hash BLOB NOT NULL,
        file_key BLOB NOT NULL,
        plain_hash BLOB NOT NULL,
        plain_len INTEGER NOT NULL,
        shared_at_ms INTEGER NOT NULL,      -- by the home's clock
        is_public INTEGER NOT NULL,         -- 1: for anybody
        thumb_hash BLOB,
        thumb_key BLOB,
        thumb_len INTEGER,
        access_bytes INTEGER NOT NULL,      -- that the manifest takes for it, at most
        details_bytes INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID;
     CREATE INDEX published_to_anybody ON published (id) WHERE is_public;
     CREATE TABLE published_readers (
        entry BLOB NOT NULL REFERENCES published (id) ON DELETE CASCADE,
        reader BLOB NOT NULL,
        PRIMARY KEY (entry, reader)
     ) STRICT, WITHOUT ROWID;
     CREATE INDEX published_readers_by_reader ON published_readers (reader);
     -- What whoever reads an entry may fetch: the file, its picture, the files of a folder.
     CREATE TABLE published_blobs (
        entry BLOB NOT NULL REFERENCES published (id) ON DELETE CASCADE,
        blob_hash BLOB NOT NULL,
        PRIMARY KEY (entry, blob_hash)
     ) STRICT, WITHOUT ROWID;
     CREATE INDEX published_blobs_by_hash ON published_blobs (blob_hash);

     CREATE TABLE publication (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        changes INTEGER NOT NULL DEFAULT 0,         -- of what is published, counted
        settled_version INTEGER NOT NULL DEFAULT 0, -- the last of `manifests` that was seen on the sigchain
        settled_at_ms INTEGER NOT NULL DEFAULT 0    -- by our own clock
     ) STRICT;
     INSERT INTO publication (id) VALUES (1);
     CREATE TABLE manifests (
        version INTEGER PRIMARY KEY,
        hash BLOB,                          -- NULL: it says that nothing is published
        change INTEGER NOT NULL,            -- the last of `publication.changes` that is in it
        is_public INTEGER NOT NULL,         -- 1: with an entry for anybody
        replaces_lost INTEGER NOT NULL      -- 1: what the sigchain named before is not here
     ) STRICT;

     CREATE TABLE browsed (
        row INTEGER PRIMARY KEY AUTOINCREMENT,
        owner BLOB NOT NULL UNIQUE,
        hash BLOB NOT NULL,                 -- of their manifest, which is with the blobs
        version INTEGER NOT NULL,
        addresses TEXT NOT NULL             -- a line each
     ) STRICT;
     CREATE TABLE thumbnails (
        row INTEGER PRIMARY KEY AUTOINCREMENT,
        blob_hash BLOB NOT NULL UNIQUE,
        picture BLOB NOT NULL
     ) STRICT;",
    // What is published is a file of our own as well: it takes room, and is looked after. Of what was published before, this
    // is as much as is written down.
    "INSERT INTO own_files (blob_hash, file_key, plain_hash, plain_len)
        SELECT blob_hash, file_key, plain_hash, plain_len FROM published WHERE true ON CONFLICT DO NOTHING;",
];

/// The version that this application writes.
pub(super) const KNOWN: u32 = MIGRATIONS.len() as u32;

/// Returns how many steps a file has seen; 0 for one that holds nothing.
pub(super) fn version(connection: &Connection) -> Result<u32, StoreError> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

/// Takes the steps up to a version that a file has not seen.
pub(super) fn migrate(connection: &mut Connection, wanted: u32) -> Result<(), StoreError> {
    let found = version(connection)?;
    if found > KNOWN {
        return Err(StoreError::TooNew { found, known: KNOWN });
    }
    for (version, step) in (1..=wanted).zip(MIGRATIONS).skip(found as usize) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}
