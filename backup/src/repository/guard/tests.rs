use super::*;
use crate::{repository::folder::Folder, run::Clock};

fn guard(folder: &std::path::Path) -> Arc<Guard> {
    let run = Run::new("testhost", Clock::new(|| jiff::Timestamp::UNIX_EPOCH));
    let guard = Guard::new(Box::new(Folder::new(folder)), run);
    guard.create().unwrap();
    guard
}

fn object(kind: Kind, content: &'static [u8]) -> (Object, Bytes) {
    (Object::new(kind, Digest::of(content)), Bytes::from_static(content))
}

#[test]
fn each_mode_writes_what_it_may_and_a_snapshot_is_held_while_capturing() {
    let folder = tempfile::tempdir().unwrap();
    let guard = guard(folder.path());
    let kinds = [
        Kind::Config,
        Kind::Key,
        Kind::Pack,
        Kind::Index,
        Kind::Snapshot,
        Kind::Lock,
    ];
    let allowed = [
        (Mode::Reading, vec![Kind::Lock]),
        (Mode::Initialising, vec![Kind::Config, Kind::Key, Kind::Lock]),
        (Mode::Capturing, vec![Kind::Pack, Kind::Index, Kind::Lock]),
        (Mode::Committing, vec![Kind::Snapshot, Kind::Lock]),
    ];
    for (mode, allowed) in allowed {
        for kind in kinds {
            guard.enter(mode);
            let (object, content) = object(kind, b"content");
            let written = guard.write(&object, content);
            let held = mode == Mode::Capturing && kind == Kind::Snapshot;
            assert_eq!(written.is_ok(), held || allowed.contains(&kind), "{mode:?} {kind:?}");
            assert_eq!(
                folder.path().join(object.path()).exists(),
                allowed.contains(&kind),
                "{mode:?} {kind:?}"
            );
            guard.enter(Mode::Maintaining);
            guard.remove(&object).unwrap();
        }
    }
}

#[test]
fn after_a_failed_write_nothing_works_but_releasing_the_lock() {
    let folder = tempfile::tempdir().unwrap();
    let guard = guard(folder.path());
    guard.enter(Mode::Capturing);
    let (lock, content) = object(Kind::Lock, b"lock");
    guard.write(&lock, content).unwrap();
    std::fs::remove_dir_all(folder.path().join("data")).unwrap();
    std::fs::write(folder.path().join("data"), "in the way").unwrap();
    let (pack, content) = object(Kind::Pack, b"pack");
    let first = guard.write(&pack, content).unwrap_err();
    let (index, content) = object(Kind::Index, b"index");
    assert_eq!(guard.write(&index, content).unwrap_err().chain(), first.chain());
    assert_eq!(guard.list(Kind::Index).unwrap_err().chain(), first.chain());
    guard.remove(&lock).unwrap();
    assert!(!folder.path().join(lock.path()).exists());
}

#[test]
fn an_object_under_a_wrong_name_is_not_handed_out() {
    let folder = tempfile::tempdir().unwrap();
    let guard = guard(folder.path());
    guard.enter(Mode::Maintaining);
    let (object, content) = object(Kind::Snapshot, b"content");
    guard.write(&object, content).unwrap();
    guard.read_checked(&object).unwrap();
    let wrong = Object::new(Kind::Snapshot, Digest::of(b"other"));
    std::fs::rename(folder.path().join(object.path()), folder.path().join(wrong.path())).unwrap();
    assert_eq!(guard.read_checked(&wrong).unwrap_err().reason(), Reason::Corrupt);
    // The control: a plain read does not notice.
    guard.read(&wrong, None).unwrap();
}
