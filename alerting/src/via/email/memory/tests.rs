use events::Identity;

use super::*;

fn job(name: &str) -> JobId {
    JobId::derive(&Identity::default(), &[name])
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

/// `me` takes it, `gone` is refused; each as far as it lacks the message.
fn attempt(memory: &mut Memory, id: JobId, now: Instant) -> Outcome {
    let lacking = memory.lacking(id, ["me@a.example", "gone@a.example"].map(address).into_iter());
    let (taken, refused): (Vec<_>, Vec<_>) = lacking.into_iter().partition(|to| *to == address("me@a.example"));
    let refusal = |to| Refusal {
        to,
        why: "550 no such user".to_owned(),
        for_good: true,
    };
    let handed = Handed {
        answer: if taken.is_empty() { "" } else { "250 ok" }.to_owned(),
        taken,
        refused: refused.into_iter().map(refusal).collect(),
    };
    memory.note(id, Ok(handed), now)
}

#[test]
fn a_dead_address_is_waited_for_once_and_then_holds_up_nobody() {
    let (mut memory, start) = (Memory::default(), Instant::now());
    for minutes in 0..10 {
        let outcome = attempt(
            &mut memory,
            job("first"),
            start + std::time::Duration::from_mins(minutes),
        );
        assert!(matches!(outcome, Outcome::Later { .. }), "{minutes}: {outcome:?}");
    }
    let late = start + std::time::Duration::from_mins(10);
    for name in ["first", "second"] {
        let Outcome::Done { answer } = attempt(&mut memory, job(name), late) else {
            panic!("{name} holds up the rest")
        };
        assert_eq!(answer, "250 ok; but gone@a.example is refused: 550 no such user");
    }
}

#[test]
fn refused_content_is_tried_for_an_hour() {
    let (mut memory, start) = (Memory::default(), Instant::now());
    let mut note = |minutes| {
        let refused = Failure::Content("554 looks like spam".to_owned());
        memory.note(
            job("one"),
            Err(refused),
            start + std::time::Duration::from_mins(minutes),
        )
    };
    for minutes in [0, 59] {
        assert!(matches!(note(minutes), Outcome::Later { .. }), "{minutes}");
    }
    assert!(matches!(note(60), Outcome::Failed { .. }));
}

#[test]
fn it_does_not_grow_without_a_limit() {
    let (mut memory, start) = (Memory::default(), Instant::now());
    for number in 0..2 * MESSAGES_MAX {
        attempt(&mut memory, job(&number.to_string()), start);
    }
    assert_eq!(memory.messages.len(), MESSAGES_MAX);
}
