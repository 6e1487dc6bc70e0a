use proptest::prelude::*;

use super::*;

const HOUR: i64 = 3600;

fn id(number: u64) -> Digest {
    Digest::of(&number.to_be_bytes())
}

fn copy(sequence: u64, at: i64, proved: bool) -> Copy {
    Copy {
        id: id(sequence),
        sequence,
        at: Timestamp::from_second(at).unwrap(),
        proved,
    }
}

fn at(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_second()
}

fn situation(now: i64, zone_name: &str) -> Situation {
    Situation {
        now: Timestamp::from_second(now).unwrap(),
        clock_jumped: false,
        interval: SignedDuration::from_hours(24 * 3650),
        zone: zone(zone_name).unwrap(),
    }
}

fn kept(verdicts: &[(Digest, Verdict)]) -> BTreeSet<Digest> {
    verdicts
        .iter()
        .filter(|(_, verdict)| !verdict.drops())
        .map(|(id, _)| *id)
        .collect()
}

/// Runs until nothing drops any more.
fn settle(copies: &[Copy], rule: &Rule, situation: &Situation) -> BTreeSet<Digest> {
    let mut copies = copies.to_vec();
    loop {
        let left = kept(&keep(&copies, rule, situation));
        if left.len() == copies.len() {
            return left;
        }
        copies.retain(|copy| left.contains(&copy.id));
    }
}

fn daily(count: u32) -> Rule {
    Rule {
        daily: count,
        ..Rule::default()
    }
}

/// A copy every night for 40 nights, the last on 2026-11-21.
fn nights() -> Vec<Copy> {
    (0_u64..40)
        .map(|n| {
            copy(
                n,
                at("2026-11-21T03:00:00Z") - (39 - i64::try_from(n).unwrap()) * 24 * HOUR,
                true,
            )
        })
        .collect()
}

#[test]
fn a_calendar_of_slots_keeps_what_it_says() {
    let copies = nights();
    let rule = Rule {
        last: 2,
        daily: 7,
        weekly: 4,
        monthly: 3,
        ..Rule::default()
    };
    let left = settle(&copies, &rule, &situation(at("2026-11-21T04:00:00Z"), "UTC"));
    // Seven days; the Sundays of the three weeks before; 31 October (October has its newest then).
    let expected: BTreeSet<Digest> = [39, 38, 37, 36, 35, 34, 33, 26, 19, 18].map(id).into();
    assert_eq!(left, expected);
}

#[test]
fn unproved_copies_never_push_a_proved_one_out() {
    let mut copies = vec![copy(0, at("2026-10-01T03:00:00Z"), true)];
    copies.extend((1..=30).map(|n| {
        copy(
            n,
            at("2026-10-01T03:00:00Z") + i64::try_from(n).unwrap() * 24 * HOUR,
            false,
        )
    }));
    let left = settle(&copies, &daily(3), &situation(at("2026-11-01T00:00:00Z"), "UTC"));
    let expected: BTreeSet<Digest> = [0, 28, 29, 30].map(id).into();
    assert_eq!(left, expected);
}

#[test]
fn a_clock_that_cannot_be_trusted_drops_nothing() {
    let copies = nights();
    let now = at("2026-11-21T04:00:00Z");
    let calm = situation(now, "UTC");
    let all = |verdicts: Vec<(Digest, Verdict)>, reason| {
        assert_eq!(verdicts.len(), copies.len());
        assert!(
            verdicts.iter().all(|(_, verdict)| *verdict == Verdict::Keep(reason)),
            "{verdicts:?}"
        );
    };
    all(
        keep(
            &copies,
            &daily(1),
            &Situation {
                clock_jumped: true,
                ..calm.clone()
            },
        ),
        Reason::ClockJumped,
    );
    all(
        keep(&copies, &daily(1), &situation(now - 2 * HOUR, "UTC")),
        Reason::FromTheFuture,
    );
    let overdue = Situation {
        interval: SignedDuration::from_hours(24),
        ..situation(now + 4 * 24 * HOUR, "UTC")
    };
    all(keep(&copies, &daily(1), &overdue), Reason::ProofOverdue);
    let unproved: Vec<Copy> = copies.iter().map(|copy| Copy { proved: false, ..*copy }).collect();
    all(keep(&unproved, &daily(1), &calm), Reason::NothingProved);
    // The control: with a good clock the same copies do go.
    assert!(
        keep(&copies, &daily(1), &calm)
            .iter()
            .any(|(_, verdict)| verdict.drops())
    );
}

#[test]
fn a_copy_taken_after_the_clock_went_back_is_still_the_newest() {
    let now = at("2026-11-21T04:00:00Z");
    let copies = [copy(1, now - HOUR, true), copy(2, now - 30 * HOUR, true)];
    let verdicts = keep(&copies, &Rule::default(), &situation(now, "UTC"));
    assert_eq!(
        verdicts,
        [
            (id(2), Verdict::Keep(Reason::NewestProved)),
            (id(1), Verdict::Drop(Reason::NoSlot))
        ]
    );
}

#[test]
fn the_repeated_hour_when_summer_ends_is_two_hours_and_days_follow_the_zone() {
    // 2026-10-25, London: 01:30 comes twice, at 00:30Z and 01:30Z.
    let copies = [
        copy(1, at("2026-10-25T00:30:00Z"), true),
        copy(2, at("2026-10-25T01:30:00Z"), true),
    ];
    let hourly = Rule {
        hourly: 2,
        ..Rule::default()
    };
    let left = settle(
        &copies,
        &hourly,
        &situation(at("2026-10-25T02:00:00Z"), "Europe/London"),
    );
    assert_eq!(left.len(), 2);

    // 23:30Z and 00:30Z are one day in Tokyo and two in London's winter.
    let copies = [
        copy(1, at("2026-11-20T23:30:00Z"), true),
        copy(2, at("2026-11-21T00:30:00Z"), true),
    ];
    let now = at("2026-11-21T02:00:00Z");
    assert_eq!(settle(&copies, &daily(2), &situation(now, "Asia/Tokyo")).len(), 1);
    assert_eq!(settle(&copies, &daily(2), &situation(now, "Europe/London")).len(), 2);
}

#[test]
fn one_run_drops_at_most_a_fifth_and_the_oldest_first() {
    let copies = nights();
    let verdicts = keep(&copies, &daily(1), &situation(at("2026-11-21T04:00:00Z"), "UTC"));
    let dropped: BTreeSet<Digest> = verdicts.iter().filter(|(_, v)| v.drops()).map(|(id, _)| *id).collect();
    assert_eq!(dropped, (0..8).map(id).collect());
}

#[test]
fn an_unknown_zone_is_refused() {
    assert_eq!(zone("Europe/Londn").unwrap_err().reason(), FailureReason::Invalid);
}

const NOW: i64 = 1_795_000_000;

fn any_copies() -> impl Strategy<Value = Vec<Copy>> {
    let one = (0_i64..400 * 24, any::<bool>());
    prop::collection::vec(one, 0..60).prop_map(|drawn| {
        let numbered = (0_u64..).zip(drawn);
        numbered
            .map(|(number, (hours, proved))| copy(number, NOW - hours * HOUR, proved))
            .collect()
    })
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let small = || 0_u32..6;
    let within = prop::option::of((0_i64..200).prop_map(SignedDuration::from_hours));
    (small(), small(), small(), small(), small(), small(), within).prop_map(
        |(last, hourly, daily, weekly, monthly, yearly, within)| Rule {
            last,
            hourly,
            daily,
            weekly,
            monthly,
            yearly,
            within,
        },
    )
}

fn grown(rule: &Rule, which: u8) -> Rule {
    let mut rule = rule.clone();
    match which {
        0 => rule.last += 1,
        1 => rule.hourly += 1,
        2 => rule.daily += 1,
        3 => rule.weekly += 1,
        4 => rule.monthly += 1,
        5 => rule.yearly += 1,
        _ => rule.within = Some(rule.within.unwrap_or_default() + SignedDuration::from_hours(24)),
    }
    rule
}

proptest! {
    #[test]
    fn the_order_of_the_input_does_not_matter(copies in any_copies(), rule in any_rule(), turn in 0_usize..60) {
        let situation = situation(NOW, "Europe/Berlin");
        let mut turned = copies.clone();
        let middle = turn.min(turned.len());
        turned.rotate_left(middle);
        turned.reverse();
        prop_assert_eq!(keep(&copies, &rule, &situation), keep(&turned, &rule, &situation));
    }

    #[test]
    fn the_newest_proved_copy_always_stays(copies in any_copies(), rule in any_rule()) {
        let verdicts = keep(&copies, &rule, &situation(NOW, "UTC"));
        let newest = copies.iter().filter(|copy| copy.proved).max_by_key(|copy| copy.sequence);
        if let Some(newest) = newest {
            prop_assert!(kept(&verdicts).contains(&newest.id));
        } else {
            prop_assert_eq!(kept(&verdicts).len(), copies.len());
        }
        prop_assert_eq!(verdicts.len(), copies.len());
    }

    #[test]
    fn growing_a_number_never_drops_more(copies in any_copies(), rule in any_rule(), which in 0_u8..7) {
        let situation = situation(NOW, "America/New_York");
        let (less, more) = (settle(&copies, &rule, &situation), settle(&copies, &grown(&rule, which), &situation));
        prop_assert!(less.is_subset(&more));
    }

    #[test]
    fn what_stayed_stays(copies in any_copies(), rule in any_rule()) {
        let situation = situation(NOW, "UTC");
        let left = settle(&copies, &rule, &situation);
        let rest: Vec<Copy> = copies.iter().filter(|copy| left.contains(&copy.id)).copied().collect();
        prop_assert_eq!(settle(&rest, &rule, &situation), left);
    }

    #[test]
    fn a_run_drops_no_more_than_it_may(copies in any_copies(), rule in any_rule()) {
        let verdicts = keep(&copies, &rule, &situation(NOW, "UTC"));
        let dropped = verdicts.iter().filter(|(_, verdict)| verdict.drops()).count();
        prop_assert!(dropped <= (copies.len() / 5).max(2));
    }
}
