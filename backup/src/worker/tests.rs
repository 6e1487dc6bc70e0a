use events::{Seq, Stamp};

use super::*;
use crate::task::{CapturedStep, Step};

fn stamp(seq: u64, wall: i64) -> Stamp {
    Stamp {
        seq: Seq(seq),
        wall: Timestamp(wall),
        ..Stamp::default()
    }
}

/// Copies of the backup `nightly`: (id, repository, sequence, proved at, damaged).
fn views(copies: &[(&str, &str, u64, Option<i64>, bool)]) -> Views {
    let mut views = Views::default();
    for (id, repository, sequence, proved, damaged) in copies {
        let row = serde_json::json!({
            "backup": "nightly", "repository": repository, "intended": Timestamp(0), "captured": stamp(*sequence, 0), "bytes": 1,
            "added_bytes": 1, "files": 1, "digest": "d", "verified": null,
            "proved": proved.map(|wall| stamp(100 + *sequence, wall)), "damaged": damaged.then_some("rotten")
        });
        let shape = <events::Snapshot as events::Row>::SHAPE;
        views
            .load("snapshots", (*id).to_owned(), shape, &row.to_string())
            .unwrap();
    }
    views
}

#[test]
fn a_copy_in_another_repository_is_neither_known_nor_a_proof_here() {
    let (nightly, old, new) = (name_of("nightly"), name_of("old"), name_of("new"));
    let views = views(&[
        ("a", "old", 1, Some(10), false),
        ("b", "old", 2, Some(20), false),
        ("c", "new", 3, None, false),
        ("d", "old", 4, Some(40), true),
    ]);
    let ids = |repository| {
        let known = known(&views, &nightly, repository);
        known.into_iter().map(|copy| copy.snapshot).collect::<Vec<_>>()
    };
    assert_eq!(
        (ids(&old), ids(&new)),
        (vec!["a".into(), "b".into(), "d".into()], vec!["c".to_owned()])
    );
    assert_eq!(ids(&name_of("third")), Vec::<String>::new());
    assert_eq!(last_proof(&views, &nightly, &new), None);
    // What was proved and found damaged later proves nothing.
    assert_eq!(last_proof(&views, &nightly, &old), Some(Timestamp(20)));
    assert_eq!(last_proof(&views, &name_of("other"), &old), None);
}

/// The settings were changed while a child was at work, and the daemon started anew: the copy lies where the child put it.
#[test]
fn a_copy_is_recorded_where_its_child_put_it() {
    let text = |repository: Option<&str>| {
        let step = Step::Captured(CapturedStep {
            repository: repository.map(name_of),
            ..CapturedStep::default()
        });
        let mut json = serde_json::to_value(step).unwrap();
        if repository.is_none() {
            json.as_object_mut().unwrap().remove("repository");
        }
        serde_json::from_value::<Step>(json).unwrap()
    };
    let now = name_of("new");
    let recorded = |step| match step {
        Step::Captured(captured) => recorder::lies_in(&captured, &now),
        other => panic!("{other:?}"),
    };
    assert_eq!(recorded(text(Some("old"))), name_of("old"));
    assert_eq!(recorded(text(None)), now, "an older version does not say it");
}
