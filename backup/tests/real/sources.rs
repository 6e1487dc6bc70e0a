//! What is captured comes back: every kind of entry, databases under write, and refusals where something is missing.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _, net::UnixListener},
    path::PathBuf,
    process::Command,
};

use backup::{Content, Order, Reason, Source, restore};

use crate::support::{Place, assert_same_tree, backup_and_prove, noise, output, refused};

/// A tree with everything that is easily lost.
fn odd_tree(place: &Place) {
    place.fill();
    let root = place.path("source");
    let odd: [&[u8]; 7] = [
        b"sp ace",
        b"new\nline",
        b"quo\"te\\",
        b"\xff\xfe not utf-8",
        "\u{fc}ml\u{e4}ut".as_bytes(),
        b"-rf",
        b"tab\t",
    ];
    for name in odd {
        fs::write(root.join("small").join(OsStr::from_bytes(name)), name).unwrap();
    }
    fs::create_dir_all(root.join("hollow/very")).unwrap();
    std::os::unix::fs::symlink("nowhere/at all", root.join("broken link")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", root.join("absolute link")).unwrap();
    std::os::unix::fs::symlink(OsStr::from_bytes(b"raw\xff"), root.join("raw link")).unwrap();
    fs::hard_link(root.join("big.bin"), root.join("small/second name")).unwrap();
    fs::write(root.join("script"), "#!/bin/sh\n").unwrap();
    for (name, mode) in [
        ("script", 0o4755),
        ("hollow", 0o500),
        ("hollow/very", 0o1777),
        ("small/0.txt", 0o000),
    ] {
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    output(Command::new("mkfifo").arg(root.join("pipe")));
    for name in ["small", "script", "pipe", "raw link"] {
        touch(root.join(name));
    }
    fs::set_permissions(&root, fs::Permissions::from_mode(0o750)).unwrap();
    python(
        place,
        "import os\nos.setxattr('source/script', 'user.note', b'by \\xff hand')",
    );
}

/// Sets the time of an entry, of a link itself.
fn touch(path: PathBuf) {
    output(
        Command::new("touch")
            .args(["-h", "-d", "2001-02-03 04:05:06.789"])
            .arg(path),
    );
}

#[test]
fn every_kind_of_entry_survives() {
    let place = Place::new();
    odd_tree(&place);
    let _socket = UnixListener::bind(place.path("source/small/socket")).unwrap();
    touch(place.path("source/small"));
    let repository = place.init();
    let captured = backup_and_prove(&repository, &place.request(), &place.path("scratch"));
    assert!(captured.torn.is_empty() && captured.unreadable.is_empty());

    let order = Order {
        snapshot: captured.snapshot,
        only: None,
        destination: place.path("back"),
        replace: false,
    };
    let restored = restore(&repository, &order).unwrap();
    assert_eq!(restored.files, captured.note.files);
    assert!(
        restored.omitted.len() == 1 && restored.omitted[0].contains("socket"),
        "{:?}",
        restored.omitted
    );
    fs::remove_file(place.path("source/small/socket")).unwrap();
    touch(place.path("source/small"));
    let back = place.path("back").join(place.path("source").strip_prefix("/").unwrap());
    assert_same_tree(&place.path("source"), &back);
    let script = format!(
        "import os\nprint(os.getxattr('{}/script', 'user.note'))",
        back.display()
    );
    assert_eq!(python(&place, &script).trim(), r"b'by \xff hand'");
    // The two names are one file again.
    let links = output(Command::new("stat").args(["-c", "%h"]).arg(back.join("big.bin")));
    assert_eq!(links.trim(), "2");
}

#[test]
fn a_part_is_restored_alone_and_excludes_are_left_out() {
    let place = Place::new();
    place.fill();
    place.write("source/cache/a/big", noise(3, 100));
    place.write("source/small/debug.log", "noise");
    place.write("source/tmp/x", "noise");
    let repository = place.init();
    let absolute = place.path("source/tmp").display().to_string();
    let source = Source::Folder {
        paths: vec![place.path("source")],
        exclude: vec!["*.log".into(), "cache/".into(), absolute],
    };
    let captured = backup_and_prove(&repository, &place.request_of(vec![source]), &place.path("scratch"));
    let has = |name: &str| captured.manifest.get(&place.path(name)).is_some();
    assert!(has("source/small/3.txt") && !has("source/small/debug.log"));
    assert!(
        !has("source/cache/a/big") && !has("source/tmp/x"),
        "{:?}",
        captured.manifest.entries().collect::<Vec<_>>()
    );

    let only = Some(place.path("source/small/3.txt"));
    let order = Order {
        snapshot: captured.snapshot,
        only,
        destination: place.path("back"),
        replace: false,
    };
    assert_eq!(restore(&repository, &order).unwrap().files, 1);
    let back = place
        .path("back")
        .join(place.path("source/small/3.txt").strip_prefix("/").unwrap());
    assert_eq!(
        fs::read(back).unwrap(),
        fs::read(place.path("source/small/3.txt")).unwrap()
    );

    let order = Order {
        only: Some("/nowhere".into()),
        destination: place.path("other"),
        ..order
    };
    refused(restore(&repository, &order), Reason::NotFound);
    assert!(!place.path("other").exists());
}

#[test]
fn a_destination_with_something_in_it_is_refused_and_replaced_only_when_asked() {
    let place = Place::new();
    place.fill();
    let repository = place.init();
    let captured = repository.backup(&place.request()).unwrap();
    place.write("back/mine", "mine");
    let below = place.path("back").join(place.path("source").strip_prefix("/").unwrap());
    fs::create_dir_all(&below).unwrap();
    fs::write(below.join("empty"), "not empty").unwrap();
    // A link in a file's place must not be followed.
    let victim = place.write("victim", "untouched");
    std::os::unix::fs::symlink(&victim, below.join("big.bin")).unwrap();

    let order = Order {
        snapshot: captured.snapshot,
        only: None,
        destination: place.path("back"),
        replace: false,
    };
    refused(restore(&repository, &order), Reason::DestinationNotEmpty);
    assert_eq!(fs::read(below.join("empty")).unwrap(), b"not empty");

    restore(&repository, &Order { replace: true, ..order }).unwrap();
    assert_eq!(fs::read(place.path("back/mine")).unwrap(), b"mine");
    assert_eq!(fs::read(below.join("empty")).unwrap(), b"");
    assert_eq!(fs::read(&victim).unwrap(), b"untouched");
    assert_eq!(fs::read(below.join("big.bin")).unwrap(), noise(1, 3_000_000));
}

#[test]
fn what_cannot_be_read_is_no_backup_unless_it_was_allowed() {
    let place = Place::new();
    place.fill();
    let repository = place.init();
    // Readable by nobody, not even by root: the first page of a process's memory.
    let unreadable = PathBuf::from("/proc/self/mem");
    let paths = vec![place.path("source"), unreadable.clone()];
    let mut request = place.request_of(vec![Source::Folder { paths, exclude: vec![] }]);
    let text = refused(repository.backup(&request), Reason::SourceUnreadable);
    assert!(text.contains("/proc/self/mem"), "{text}");
    assert!(repository.snapshots().unwrap().is_empty());

    request.rules.allow_unreadable = vec![unreadable.clone()];
    let captured = repository.backup(&request).unwrap();
    assert_eq!(captured.unreadable.len(), 1);
    assert_eq!(captured.unreadable[0].0, unreadable);
    // What was left out is left out of the measure too, so the rest is proved.
    backup::prove(&repository, &captured.snapshot, None, &place.path("scratch")).unwrap();

    let gone = Source::Folder {
        paths: vec![place.path("gone")],
        exclude: vec![],
    };
    refused(repository.backup(&place.request_of(vec![gone])), Reason::SourceMissing);
}

#[test]
fn too_little_is_suspicious_and_nonsense_is_refused() {
    let place = Place::new();
    place.fill();
    let repository = place.init();
    let mut request = place.request();
    request.rules.at_least_bytes = 6_000_000;
    refused(repository.backup(&request), Reason::SuspiciouslySmall);
    refused(repository.backup(&place.request_of(vec![])), Reason::Invalid);
    let folder = |path: PathBuf| Source::Folder {
        paths: vec![path],
        exclude: vec![],
    };
    let nested = vec![folder(place.path("source")), folder(place.path("source/small"))];
    refused(repository.backup(&place.request_of(nested)), Reason::Invalid);
    refused(
        repository.backup(&place.request_of(vec![folder("source".into())])),
        Reason::Invalid,
    );
    // The repository inside its own source.
    refused(
        repository.backup(&place.request_of(vec![folder(place.path(""))])),
        Reason::Invalid,
    );
    // A staging folder that is somebody else's is not emptied.
    let mut request = place.request();
    request.staging = place.path("source");
    refused(repository.backup(&request), Reason::Invalid);
    assert_eq!(fs::read(place.path("source/big.bin")).unwrap().len(), 3_000_000);
    assert!(repository.snapshots().unwrap().is_empty());
}

/// A database by an independent SQLite: Python's.
fn python(place: &Place, script: &str) -> String {
    output(
        Command::new("python3")
            .arg("-c")
            .arg(format!("import sqlite3\n{script}"))
            .current_dir(place.path("")),
    )
}

const DATABASE: &str = "
c = sqlite3.connect('shop.db')
c.execute('pragma journal_mode=wal')
c.executescript('''
create table customers(id integer primary key, name text);
create table \"odd \"\"name\"(x);
create table orders(id integer primary key, customer references customers, total int);
create index by_total on orders(total);
create view big as select * from orders where total > 100;
pragma user_version = 7; pragma application_id = 99;
''')
c.executemany('insert into customers(name) values(?)', [('n%d' % i,) for i in range(1000)])
c.executemany('insert into orders(customer, total) values(?, ?)', [(i % 1200 + 1, i) for i in range(5000)])
c.commit()
";

#[test]
fn a_database_is_copied_with_what_its_log_holds_and_proved_by_its_contents() {
    let place = Place::new();
    // Left without closing: the rows are in the write-ahead log only.
    python(&place, &format!("{DATABASE}\nimport os\nos._exit(0)"));
    assert!(place.path("shop.db-wal").metadata().unwrap().len() > 0);
    let repository = place.init();
    let mark = vec![
        "create table marker(epoch int)".to_owned(),
        "insert into marker values(3)".to_owned(),
    ];
    let source = Source::Sqlite {
        path: place.path("shop.db"),
        mark,
    };
    let captured = backup_and_prove(&repository, &place.request_of(vec![source]), &place.path("scratch"));
    let database = &captured.note.databases[0];
    assert_eq!((database.user_version, database.application_id), (7, 99));
    // 200 customers of the 1,200 do not exist.
    assert!(database.orphans.unwrap() > 0);
    let rows: Vec<(&str, u64)> = database
        .rows
        .iter()
        .map(|(name, rows)| (name.as_str(), *rows))
        .collect();
    assert_eq!(
        rows,
        [("customers", 1000), ("marker", 1), ("odd \"name", 0), ("orders", 5000)]
    );
    assert_eq!(fs::read_dir(place.path("staging")).unwrap().count(), 0);

    let order = Order {
        snapshot: captured.snapshot,
        only: None,
        destination: place.path("back"),
        replace: false,
    };
    restore(&repository, &order).unwrap();
    let back = place
        .path("back")
        .join(place.path("shop.db").strip_prefix("/").unwrap());
    let script = format!(
        "c = sqlite3.connect('{}')\nprint(c.execute('pragma integrity_check').fetchone()[0], \
         c.execute('select count(*), sum(total) from orders').fetchone(), c.execute('select epoch from marker').fetchone())",
        back.display()
    );
    assert_eq!(python(&place, &script).trim(), "ok (5000, 12497500) (3,)");
    // The source itself was not marked.
    let script = "print(sqlite3.connect('shop.db').execute(\"select count(*) from sqlite_schema where name = 'marker'\").fetchone())";
    assert_eq!(python(&place, script).trim(), "(0,)");
}

#[test]
fn a_database_is_copied_whole_while_others_write() {
    let place = Place::new();
    python(&place, DATABASE);
    // Each transaction adds one order and one customer: a copy in which they differ by another number is torn.
    let script = "
c = sqlite3.connect('shop.db', isolation_level=None)
while True:
    c.execute('begin immediate')
    c.execute('insert into orders(total) values(1)')
    c.execute('insert into customers(name) values(1)')
    c.execute('commit')
";
    let mut writer = Command::new("python3");
    let mut writer = writer
        .arg("-c")
        .arg(format!("import sqlite3{script}"))
        .current_dir(place.path(""))
        .spawn()
        .unwrap();
    let repository = place.init();
    let source = Source::Sqlite {
        path: place.path("shop.db"),
        mark: vec![],
    };
    let mut last = 0;
    for _ in 0..3 {
        let captured = backup_and_prove(
            &repository,
            &place.request_of(vec![source.clone()]),
            &place.path("scratch"),
        );
        let rows = &captured.note.databases[0].rows;
        assert_eq!(rows["orders"] - rows["customers"], 4000);
        assert!(rows["orders"] > last);
        last = rows["orders"];
    }
    writer.kill().unwrap();
    writer.wait().unwrap();
}

#[test]
fn a_damaged_database_is_told_apart_from_a_missing_one() {
    let place = Place::new();
    python(
        &place,
        &format!("{DATABASE}\nc.execute('pragma wal_checkpoint(truncate)')\nc.close()"),
    );
    let repository = place.init();
    let request = |name: &str| {
        place.request_of(vec![Source::Sqlite {
            path: place.path(name),
            mark: vec![],
        }])
    };
    repository.backup(&request("shop.db")).unwrap();

    let mut content = fs::read(place.path("shop.db")).unwrap();
    let length = content.len();
    content[length / 3..length / 3 + 9000].fill(0x5a);
    place.write("damaged.db", &content);
    refused(repository.backup(&request("damaged.db")), Reason::SourceCorrupt);
    place.write(
        "text.db",
        "this is no database, but it is long enough to be one".repeat(100),
    );
    refused(repository.backup(&request("text.db")), Reason::SourceCorrupt);
    refused(repository.backup(&request("gone.db")), Reason::SourceMissing);
    // A copy that cannot fit is not begun.
    fs::File::create(place.path("huge.db"))
        .unwrap()
        .set_len(10_000_000_000_000)
        .unwrap();
    refused(repository.backup(&request("huge.db")), Reason::StagingFull);
    assert_eq!(repository.snapshots().unwrap().len(), 1);
    assert_eq!(fs::read_dir(place.path("staging")).unwrap().count(), 0);
}

#[test]
fn a_database_in_a_folder_and_a_file_that_grows_are_told() {
    let place = Place::new();
    place.fill();
    python(&place, DATABASE);
    fs::copy(place.path("shop.db"), place.path("source/shop.db")).unwrap();
    let repository = place.init();
    let captured = repository.backup(&place.request()).unwrap();
    assert_eq!(captured.bare_databases, [place.path("source/shop.db")]);
    assert!(captured.torn.is_empty());
    // The copy that a database makes of itself is no plain file.
    let copied = Source::Sqlite {
        path: place.path("shop.db"),
        mark: vec![],
    };
    let copied = repository.backup(&place.request_of(vec![copied])).unwrap();
    assert!(copied.bare_databases.is_empty(), "{:?}", copied.bare_databases);
    let Some(Content::File { bytes, .. }) = captured.manifest.get(&place.path("source/shop.db")) else {
        panic!()
    };
    assert_eq!(*bytes, place.path("source/shop.db").metadata().unwrap().len());
}
