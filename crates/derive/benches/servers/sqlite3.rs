//! sqlite3: all ways to keep its journal, mapped files, sorting on disk, backups, archives; a busy and a broken database.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::lab::{Lab, until};

const ALL: &str = "
.timer on
CREATE TABLE it(id INTEGER PRIMARY KEY, text TEXT, more BLOB);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
INSERT INTO it SELECT i, hex(randomblob(20)), randomblob(100) FROM n;
CREATE INDEX by_text ON it(text);
PRAGMA cache_size = 10;
PRAGMA temp_store = 1;
PRAGMA threads = 4;
CREATE INDEX by_more ON it(more, text);
CREATE TABLE other AS SELECT * FROM it ORDER BY more;
SELECT count(*), date('now', 'localtime') FROM it JOIN other USING (text);
PRAGMA journal_mode = TRUNCATE; UPDATE it SET text = text || 'x' WHERE id < 5000;
PRAGMA journal_mode = PERSIST; UPDATE it SET text = text || 'x' WHERE id < 5000;
PRAGMA journal_mode = WAL; UPDATE it SET text = text || 'x';
PRAGMA wal_checkpoint(TRUNCATE);
PRAGMA mmap_size = 100000000; SELECT sum(length(more)) FROM it;
PRAGMA synchronous = EXTRA;
BEGIN; DELETE FROM it WHERE id % 2; SAVEPOINT here; DELETE FROM it; ROLLBACK TO here; COMMIT;
ANALYZE; REINDEX; PRAGMA optimize;
PRAGMA auto_vacuum = FULL; VACUUM;
VACUUM INTO '/srv/copy.db';
PRAGMA journal_mode = DELETE;
PRAGMA locking_mode = EXCLUSIVE; UPDATE it SET text = 'y' WHERE id < 100; PRAGMA locking_mode = NORMAL;
PRAGMA integrity_check;
ATTACH '/srv/attached.db' AS also; CREATE TABLE also.t AS SELECT * FROM it; UPDATE also.t SET text = 1; DETACH also;
.backup /srv/backup.db
.restore /srv/backup.db
.clone /srv/clone.db
.save /srv/saved.db
.dump
.output /srv/output
.mode csv
SELECT * FROM it LIMIT 10;
.output
.once /srv/once
SELECT 1;
.import /srv/output imported
.read /srv/script.sql
.schema
.tables
.dbinfo
.stats on
.log /srv/log
.cd /srv
SELECT writefile('/srv/written/file', 'text', 33188, 1000000000), length(readfile('/srv/written/file'));
SELECT writefile('/srv/folder', NULL, 16877), writefile('/srv/link', 'file', 41471);
SELECT name, mode FROM fsdir('/srv');
.shell none
.once |none
SELECT 1;
.import |none piped
SELECT edit('text', 'none');
.excel
SELECT 1;
.system none
.trace stdout
SELECT load_extension('/none');
.open --readonly /srv/copy.db
SELECT count(*) FROM it;
.open --nofollow /srv/link
.open --new /srv/new.db
.open /none/of/these
.recover
SELECT 1
;
.quit
";

pub(crate) fn load(lab: &mut Lab) {
    lab.write("/srv/script.sql", "SELECT 1;\n");
    lab.write("/root/.sqliterc", ".headers on\n");
    lab.run(&["/srv/it.db"], ALL);
    lab.run(&["-interactive", "/srv/it.db"], ".help\nSELECT 1;\n");
    // As a person uses it: with lines that can be edited, names that are completed, and a history.
    for _ in 0..2 {
        let lines = ["SELECT 1;\nSELECT 22;\x1b[D\x1b[D\n.read /sr\t\n", "SELECT", "\x03", "\n;\n.quit\n"];
        lab.run_on_terminal(&["/srv/it.db"], &lines);
    }
    for arguments in [
        &["-version"][..],
        &["/srv/archive.db", "-Ac", "/srv/script.sql", "/srv/written"],
        &["/srv/archive.db", "-At"],
        &["/srv/archive.db", "-Ax", "-C", "/tmp"],
        &["/srv/archive.zip", "-Ac", "/srv/script.sql"],
        &["-readonly", "-json", "/srv/it.db", "SELECT count(*) FROM it"],
        &["-vfs", "unix-dotfile", "/srv/dot.db", "CREATE TABLE t(a); INSERT INTO t VALUES (1)"],
        &["-vfs", "unix-none", "/srv/none.db", "CREATE TABLE t(a)"],
        &["-vfs", "unix-excl", "/srv/excl.db", "PRAGMA journal_mode=WAL; CREATE TABLE t(a)"],
        &["-vfs", "memdb", "x", "CREATE TABLE t(a)"],
        &["-mmap", "1000000", "-pagecache", "4096", "10", "/srv/it.db", "SELECT count(*) FROM it"],
        &[":memory:", "SELECT random()"],
        &["named-without-a-folder.db", "CREATE TABLE t(a)"],
    ] {
        lab.run(arguments, "");
    }
    // One that others may write too, so that its journals are theirs as well.
    let shared = lab.root.join("srv/shared.db");
    lab.run(&["/srv/shared.db", "CREATE TABLE t(a)"], "");
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o666)).unwrap();
    std::os::unix::fs::chown(&shared, Some(998), Some(998)).unwrap();
    lab.run(
        &["/srv/shared.db"],
        "INSERT INTO t VALUES (1); PRAGMA journal_mode = WAL; INSERT INTO t VALUES (2);",
    );
    // Its own break for a debugger.
    lab.with(&["SQLITE_DEBUG_BREAK=1"]);
    lab.run(&[":memory:", "SELECT 1"], "");
    lab.with(&[]);
    // The person's home is known to the cache of names.
    lab.cache_names();
    for _ in 0..2 {
        lab.run(&["/srv/it.db", "SELECT count(*) FROM it"], "");
    }
    lab.cache_no_names();
    lab.diagnose(&["/srv/it.db", "SELECT count(*) FROM it"], "libsqlite3.so.0");
    lab.on_old_kernel(true);
    lab.run(&["/srv/it.db"], ".shell none\n.once |none\nSELECT 1;\n");
    lab.on_old_kernel(false);
    // One that is busy: another one has it.
    let writer = lab.start(&[
        "/srv/it.db",
        "BEGIN EXCLUSIVE; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
                                            SELECT max(i) FROM n",
    ]);
    until("the database is locked", || fs::metadata(lab.root.join("srv/it.db")).ok());
    lab.run(&["/srv/it.db"], ".timeout 300\nSELECT count(*) FROM it;\nUPDATE it SET text = 1;\n");
    let waiting = lab.start(&["-cmd", ".timeout 3000", "/srv/it.db", "SELECT count(*) FROM it"]);
    for _ in 0..3 {
        waiting.pause();
    }
    waiting.ended();
    // Its query is interrupted.
    writer.end("INT");
    // One that is broken, and a journal that a dead writer has left.
    let mut broken = fs::read(lab.root.join("srv/it.db")).unwrap();
    let middle = broken.len() / 2;
    broken[middle..middle + 4096].fill(0xff);
    lab.write("/srv/broken.db", broken);
    lab.write("/srv/broken.db-journal", "no journal");
    lab.run(
        &["-bail", "/srv/broken.db"],
        "PRAGMA integrity_check; SELECT sum(id) FROM it; VACUUM;\n.recover\n",
    );
    lab.write("/srv/no-database", "text ".repeat(1000));
    lab.run(&["/srv/no-database", "SELECT * FROM it"], "");
}
