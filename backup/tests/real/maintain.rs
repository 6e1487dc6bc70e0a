//! One writer; forgetting and pruning in two phases.

use std::fs;

use backup::{PruneRule, Reason};

use crate::support::{Place, noise, refused, wait_until};

#[test]
fn two_writers_are_refused_and_the_refusal_names_the_other() {
    let place = Place::new();
    place.write("source/noise", noise(7, 30_000_000));
    place.init();
    let (one, two) = (place.open(), place.open());
    std::thread::scope(|scope| {
        let first = scope.spawn(|| one.backup(&place.request()));
        wait_until("the first has its lock", || !place.objects("locks").is_empty());
        let mut request = place.request();
        request.staging = place.path("staging2");
        let text = refused(two.backup(&request), Reason::LockedByOther);
        assert!(
            text.contains(&format!("process {} on testhost since 20", std::process::id())),
            "{text}"
        );
        first.join().unwrap().unwrap();
    });
    assert!(place.objects("locks").is_empty());
    // The control: alone it works.
    two.backup(&place.request()).unwrap();
    assert_eq!(two.snapshots().unwrap().len(), 2);
}

#[test]
fn pruning_marks_first_and_removes_later() {
    let place = Place::new();
    place.fill();
    let repository = place.init();
    let first = repository.backup(&place.request()).unwrap();
    fs::remove_file(place.path("source/big.bin")).unwrap();
    place.write("source/third.bin", noise(9, 1_000_000));
    let second = repository.backup(&place.request()).unwrap();
    repository.forget(&[first.snapshot]).unwrap();
    assert_eq!(
        repository.snapshots().unwrap().iter().map(|s| s.id).collect::<Vec<_>>(),
        [second.snapshot]
    );

    // Young packs are left alone.
    let calm = repository.prune(PruneRule::default()).unwrap();
    assert_eq!((calm.marked, calm.stray), (0, 0));
    let before = place.objects("data").len();
    let marking = repository
        .prune(PruneRule {
            keep_marked_hours: 48,
            keep_new_hours: 0,
        })
        .unwrap();
    assert!(marking.marked > 0 && marking.is_whole(), "{marking:?}");
    assert!(place.objects("data").len() >= before);
    repository.verify(&second.snapshot).unwrap();

    let removed = repository
        .prune(PruneRule {
            keep_marked_hours: 0,
            keep_new_hours: 0,
        })
        .unwrap();
    assert!(removed.marked == 0 && removed.bytes < calm.bytes, "{removed:?}");
    repository.verify_everything().unwrap();
    backup::prove(&repository, &second.snapshot, None, &place.path("scratch")).unwrap();
    refused(repository.forget(&[second.snapshot]), Reason::Invalid);
}
