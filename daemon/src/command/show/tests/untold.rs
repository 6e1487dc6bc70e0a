//! An open incident that somebody should have been told of.

use serde_json::json;
use web::answer::StatusAnswer;

use super::{samples::*, *};

#[test]
fn whom_nobody_could_tell_stands_at_the_incident() {
    let mut answer = bad_status();
    assert!(
        !status::page(&read::<StatusAnswer>(answer.clone()), PLAIN)
            .0
            .contains("NOT TOLD")
    );
    answer["incidents"][INCIDENT]["undelivered"] = json!({ "me": "gone@shop.example is refused: 550 no such user" });
    let page = status::page(&read::<StatusAnswer>(answer), PLAIN).0;
    assert!(
        page.contains("        NOT TOLD to me, given up: gone@shop.example is refused"),
        "{page}"
    );
}
