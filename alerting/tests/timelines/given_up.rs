//! Messages that were given up: nothing that they were to say is lost with them.

use super::{DEAD_ENDS, Play, trimmed};

const RULES: &str = "abcdefgh";

/// Eight rules fire while `me` is down: the first of their messages is a digest of them all.
fn digest_for_a_dead_receiver() -> Play {
    let probes = RULES.chars().fold(String::new(), |text, probe| {
        text + &format!("probe.{probe} = {{ near = true, notify = [\"me\"] }}\n")
    });
    let fails = RULES.chars().fold(String::new(), |script, probe| {
        script + &format!("0:10 probe {probe} fail timeout\n")
    });
    let mut play = Play::new(&format!("notify = [\"me\", \"you\"]\n{probes}"));
    // The test holds up the queue until all of them wait.
    play.play(&format!("0:00 receiver me down\n0:01 test me\n{fails}1:00 gives-up me"));
    play
}

#[test]
fn what_a_given_up_digest_said_is_told_by_the_next_message() {
    let mut play = digest_for_a_dead_receiver();
    play.play(
        "2:00 gives-up me
         3:00 receiver me up
         3:05",
    );
    assert_eq!(
        play.said(),
        trimmed(
            "2:00 you <- Messages do not reach me: it was not told that up/a fires
             3:00 me <- 7 firing in one message"
        )
    );
    let notice = &play.delivered[0].body.text;
    let waiting = "Waiting for it too: up/b, up/c, up/d, up/e, up/f, up/g, up/h";
    assert!(notice.contains(waiting), "{notice}");
    assert_eq!(play.undelivered(), ["up/a me: connection refused"]);
}

#[test]
fn the_others_are_told_of_everything_that_was_given_up() {
    for you in ["up", "down"] {
        let mut play = digest_for_a_dead_receiver();
        play.play(&format!("1:30 receiver you {you}"));
        for _ in RULES.chars() {
            play.play("2:00 gives-up me");
        }
        play.play("3:00 receiver you up\n3:05");
        play.check_replay();
        let told = play.delivered.iter().filter(|message| message.destination == "you");
        let said: Vec<&str> = told
            .flat_map(|message| [message.body.title.as_str(), message.body.text.as_str()])
            .collect();
        let said = said.join("\n");
        for rule in RULES.chars() {
            let words = format!("it was not told that up/{rule} fires");
            assert!(said.contains(&words), "{you}: {said}");
        }
        assert_eq!(play.undelivered().len(), RULES.len());
    }
}

#[test]
fn an_incident_says_whom_its_last_message_did_not_reach() {
    let mut play = Play::new(DEAD_ENDS);
    play.play(
        "0:00 receiver me down
         0:01 probe shop fail timeout
         1:00 gives-up me
         1:05",
    );
    assert_eq!(play.undelivered(), ["up/shop me: connection refused"]);
    play.play(
        "2:00 receiver me up
         2:01 probe shop pass
         2:30",
    );
    assert_eq!(play.undelivered().len(), 1, "nothing was told since");
    play.play("5:00");
    assert!(play.undelivered().is_empty(), "{}", play.said());
}
