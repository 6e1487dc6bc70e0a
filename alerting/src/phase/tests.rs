use proptest::prelude::*;

use super::*;

const SECOND: i64 = 1_000_000_000;

fn truth() -> impl Strategy<Value = Truth> {
    prop::sample::select(vec![Truth::True, Truth::True, Truth::False, Truth::Unknown])
}

/// Looks at the evidence, with the watched seconds that went by before each.
fn looks() -> impl Strategy<Value = Vec<(i64, Seen)>> {
    let seen = (truth(), truth(), any::<bool>()).prop_map(|(breach, clear, opposite)| Seen {
        breach,
        clear: if opposite { !breach } else { clear },
    });
    prop::collection::vec((0_i64..8, seen), 0..60)
}

fn hold() -> impl Strategy<Value = Hold> {
    (0_i64..20, 0_i64..20).prop_map(|(fire, clear)| Hold {
        fire: SignedDuration::from_secs(fire),
        clear: SignedDuration::from_secs(clear),
    })
}

/// Where a rule stands after so many looks, from scratch: by summing the stretches that held since the phase began.
fn from_scratch(looks: &[(Watched, Seen)], hold: Hold) -> Phase {
    let mut phase = Phase::Inactive;
    let mut began = 0;
    for index in 0..looks.len() {
        let wanted = |look: &Seen| {
            if phase == Phase::Pending {
                look.breach
            } else {
                look.clear
            }
        };
        let held: i64 = (began..index)
            .filter(|at| wanted(&looks[*at].1) == Truth::True)
            .map(|at| looks[at + 1].0.0 - looks[at].0.0)
            .sum();
        let held = SignedDuration::from_nanos(held);
        let Seen { breach, clear } = looks[index].1;
        let next = match phase {
            Phase::Pending if breach == Truth::True && held >= hold.fire => Phase::Firing,
            Phase::Pending if breach == Truth::False => Phase::Inactive,
            Phase::Clearing if clear == Truth::True && held >= hold.clear => Phase::Inactive,
            Phase::Clearing if clear == Truth::False => Phase::Firing,
            Phase::Inactive if breach == Truth::True && hold.fire.is_zero() => Phase::Firing,
            Phase::Inactive if breach == Truth::True => Phase::Pending,
            Phase::Firing if clear == Truth::True && hold.clear.is_zero() => Phase::Inactive,
            Phase::Firing if clear == Truth::True => Phase::Clearing,
            same => same,
        };
        if next != phase {
            (phase, began) = (next, index);
        }
    }
    phase
}

fn stamped(looks: &[(i64, Seen)]) -> Vec<(Watched, Seen)> {
    let mut watched = 0;
    let stamp = |(gap, seen): &(i64, Seen)| {
        watched += gap * SECOND;
        (Watched(watched), *seen)
    };
    looks.iter().map(stamp).collect()
}

proptest! {
    #[test]
    fn step_by_step_is_the_same_as_from_scratch(looks in looks(), hold in hold()) {
        let looks = stamped(&looks);
        let mut state = State::INACTIVE;
        for (index, (watched, seen)) in looks.iter().enumerate() {
            state = step(state, *seen, *watched, hold);
            prop_assert_eq!(state.phase, from_scratch(&looks[..=index], hold));
        }
    }

    #[test]
    fn unknown_neither_opens_nor_ends(looks in looks(), hold in hold(), gap in 0_i64..100) {
        let looks = stamped(&looks);
        let state = looks.iter().fold(State::INACTIVE, |state, (watched, seen)| step(state, *seen, *watched, hold));
        let last = looks.last().map_or(0, |(watched, _)| watched.0);
        let unknown = Seen { breach: Truth::Unknown, clear: Truth::Unknown };
        let next = step(state, unknown, Watched(last + gap * SECOND), hold);
        prop_assert_eq!(next.phase, state.phase);
    }

    #[test]
    fn a_phase_ends_at_the_moment_it_named_and_not_before(looks in looks(), hold in hold()) {
        let looks = stamped(&looks);
        let state = looks.iter().fold(State::INACTIVE, |state, (watched, seen)| step(state, *seen, *watched, hold));
        let Some(until) = state.until(hold) else {
            prop_assert!(state.since.is_none() || !matches!(state.phase, Phase::Pending | Phase::Clearing));
            return Ok(());
        };
        let same = if state.phase == Phase::Pending { Truth::True } else { Truth::False };
        let seen = Seen { breach: same, clear: !same };
        prop_assert_ne!(step(state, seen, until, hold).phase, state.phase);
        prop_assert_eq!(step(state, seen, Watched(until.0 - 1), hold).phase, state.phase);
    }

    #[test]
    fn looking_again_at_the_same_changes_no_row(looks in looks(), hold in hold()) {
        let looks = stamped(&looks);
        let mut state = State::INACTIVE;
        for (watched, seen) in looks {
            state = step(state, seen, watched, hold);
        }
        let seen = Seen { breach: Truth::True, clear: Truth::False };
        let once = step(state, seen, Watched(0), Hold { fire: SignedDuration::MAX, clear: SignedDuration::MAX });
        let later = step(once, seen, Watched(SECOND), Hold { fire: SignedDuration::MAX, clear: SignedDuration::MAX });
        prop_assert_eq!(once, later);
    }
}

#[test]
fn held_time_stands_still_while_unknown() {
    let hold = Hold {
        fire: SignedDuration::from_secs(10),
        clear: SignedDuration::from_secs(10),
    };
    let seen = |breach| Seen { breach, clear: !breach };
    let at = |second: i64| Watched(second * SECOND);
    let mut state = step(State::INACTIVE, seen(Truth::True), at(0), hold);
    state = step(state, seen(Truth::Unknown), at(4), hold);
    assert_eq!((state.base, state.since), (4 * SECOND, None));
    state = step(state, seen(Truth::True), at(100), hold);
    assert_eq!(state.phase, Phase::Pending);
    state = step(state, seen(Truth::True), at(105), hold);
    assert_eq!(state.phase, Phase::Pending, "9 of 10 seconds");
    state = step(state, seen(Truth::True), at(106), hold);
    assert_eq!(state.phase, Phase::Firing);
}
